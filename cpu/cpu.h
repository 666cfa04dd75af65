// SPDX-License-Identifier: Apache-2.0
// One logical processor. Everything up to `tlb` is machine state without host pointers (what a
// snapshot saves); the rest is derived or belongs to the machine.
#pragma once

#include <array>
#include <type_traits>

#include "arch/regs/cr0.h"
#include "arch/regs/cr4.h"
#include "arch/regs/efer.h"
#include "arch/regs/gpr.h"
#include "arch/regs/rflags.h"
#include "arch/regs/segment.h"
#include "base/address.h"
#include "base/result.h"
#include "cpu/event/pending.h"
#include "cpu/event/state.h"
#include "cpu/insn.h"
#include "cpu/mmu/space.h"
#include "cpu/sgx/enclave.h"
#include "cpu/system.h"
#include "cpu/vector_state.h"
#include "cpu/vmx/exit_counts.h"
#include "cpu/vmx/state.h"

namespace postern::cpu {

class BlockCache;  // cpu/decode/block_cache.h
struct Link;

struct DescriptorTable {
    u64 base;
    u32 limit;
};

/// MSRs that are plain storage. Those with a home of their own (EFER, FS base, ...) are not here.
struct MsrState {
    u64 sysenter_cs, sysenter_esp, sysenter_eip;
    u64 star, lstar, cstar, fmask;
    u64 kernel_gs_base;
    u64 tsc_aux;
    u64 tsc_adjust;
    u64 pat;
    u64 apic_base;
    u64 feature_control;
    u64 debugctl;
    u64 misc_enable;
    u64 power_ctl;
    u64 spec_ctrl;
    u64 xss;
    u64 umwait_control;
    u64 mtrr_def_type;
    std::array<u64, 32> mtrr_variable;  // base and mask, alternating
    std::array<u64, 11> mtrr_fixed;
    std::array<u64, 4> sgx_le_pubkey_hash;
};

/// What MONITOR or UMONITOR armed, and the wait of MWAIT, UMWAIT or TPAUSE. SDM 2B, "MONITOR"; SDM
/// 2D, "UMONITOR".
struct Monitor {
    u64 line;      // physical address, aligned to the line
    u64 deadline;  // absolute time at which the wait ends; 0: none
    bool armed;
    bool user;     // by UMONITOR: MWAIT knows nothing of it, nor UMWAIT of MONITOR's
    bool waiting;  // a store to the line ends the wait
    bool masked_interrupts_wake;
    bool limited;  // the deadline is IA32_UMWAIT_CONTROL's: CF tells
};

inline constexpr u64 no_code_page = 1;

struct alignas(64) Cpu {
    // What the hot handlers touch.
    std::array<u64, gpr_rows> gpr;
    u64 rip;
    i64 budget;  // instructions until `horizon`
    u64 result;  // lazy status flags: cpu/flags.h
    u64 carries;
    u32 adjust;
    u32 cpl;

    u64 next_rip;  // while a system instruction runs: where it goes if it completes
    u64 horizon;   // absolute time at which budget is 0
    Rflags flags;  // RFLAGS without the six status flags
    std::array<Segment, 8> segment;
    DescriptorTable gdtr, idtr;
    Cr0Word cr0;
    u64 cr2, cr3;
    Cr4Word cr4;
    EferWord efer;
    u64 xcr0;
    u32 pkru;
    std::array<u64, 4> pdpte;  // PAE paging outside IA-32e mode: loaded with CR3
    std::array<u64, 4> dr;
    u64 dr6, dr7;
    MsrState msr;
    VectorState vector;
    EventState event;
    Pending pending;
    VmxState vmx;
    Enclave enclave;
    Monitor monitor;
    u64 code_page;  // linear page that instructions come from; no_code_page: fetch anew
    SpaceTags spaces;
    u32 number;  // which processor of the machine

    // Derived, or the machine's.
    Tlb* tlb;             // of the current privilege and enclave context
    Tlb* tlbs;            // of the current space, by TlbContext
    u64 tlb_generation;   // rises with every flush
    const u8* code_host;  // first byte of the page that code_page leads to
    u64 code_epoch;       // rises whenever cached code is dropped
    u64 mode_stamp;       // equal stamps mean: same cached code, same mode
    System* system;
    InterruptController* interrupts;  // may be null: nothing ever arrives
    BlockCache* blocks;
    Link* unresolved;    // the link the next block found is to be put into
    bool interrupt_run;  // leave the run loop at the next boundary
    bool turn_over;      // PAUSE: others may go on
    bool recheck;        // a device was written to: look for events after this instruction
    bool host_unit;      // the guest's MXCSR is in the host's unit: cpu/simd/host_unit.h
    X87Unit x87_unit;    // whether its x87 state is there, too: cpu/x87/unit.h
    std::array<TlbSpace, tlb_spaces> translations;  // by SpaceTags
    ExitCounts exit_counts;                         // since the program started, resets included
};

static_assert(std::is_standard_layout_v<Cpu>);
static_assert(offsetof(Cpu, gpr) == 0);

/// Absolute time, in retired instructions = nanoseconds = TSC ticks. Exact between instructions
/// and inside a system instruction (which has not retired yet).
inline u64 now(const Cpu& c) { return c.horizon - static_cast<u64>(c.budget); }

}  // namespace postern::cpu
