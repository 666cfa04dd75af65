// SPDX-License-Identifier: Apache-2.0
// The run loop: blocks, events, time.
#pragma once

#include "cpu/cpu.h"

namespace postern::cpu {

enum class RunOutcome : u8 {
    time,            // `until` was reached
    vm_exit,         // hosted: a VM exit is complete
    halted,          // HLT or MWAIT, and nothing wakes the processor before `until`
    shutdown,        // triple fault in VMX root operation or outside VMX; or a VMX abort
    stop_requested,  // a device asked for it
    unimplemented,   // Cpu::pending.what names it
    breakpoint,      // the debugger's: Debugger::hit
};

/// Runs until absolute time `until` at the latest, exactly to the instruction.
RunOutcome run(Cpu& c, u64 until);

/// Power-on state. SDM 3A, "Processor State After Reset". `c.system` must be set; the caches it
/// needs are made here and released by destroy().
void reset(Cpu& c, System& system, u32 number);
void destroy(Cpu& c);

}  // namespace postern::cpu
