// SPDX-License-Identifier: Apache-2.0
// Control-register accesses that touch bits which the guest does not have as it sees them, and
// CR8. All others do not exit.
#include "arch/regs/cr0.h"
#include "hv/apic/virtual_apic.h"
#include "hv/exit/handlers.h"

namespace postern::hv {
namespace {

constexpr u64 task_switched = Cr0Word{Cr0::ts}.to_raw();
/// LMSW writes PE, MP, EM and TS, and cannot clear PE. SDM 2A, "LMSW".
constexpr u64 cleared_by_lmsw = Cr0Word{Cr0::mp, Cr0::em, Cr0::ts}.to_raw();
constexpr u64 written_by_lmsw = cleared_by_lmsw | Cr0Word{Cr0::pe}.to_raw();

/// CR8 is the local APIC's, without a TPR shadow. SDM 3A, "Task Priority in IA-32e Mode".
bool set_task_priority(NormalExit& exit, u64 value) {
    if (value >> 4 != 0) return false;
    exit.apic().set_cr8(value);
    return true;
}

Next accept(NormalExit& exit, bool accepted) {
    return accepted ? exit.done() : exit.fault(Vector::general_protection);
}

Next move_to(NormalExit& exit, CrAccess access) {
    u64 value = exit.read(access.gpr());
    if (!exit.in_64_bit_mode()) value = static_cast<u32>(value);
    switch (access.control_register()) {
        case 0: return accept(exit, exit.set_cr0(value));
        case 3: return accept(exit, exit.set_cr3(value));
        case 4: return accept(exit, exit.set_cr4(value));
        case 8: return accept(exit, set_task_priority(exit, value));
        default: return exit.fault(Vector::invalid_opcode);
    }
}

Next move_from(NormalExit& exit, CrAccess access) {
    if (access.control_register() != 3 && access.control_register() != 8)
        return exit.fault(Vector::invalid_opcode);
    const u64 value = access.control_register() == 3 ? exit.cr3() : exit.apic().cr8();
    exit.write(access.gpr(), exit.in_64_bit_mode() ? value : static_cast<u32>(value));
    return exit.done();
}

}  // namespace

/// SDM 3C, "Exit Qualification", table for control-register accesses. CPL 3 cannot cause one: its
/// #GP comes first.
Next on_control_register(NormalExit& exit) {
    if (exit.cpl() != 0) return exit.fault(Vector::general_protection);
    const auto access = CrAccess::from_raw(exit.qualification());
    const u64 cr0 = exit.cr0();
    switch (access.type()) {
        case CrAccessType::mov_to_cr: return move_to(exit, access);
        case CrAccessType::mov_from_cr: return move_from(exit, access);
        case CrAccessType::clts: return accept(exit, exit.set_cr0(cr0 & ~task_switched));
        case CrAccessType::lmsw: break;
    }
    const u64 written = access.lmsw_source() & written_by_lmsw;
    return accept(exit, exit.set_cr0((cr0 & ~cleared_by_lmsw) | written));
}

}  // namespace postern::hv
