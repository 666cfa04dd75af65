// SPDX-License-Identifier: Apache-2.0
// Two processors that run threads of one enclave, beside the one that runs the operating system.
// They take turns, as all processors of a System do.
#pragma once

#include "cpu/mmu/access.h"
#include "unit/cpu/sgx/paging_machine.h"

namespace postern::cpu::sgx {

class ThreadProcessor {
    std::unique_ptr<Cpu> cpu_ = std::make_unique<Cpu>();
    std::unique_ptr<BlockCache> blocks_ = std::make_unique<BlockCache>();

public:
    Cpu& c = *cpu_;

    /// With the registers of `like`, at CPL 3.
    ThreadProcessor(EnclaveMachine& like, u64 offset) : tcs_{elrange + offset} {
        like.as_user();
        std::memcpy(static_cast<void*>(&c), &like.c, offsetof(Cpu, tlb));
        like.as_kernel();
        c.system = &like.system;
        c.blocks = blocks_.get();
        c.code_epoch = 1;
        reset_tlbs(c);
        System& system = like.system;
        if (system.processor_count == 0) system.processors[system.processor_count++] = &like.c;
        system.processors[system.processor_count++] = &c;
    }

    void eenter() { enclu(2, tcs_); }
    void eresume() { enclu(3, tcs_); }
    void eexit() { enclu(4, aep); }
    void aex() { asynchronous_exit(c, {}); }

    /// Does the enclave read the page, by the translation it has or a new one?
    bool reads(u64 offset) {
        u8 byte;
        c.pending = {};
        return load_bytes(c, Gva{elrange + offset}, &byte, 1).ok();
    }

private:
    void enclu(u64 leaf, u64 rbx_value) {
        c.gpr[rax] = leaf;
        c.gpr[rbx] = rbx_value;
        c.gpr[rcx] = aep;
        c.pending = {};
        c.next_rip = c.rip + 3;
        ASSERT_TRUE(sgx::enclu(c).ok());
        c.rip = c.next_rip;
    }

    u64 tcs_;
};

// The second thread.
inline constexpr u64 second_tcs_page = 10, second_tcs_offset = 0x5000;
inline constexpr u64 second_ssa_page = 11, second_ssa_offset = 0x6000;

class TwoProcessors : public PagingMachine {
public:
    ThreadProcessor first{*this, tcs_offset};
    ThreadProcessor second{*this, second_tcs_offset};

    TwoProcessors() {
        build();
        add(second_tcs_page, second_tcs_offset, 0x100);
        add(second_ssa_page, second_ssa_offset, 0x203);
        add(second_ssa_page + 1, second_ssa_offset + page_size, 0x203);
        secs().attributes.flags.set(SgxAttribute::init);
        add_version_array();
    }

private:
    void add(u64 page, u64 offset, u64 flags) {
        prepare_eadd(offset, flags);
        if (page == second_tcs_page) {
            fill_tcs_source();
            at<Tcs>(source_at).ossa = second_ssa_offset;
        }
        EXPECT_TRUE(eadd(page).ok());
        map(elrange + offset, epc_physical + page * page_size, pte_p | pte_w | pte_u);
    }
};

}  // namespace postern::cpu::sgx
