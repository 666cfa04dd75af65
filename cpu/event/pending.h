// SPDX-License-Identifier: Apache-2.0
// Why an instruction did not complete. One of these sits in the processor between the place
// that found the reason and the run loop that acts on it; a Result only says that there is one.
#pragma once

#include "arch/exception.h"
#include "arch/vmx/exit_reason.h"
#include "arch/vmx/interruption_information.h"
#include "base/types.h"

namespace postern::cpu {

enum class PendingKind : u8 {
    none,
    exception,      // deliver vector, error_code; address is CR2's for #PF, DR6 bits for #DB
    vm_exit,        // the instruction, or its access, causes a VM exit
    unimplemented,  // the model lacks what the guest asked for; `what` names it
    debugger,       // nothing happened: the debugger has a breakpoint there
};

struct Pending {
    PendingKind kind;
    Vector vector;
    bool has_error_code;
    /// A #DB trap or INT n / INT3 / INTO: reported with RIP after the instruction.
    bool software;
    /// Of an exception: hardware_exception, or what raise_software() was told.
    InterruptionType type;
    /// IRET had removed blocking by NMI before it failed: a VM exit reports it in bit 12.
    bool nmi_unblocked;
    u32 error_code;
    u64 address;

    BasicReason reason;
    /// Bytes of the exiting instruction; 0 where the exit is not caused by executing one.
    u32 instruction_length;
    u32 instruction_information;
    u64 qualification;
    u64 guest_linear;  // valid for EPT violations when the qualification says so
    u64 guest_physical;

    const char* what;  // static text
};

}  // namespace postern::cpu
