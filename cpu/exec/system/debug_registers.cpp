// SPDX-License-Identifier: Apache-2.0
// MOV to and from the debug registers.
#include "arch/regs/dr6.h"
#include "arch/regs/dr7.h"
#include "arch/vmx/exit_qualification.h"
#include "cpu/event/breakpoint.h"
#include "cpu/exec/system/common.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"

namespace postern::cpu {

namespace {

/// The VM exit goes before the check of CPL, DE's #UD and #DB (general detect), too. SDM 3C,
/// "Relative Priority of Faults and VM Exits".
Result<> check_access(Cpu& c, unsigned number, MovDr access) {
    if (number > 7) return invalid_opcode(c);
    if (wants(c, PrimaryControl::mov_dr_exiting))
        return vmx::raise_exit(c, BasicReason::mov_dr, access.to_raw());
    if (c.cr4.has(Cr4::de) && (number == 4 || number == 5)) return invalid_opcode(c);
    TRY(require_supervisor(c));
    if (Dr7Word::from_raw(c.dr7).has(Dr7::gd)) return raise_debug(c, Dr6Word{Dr6::bd}.to_raw());
    return Done{};
}

/// Without CR4.DE, DR4 and DR5 are DR6 and DR7.
constexpr unsigned alias(unsigned number) {
    return number == 4 || number == 5 ? number + 2 : number;
}

constexpr u64 dr7_reserved = 0xdc00;  // bits 15, 14, 12, 11, 10: 10 reads as 1, the others as 0

}  // namespace

/// SDM 2B, "MOV—Move to/from Debug Registers".
Result<> exec_mov_to_dr(Cpu& c, const Insn& i) {
    TRY(check_access(c, i.dst, MovDr::to(i.dst, static_cast<Gpr>(i.src))));
    const u64 value = in_64_bit_mode(c) ? c.gpr[i.src] : static_cast<u32>(c.gpr[i.src]);
    const unsigned number = alias(i.dst);
    if (number > breakpoint_count && value >> 32 != 0) return general_protection(c);
    const bool was_watching = watches_data(c);
    if (number < breakpoint_count)
        c.dr[number] = value;
    else if (number == 6)
        c.dr6 = (value & dr6_writable_mask) | dr6_reset;
    else
        c.dr7 = (value & ~dr7_reserved) | dr7_reset;
    // Which pages the TLB may hold has changed.
    if (was_watching || watches_data(c)) flush_translations(c);
    return Done{};
}

Result<> exec_mov_from_dr(Cpu& c, const Insn& i) {
    TRY(check_access(c, i.src, MovDr::from(i.src, static_cast<Gpr>(i.dst))));
    const unsigned number = alias(i.src);
    const u64 value = number < breakpoint_count ? c.dr[number] : number == 6 ? c.dr6 : c.dr7;
    c.gpr[i.dst] = in_64_bit_mode(c) ? value : static_cast<u32>(value);
    return Done{};
}

}  // namespace postern::cpu
