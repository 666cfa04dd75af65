// SPDX-License-Identifier: Apache-2.0
// For the tests of SGX2's leaves: more processors, a free EPC page and a free place in ELRANGE, and
// what "this and nothing else" means for a leaf.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "cpu/flags.h"
#include "cpu/mmu/space.h"
#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx {

inline constexpr u64 new_page = 7, new_offset = 0x5000;
/// In the enclave's data page.
inline constexpr u64 own_secinfo = 0x40;

// Bits of SECINFO.FLAGS.
inline constexpr u64 flag_pending = 0x08, flag_modified = 0x10, flag_pr = 0x20;
inline constexpr u64 type_tcs = 0x100, type_reg = 0x200, type_trim = 0x400;

inline constexpr u64 zf = 0x40, every_status_flag = 0x8d5;

/// One more processor of a machine whose first one is outside; in the same state.
class Processor {
    std::unique_ptr<Cpu> cpu_ = std::make_unique<Cpu>();
    std::unique_ptr<BlockCache> blocks_ = std::make_unique<BlockCache>();

public:
    explicit Processor(EnclaveMachine& m) {
        std::memcpy(static_cast<void*>(&c), static_cast<const void*>(&m.c), offsetof(Cpu, tlb));
        c.number = 1;
        c.system = &m.system;
        c.blocks = blocks_.get();
        c.code_epoch = 1;
        reset_tlbs(c);
    }
    Cpu& c = *cpu_;

    Result<> encls(EnclsLeaf leaf, u64 rbx_value, u64 rcx_value) {
        load(static_cast<u64>(leaf), rbx_value, rcx_value);
        return sgx::encls(c);
    }
    Result<> enclu(EncluLeaf leaf, u64 rbx_value, u64 rcx_value) {
        load(static_cast<u64>(leaf), rbx_value, rcx_value);
        c.rip = outside_rip;
        c.next_rip = c.rip + 3;
        return sgx::enclu(c);
    }

private:
    void load(u64 leaf, u64 rbx_value, u64 rcx_value) {
        c.gpr[rax] = leaf;
        c.gpr[rbx] = rbx_value;
        c.gpr[rcx] = rcx_value;
        c.pending = {};
    }
};

/// The enclave of build(), initialised, on a processor with SGX2. The first processor is at CPL 0
/// outside, or, after enter(), in the enclave; the second one is the operating system's.
struct Sgx2Machine : EnclaveMachine {
    Sgx2Machine() {
        model.features.set(Feature::sgx2);
        build_and_initialise();
        as_kernel();
    }

    void enter() {
        as_user();
        if (!eenter()) std::abort();
        c.rip = c.next_rip;
    }
    /// An interrupt, and back.
    void bounce() {
        asynchronous_exit(c, {});
        if (!eresume()) std::abort();
        c.rip = c.next_rip;
    }

    void put_secinfo(u64 flags) {
        at<Secinfo>(secinfo_at) = {};
        at<Secinfo>(secinfo_at).flags = SecinfoFlags::from_raw(flags);
    }
    Secinfo& put_own_secinfo(u64 flags) {
        auto& secinfo = epc.at<Secinfo>(data_page * page_size + own_secinfo);
        secinfo = {};
        secinfo.flags = SecinfoFlags::from_raw(flags);
        return secinfo;
    }

    // The operating system's leaves, on the second processor: RAX, or the test fails.
    void eaug() {
        at<Pageinfo>(pageinfo_at) = {elrange + new_offset, 0, 0, window_of(secs_page)};
        ASSERT_TRUE(os.encls(EnclsLeaf::eaug, pageinfo_at, window_of(new_page)).ok());
        map(elrange + new_offset, epc_physical + new_page * page_size, pte_p | pte_w | pte_u);
    }
    SgxError emodpr(u64 page, u64 flags) { return modify(EnclsLeaf::emodpr, page, flags); }
    SgxError emodt(u64 page, u64 flags) { return modify(EnclsLeaf::emodt, page, flags); }
    SgxError eremove(u64 page) { return report(os.encls(EnclsLeaf::eremove, 0, window_of(page))); }
    SgxError etrack() { return report(os.encls(EnclsLeaf::etrack, 0, window_of(secs_page))); }

