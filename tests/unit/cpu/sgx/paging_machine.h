// SPDX-License-Identifier: Apache-2.0
// An EnclaveMachine with a version array, and the leaves that evict and load pages. What the page
// of a slot becomes in memory lies at the slot's own addresses in RAM.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <ostream>

#include "cpu/flags.h"
#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx {

inline constexpr u64 va_page = 7;
inline constexpr u64 free_page = 9;  // where an evicted page is loaded

/// CF, PF, AF, ZF, SF, OF.
inline constexpr u64 flag_cf = 0x001, flag_zf = 0x040, flags_of_status = 0x8d5;

constexpr u64 slot_of(u64 n) { return window_of(va_page) + 8 * n; }
constexpr u64 sealed_of(u64 n) { return 0x2'0000 + n * page_size; }
constexpr u64 pcmd_of(u64 n) { return 0x3'0000 + n * 128; }

/// RAX and the status flags of a leaf that reports so.
struct Outcome {
    u64 status;
    u64 flags;
    friend bool operator==(const Outcome&, const Outcome&) = default;
};
inline constexpr Outcome success{0, 0};
constexpr Outcome error(u64 status) { return {status, flag_zf}; }
constexpr Outcome information(u64 status) { return {status, flag_cf}; }

inline void PrintTo(const Outcome& outcome, std::ostream* os) {
    *os << "RAX " << outcome.status << ", flags " << std::hex << outcome.flags;
}

class PagingMachine : public EnclaveMachine {
public:
    /// The leaf must report, not fault. All status flags are set before it.
    Outcome leaf(EnclsLeaf number, u64 rbx_value, u64 rcx_value, u64 rdx_value = 0) {
        as_kernel();
        set_rflags(c, rflags(c) | flags_of_status);
        EXPECT_TRUE(encls(number, rbx_value, rcx_value, rdx_value).ok());
        return {c.gpr[rax], rflags(c) & flags_of_status};
    }
    void expect_fault(EnclsLeaf number, u64 rbx_value, u64 rcx_value, u64 rdx_value,
                      const Fault& fault) {
        as_kernel();
        EXPECT_FALSE(encls(number, rbx_value, rcx_value, rdx_value).ok());
        EXPECT_EQ(pending_fault(c), fault);
    }

    void add_version_array(u64 page = va_page) {
        as_kernel();
        ASSERT_TRUE(encls(EnclsLeaf::epa, 3, window_of(page)).ok());
    }
    /// build() or build_and_initialise(), and a version array.
    void build_with_array(bool initialised = false) {
        initialised ? build_and_initialise() : build();
        add_version_array();
    }
    Outcome eblock(u64 page) { return leaf(EnclsLeaf::eblock, 0, window_of(page)); }
    Outcome etrack(u64 page = secs_page) { return leaf(EnclsLeaf::etrack, 0, window_of(page)); }
    Outcome eremove(u64 page) { return leaf(EnclsLeaf::eremove, 0, window_of(page)); }

    void prepare_ewb(u64 n = 0) { at<Pageinfo>(pageinfo_at) = {0, sealed_of(n), pcmd_of(n), 0}; }
    Outcome ewb(u64 page, u64 n = 0) {
        prepare_ewb(n);
        return leaf(EnclsLeaf::ewb, pageinfo_at, window_of(page), slot_of(n));
    }

    void prepare_eld(u64 linaddr, u64 owner, u64 n = 0) {
        at<Pageinfo>(pageinfo_at) = {linaddr, sealed_of(n), pcmd_of(n), owner};
    }
    Outcome eldu(u64 page, u64 linaddr, u64 owner = window_of(secs_page), u64 n = 0) {
        prepare_eld(linaddr, owner, n);
        return leaf(EnclsLeaf::eldu, pageinfo_at, window_of(page), slot_of(n));
    }
    Outcome eldb(u64 page, u64 linaddr, u64 owner = window_of(secs_page), u64 n = 0) {
        prepare_eld(linaddr, owner, n);
        return leaf(EnclsLeaf::eldb, pageinfo_at, window_of(page), slot_of(n));
    }

    /// EBLOCK, ETRACK and EWB of a page of the enclave, with nobody inside.
    void evict(u64 page, u64 n = 0) {
        ASSERT_EQ(eblock(page), success);
        ASSERT_EQ(etrack(), success);
        ASSERT_EQ(ewb(page, n), success);
    }

    u64& slot(u64 n) { return epc.at<u64>(va_page * page_size + 8 * n); }
    u64 children(u64 page = secs_page) { return epc.hidden(page).children; }
    std::array<u8, page_size> content(u64 page) {
        std::array<u8, page_size> bytes;
        std::memcpy(bytes.data(), epc.page(page), page_size);
        return bytes;
    }
    std::array<u8, page_size>& sealed(u64 n = 0) {
        return at<std::array<u8, page_size>>(sealed_of(n));
    }
    Pcmd& pcmd(u64 n = 0) { return at<Pcmd>(pcmd_of(n)); }
};

/// Is the EPC what it was, pages and EPCM?
inline bool same_epc(const State& a, const State& b) {
    return a.pages == b.pages && a.entries == b.entries;
}

}  // namespace postern::cpu::sgx
