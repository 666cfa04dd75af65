// SPDX-License-Identifier: Apache-2.0
// IF, AC, and RFLAGS as a whole.
#include "cpu/flags.h"
#include "cpu/exec/system/common.h"

namespace postern::cpu {

namespace {

bool may_change_if(const Cpu& c) { return c.cpl <= iopl(c.flags); }

/// Protected-mode virtual interrupts: CLI and STI of CPL 3 work on VIF.
bool uses_virtual_if(const Cpu& c) { return c.cpl == 3 && c.cr4.has(Cr4::pvi); }

}  // namespace

/// SDM 2A, "CLI".
Result<> exec_cli(Cpu& c, const Insn&) {
    if (may_change_if(c))
        c.flags.set(Rflag::if_, false);
    else if (uses_virtual_if(c))
        c.flags.set(Rflag::vif, false);
    else
        return general_protection(c);
    return Done{};
}

/// SDM 2B, "STI". Blocks interrupts for one instruction if it turns them on.
Result<> exec_sti(Cpu& c, const Insn&) {
    if (may_change_if(c)) {
        if (!c.flags.has(Rflag::if_)) c.event.blocking.set(Interruptibility::sti);
        c.flags.set(Rflag::if_);
        return Done{};
    }
    if (!uses_virtual_if(c) || c.flags.has(Rflag::vip)) return general_protection(c);
    c.flags.set(Rflag::vif);
    return Done{};
}

namespace {

Result<> set_ac(Cpu& c, bool on) {
    TRY(require(c, Feature::smap));
    if (c.cpl != 0) return invalid_opcode(c);
    c.flags.set(Rflag::ac, on);
    return Done{};
}

}  // namespace

/// SDM 2A, "CLAC"; SDM 2B, "STAC".
Result<> exec_clac(Cpu& c, const Insn&) { return set_ac(c, false); }
Result<> exec_stac(Cpu& c, const Insn&) { return set_ac(c, true); }

/// SDM 2B, "PUSHF/PUSHFD/PUSHFQ". The image shows neither VM nor RF.
Result<> exec_pushf(Cpu& c, const Insn& i) {
    const u64 image = Rflags::from_raw(rflags(c)).without({Rflag::vm, Rflag::rf}).to_raw();
    return push_value(c, image, operand_size(i));
}

namespace {

/// What POPF may change. SDM 2B, "POPF/POPFD/POPFQ", table "Effect of POPF/POPFD on the EFLAGS
/// Register".
u64 popf_mask(const Cpu& c, unsigned size) {
    Rflags mask = Rflags::from_raw(rflags_status_mask) |
                  Rflags{Rflag::tf, Rflag::df, Rflag::nt, Rflag::ac, Rflag::id};
    if (may_change_if(c)) mask.set(Rflag::if_);
    const u64 raw = mask.to_raw() | (c.cpl == 0 ? rflags_iopl_mask : 0);
    return size == 2 ? raw & 0xffff : raw;
}

}  // namespace

/// SDM 2B, "POPF/POPFD/POPFQ". After an opt-out entry to an enclave TF stays 0.
Result<> exec_popf(Cpu& c, const Insn& i) {
    const unsigned size = operand_size(i);
    const u64 image = TRY(peek_stack(c, size));
    const u64 mask = popf_mask(c, size);
    release_stack(c, size);
    set_rflags(c, (rflags(c) & ~mask) | (image & mask));
    c.flags.set(Rflag::rf, false);
    if (c.enclave.active && !c.enclave.debug_opt_in) c.flags.set(Rflag::tf, false);
    return Done{};
}

}  // namespace postern::cpu