    // The enclave's, on the first.
    SgxError eaccept(u64 offset, u64 flags) {
        put_own_secinfo(flags);
        EXPECT_TRUE(
            enclu(EncluLeaf::eaccept, elrange + data_offset + own_secinfo, elrange + offset).ok());
        return static_cast<SgxError>(c.gpr[rax]);
    }
    SgxError eacceptcopy(u64 offset, u64 flags, u64 source_offset) {
        put_own_secinfo(flags);
        c.gpr[rdx] = elrange + source_offset;
        const u64 secinfo = elrange + data_offset + own_secinfo;
        EXPECT_TRUE(enclu(EncluLeaf::eacceptcopy, secinfo, elrange + offset).ok());
        return static_cast<SgxError>(c.gpr[rax]);
    }
    bool emodpe(u64 offset, u64 flags) {
        put_own_secinfo(flags);
        const u64 secinfo = elrange + data_offset + own_secinfo;
        return enclu(EncluLeaf::emodpe, secinfo, elrange + offset).ok();
    }

    void always_conflict(unsigned row) { epc.conflicts.rate[row] = u64{1} << 32; }

    Processor os{*this};

private:
    SgxError modify(EnclsLeaf leaf, u64 page, u64 flags) {
        put_secinfo(flags);
        return report(os.encls(leaf, secinfo_at, window_of(page)));
    }
    SgxError report(Result<> result) {
        EXPECT_TRUE(result.ok());
        return static_cast<SgxError>(os.c.gpr[rax]);
    }
};

using Instruction = Result<> (*)(Cpu&);

/// The leaf in RAX faults and changes nothing.
inline void expect_fault(EnclaveMachine& m, Instruction run, const Fault& fault) {
    m.c.pending = {};
    const State before{m};
    EXPECT_FALSE(run(m.c).ok());
    EXPECT_EQ(pending_fault(m.c), fault);
    EXPECT_TRUE(State{m} == before);
}

/// The leaf in RAX does what `change` does to the EPC, and nothing else.
template <class Change>
void expect_silent_success(EnclaveMachine& m, Instruction run, Change change) {
    set_rflags(m.c, rflags(m.c) | every_status_flag);
    const AlignedPages pages = *reinterpret_cast<const AlignedPages*>(m.epc.bytes);
    const std::vector<EpcmEntry> entries = m.epc.entries;
    change(m);
    const State expected{m};
    *reinterpret_cast<AlignedPages*>(m.epc.bytes) = pages;
    m.epc.entries = entries;
    m.c.pending = {};
    EXPECT_TRUE(run(m.c).ok());
    EXPECT_TRUE(State{m} == expected);
}

/// The leaf in RAX reports `status` in RAX and the flags, does what `change` does to the EPC, and
/// nothing else.
template <class Change>
void expect_report(EnclaveMachine& m, Instruction run, u64 status, Change change) {
    const u64 leaf = m.c.gpr[rax];
    const u64 other_flags = rflags(m.c) & ~every_status_flag;
    m.c.gpr[rax] = status;
    set_rflags(m.c, other_flags | (status != 0 ? zf : 0));
    const AlignedPages pages = *reinterpret_cast<const AlignedPages*>(m.epc.bytes);
    const std::vector<EpcmEntry> entries = m.epc.entries;
    change(m);
    const State expected{m};
    *reinterpret_cast<AlignedPages*>(m.epc.bytes) = pages;
    m.epc.entries = entries;
    m.c.gpr[rax] = leaf;
    set_rflags(m.c, other_flags | every_status_flag);
    m.c.pending = {};
    EXPECT_TRUE(run(m.c).ok());
    EXPECT_EQ(m.c.gpr[rax], status);
    EXPECT_TRUE(State{m} == expected);
}

inline void expect_error(EnclaveMachine& m, Instruction run, u64 status) {
    expect_report(m, run, status, [](EnclaveMachine&) {});
}

/// A case in which the leaf reports an error.
struct Refusal {
    const char* name;
    void (*arrange)(Sgx2Machine&);
    u64 status;
};

/// A case in which one check of an SGX2 leaf, and no other, is violated.
struct Breach {
    const char* name;
    void (*arrange)(Sgx2Machine&);
    Fault fault;
};

inline constexpr auto name_of_case = [](const auto& test) { return std::string{test.param.name}; };

}  // namespace postern::cpu::sgx
