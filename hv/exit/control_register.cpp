// SPDX-License-Identifier: Apache-2.0
// Control-register accesses that touch bits VMX operation fixes. All others do not exit.
#include "hv/apic/virtual_apic.h"
#include "hv/exit/handlers.h"

namespace postern::hv {
namespace {

/// CR8 is the local APIC's, without a TPR shadow. SDM 3A, "Task Priority in IA-32e Mode".
Next on_task_priority(NormalExit& exit, CrAccess access) {
    if (access.type() == CrAccessType::mov_from_cr) {
        exit.write(access.gpr(), exit.apic().cr8());
        return exit.done();
    }
    const u64 value = exit.read(access.gpr());
    if (value >> 4 != 0) return exit.fault(Vector::general_protection);
    exit.apic().set_cr8(value);
    return exit.done();
}

}  // namespace

/// SDM 3C, "Exit Qualification", table for control-register accesses.
Next on_control_register(NormalExit& exit) {
    const auto access = CrAccess::from_raw(exit.qualification());
    if (access.control_register() == 8) return on_task_priority(exit, access);
    if (access.type() != CrAccessType::mov_to_cr)
        return exit.not_implemented("CLTS, LMSW or MOV from this control register");
    const u64 value = exit.read(access.gpr());
    bool accepted = false;
    switch (access.control_register()) {
        case 0: accepted = exit.set_cr0(value); break;
        case 4: accepted = exit.set_cr4(value); break;
        default: return exit.not_implemented("MOV to CR3 or CR8 that exits");
    }
    return accepted ? exit.done() : exit.fault(Vector::general_protection);
}

}  // namespace postern::hv
