// SPDX-License-Identifier: Apache-2.0
// Control-register accesses that touch bits VMX operation fixes. All others do not exit.
#include "hv/exit/handlers.h"

namespace postern::hv {

/// SDM 3C, "Exit Qualification", table for control-register accesses.
Next on_control_register(NormalExit& exit) {
    const auto access = CrAccess::from_raw(exit.qualification());
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
