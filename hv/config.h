// SPDX-License-Identifier: Apache-2.0
// What the owner of a machine decides about a guest before it runs: pages for our own tables,
// the host state to come back to, policies, hidden features, and the state it starts in.
#pragma once

#include <array>

#include "arch/regs/gpr.h"
#include "arch/regs/rflags.h"
#include "base/address.h"
#include "base/flag_word.h"
#include "hv/protections.h"
#include "hv/sgx/capability.h"

namespace postern::hv {

/// How an exit ended, for the run loop.
enum class Next : u8 {
    resume,  // run the guest on
    paused,  // there was no exit: the processor's turn is over
    halt,    // nothing to run until wants_to_run()
    stop,    // it cannot go on; the watcher has had the report
};

/// Pages of physical memory that are the hypervisor's: VMCS, bitmaps, EPT tables. Page-aligned.
struct PagePool {
    Hpa base;
    u32 pages = 0;
};

/// What every VM exit loads. SDM 3C, "Host-State Area".
struct HostState {
    u64 cr0 = 0, cr3 = 0, cr4 = 0, efer = 0, pat = 0;
    u64 rip = 0;  // where the processor is parked after an exit
    u64 rsp = 0;
    u16 cs = 0, ss = 0, ds = 0, es = 0, fs = 0, gs = 0, tr = 0;
    u64 fs_base = 0, gs_base = 0, tr_base = 0, gdtr_base = 0, idtr_base = 0;
    u64 sysenter_esp = 0, sysenter_eip = 0;
    u32 sysenter_cs = 0;
};

/// What the guard injects when an enclave touches a device.
enum class EnclaveFault : u8 { ud, gp, stop };

/// How EPT marks pages without memory behind them.
enum class MmioMarking : u8 { misconfiguration, violation };

enum class HiddenFeature : u8 { rdrand, rdseed, rdtscp, waitpkg, invpcid, xsaves, monitor };
using HiddenFeatures = FlagWord<HiddenFeature, u32>;

struct Config {
    PagePool pool;
    HostState host;
    Protections protections = all_protections;
    EnclaveFault enclave_fault = EnclaveFault::ud;
    MmioMarking mmio_marking = MmioMarking::misconfiguration;
    HiddenFeatures hidden{HiddenFeature::monitor};
    EpcSection epc;
    SgxMasks sgx;
    /// Enclaves of the guest may ask for the provisioning key.
    bool provision_key = false;
    unsigned vcpus = 1;  // 1 to Vm::vcpu_limit
    /// Use what the processor offers of APIC virtualization.
    bool apicv = true;
    /// The guest may be a hypervisor: it has VMX, as far as the processor has it.
    bool nested = false;
    u16 vpid = 1;  // of the first virtual processor; the others' follow
    /// A VM exit every so many ticks of the VMX-preemption timer; 0: none.
    u32 preemption_timer = 0;
    /// Exceptions to intercept and re-inject, a bit for each vector. None is needed.
    u32 exception_bitmap = 0;
    /// Processor-based controls to set against our policy: for scenarios that show what happens
    /// then. Raw bits.
    u32 forced_primary_controls = 0;
    u32 forced_secondary_controls = 0;
    /// The same exit of the same enclave thread, this often in a row and with no more than
    /// `livelock_ticks` of the TSC between two of them, is a livelock.
    u32 livelock_limit = 1000;
    u64 livelock_ticks = 1;
};

/// CR0.ET is set whatever is given, and what the mode is made of.
enum class StartMode : u8 {
    long_64,       // 4-level paging, flat segments: CR0.PE, PG, NE, CR4.PAE, EFER.LME, LMA
    protected_32,  // flat segments, no paging unless cr0 says so: CR0.PE, NE
    real_16,       // a segment's base is its selector times 16
};

/// What a boot loader leaves.
struct StartState {
    StartMode mode = StartMode::long_64;
    u64 rip = 0;
    std::array<u64, gpr_count> gpr{};  // gpr[rsp] included
    u64 rflags = rflags_fixed_one;
    u64 cr0 = 0, cr3 = 0, cr4 = 0, efer = 0;
    u64 gdtr_base = 0, idtr_base = 0;
    u16 gdtr_limit = 0, idtr_limit = 0;
    u16 code_selector = 0x08, data_selector = 0x10, tr_selector = 0;
};

}  // namespace postern::hv
