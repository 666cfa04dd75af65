// SPDX-License-Identifier: Apache-2.0
// Everything about events that outlives one instruction: blocking, activity, what waits to be
// delivered, and what is being delivered right now.
#pragma once

#include "arch/vmx/interruptibility.h"
#include "base/types.h"

namespace postern::cpu {

/// An event on its way through the IDT, in the form of the interruption-information fields.
struct EventInProgress {
    bool valid;
    /// It interrupted an enclave, or was injected with interruptibility bit 4 set: a VM exit met
    /// while it is delivered has bit 27 set. SDM 3C, "Basic VM-Exit Information".
    bool enclave;
    /// It was injected by VM entry: such an exit leaves interruptibility bit 4 as it was.
    bool injected;
    u32 information;
    u32 error_code;
    u32 instruction_length;  // of INT n, INT3, INTO, INT1; else 0
    u64 address;             // CR2 for #PF
};

struct EventState {
    /// Blocking by STI and MOV SS covers the next instruction; NMI blocking lasts to IRET. The
    /// enclave bit is only what VM entry loaded.
    InterruptibilityState blocking;
    ActivityState activity;
    bool nmi_pending;
    bool init_pending;  // by an IPI
    bool sipi_pending;
    u8 sipi_vector;
    bool mtf_pending;
    bool trap_pending;  // a single-step #DB waits at the next boundary
    u64 pending_debug;  // in the VMCS field's format
    EventInProgress delivering;
    EventInProgress injection;  // by VM entry; the first thing the run loop does
    /// The instruction that just ran loaded RF itself (IRET): after_step() leaves it alone.
    bool resume_loaded;
    /// The instruction that just ran (EENTER, ERESUME) drops its own single-step trap and MTF.
    bool trap_inhibited;
    /// Between two iterations of a repeated string instruction: whatever is taken there pushes
    /// RF = 1.
    bool repeating;
    /// B3 to B0 of the data and I/O breakpoints that the running instruction has met.
    u64 watch_hits;
    /// PAUSE-loop exiting: times of the loop's first and latest PAUSE; 0 and 0: none since entry.
    u64 pause_first, pause_latest;
    /// Faults since something retired, and the time of the latest one.
    u64 faults_in_a_row, latest_fault;
};

}  // namespace postern::cpu
