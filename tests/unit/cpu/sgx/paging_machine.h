// SPDX-License-Identifier: Apache-2.0
// An EnclaveMachine with a version array, and the leaves that evict and load pages. What a page
// becomes in memory lies at fixed addresses in RAM.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "cpu/flags.h"
#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx {

inline constexpr u64 va_page = 7;
inline constexpr u64 free_page = 9;  // where an evicted page is loaded
inline constexpr u64 sealed_at = 0x1'4000;
inline constexpr u64 pcmd_at = 0x1'5000;

/// CF, PF, AF, ZF, SF, OF.
inline constexpr u64 flag_cf = 0x001, flag_zf = 0x040, flags_of_status = 0x8d5;

constexpr u64 slot_of(u64 n) { return window_of(va_page) + 8 * n; }

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

    void add_version_array(u64 page = va_page) {
        as_kernel();
        ASSERT_TRUE(encls(EnclsLeaf::epa, 3, window_of(page)).ok());
    }
    Outcome eblock(u64 page) { return leaf(EnclsLeaf::eblock, 0, window_of(page)); }
    Outcome etrack(u64 page = secs_page) { return leaf(EnclsLeaf::etrack, 0, window_of(page)); }
    Outcome eremove(u64 page) { return leaf(EnclsLeaf::eremove, 0, window_of(page)); }

    void prepare_ewb() { at<Pageinfo>(pageinfo_at) = {0, sealed_at, pcmd_at, 0}; }
    Outcome ewb(u64 page, u64 slot = 0) {
        prepare_ewb();
        return leaf(EnclsLeaf::ewb, pageinfo_at, window_of(page), slot_of(slot));
    }

    void prepare_eld(u64 linaddr, u64 owner) {
        at<Pageinfo>(pageinfo_at) = {linaddr, sealed_at, pcmd_at, owner};
    }
    Outcome eldu(u64 page, u64 linaddr, u64 owner = window_of(secs_page), u64 slot = 0) {
        prepare_eld(linaddr, owner);
        return leaf(EnclsLeaf::eldu, pageinfo_at, window_of(page), slot_of(slot));
    }
    Outcome eldb(u64 page, u64 linaddr, u64 owner = window_of(secs_page), u64 slot = 0) {
        prepare_eld(linaddr, owner);
        return leaf(EnclsLeaf::eldb, pageinfo_at, window_of(page), slot_of(slot));
    }

    /// EBLOCK, ETRACK and EWB of a page of the enclave, with nobody inside.
    void evict(u64 page, u64 slot = 0) {
        ASSERT_EQ(eblock(page), success);
        ASSERT_EQ(etrack(), success);
        ASSERT_EQ(ewb(page, slot), success);
    }

    u64& slot(u64 n) { return epc.at<u64>(va_page * page_size + 8 * n); }
    std::array<u8, page_size> content(u64 page) {
        std::array<u8, page_size> bytes;
        std::memcpy(bytes.data(), epc.page(page), page_size);
        return bytes;
    }
};

}  // namespace postern::cpu::sgx
