// SPDX-License-Identifier: Apache-2.0
// The control and status words.
#include "cpu/x87/control.h"

#include "base/bits.h"
#include "cpu/event/event.h"
#include "cpu/exec/address.h"
#include "cpu/mmu/access.h"
#include "cpu/x87/environment.h"
#include "cpu/x87/unit.h"

namespace postern::cpu {
namespace {

constexpr u16 fsw_cleared_by_fclex = 0x80ff;

}  // namespace

Result<> check_x87(Cpu& c) {
    if (c.cr0.has_any({Cr0::em, Cr0::ts})) return raise(c, Vector::device_not_available);
    return Done{};
}

/// SDM 2A, "FINIT/FNINIT".
Result<> exec_fninit(Cpu& c, const Insn&) {
    TRY(check_x87(c));
    set_guest_x87(c, initialised(guest_x87(c)));
    return Done{};
}

/// SDM 2A, "FCLEX/FNCLEX".
Result<> exec_fnclex(Cpu& c, const Insn&) {
    TRY(check_x87(c));
    if (c.x87_unit == X87Unit::absent)
        c.vector.x87.fsw = static_cast<u16>(c.vector.x87.fsw & ~fsw_cleared_by_fclex);
    else
        asm volatile("fnclex");
    return Done{};
}

/// #NM needs MP beside TS; EM does not matter. SDM 2D, "WAIT/FWAIT".
Result<> exec_fwait(Cpu& c, const Insn&) {
    if (c.cr0.has_all({Cr0::mp, Cr0::ts})) return raise(c, Vector::device_not_available);
    return check_x87_exception(c);
}

/// SDM 2A, "FLDCW".
Result<> exec_fldcw(Cpu& c, const Insn& i) {
    TRY(check_x87(c));
    TRY(check_x87_exception(c));
    const auto image = static_cast<u16>(TRY(load(c, linear_address(c, i), 2)));
    set_guest_fcw(c, usable_fcw(image));
    return Done{};
}

/// SDM 2A, "FSTCW/FNSTCW".
Result<> exec_fnstcw(Cpu& c, const Insn& i) {
    TRY(check_x87(c));
    return store(c, linear_address(c, i), 2, c.vector.x87.fcw);
}

/// SDM 2A, "FSTSW/FNSTSW".
Result<> exec_fnstsw(Cpu& c, const Insn& i) {
    TRY(check_x87(c));
    const u16 fsw = guest_fsw(c);
    if ((i.form & form_memory) != 0) return store(c, linear_address(c, i), 2, fsw);
    c.gpr[rax] = with_bits<15, 0>(c.gpr[rax], fsw);
    return Done{};
}

/// Nothing since the 387. SDM 3B, "FENI/FNENI, FDISI/FNDISI" and "FSETPM".
Result<> exec_fneni(Cpu& c, const Insn&) { return check_x87(c); }

}  // namespace postern::cpu
