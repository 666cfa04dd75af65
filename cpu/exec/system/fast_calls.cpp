// SPDX-License-Identifier: Apache-2.0
// SYSCALL, SYSRET, SYSENTER, SYSEXIT: no descriptor is read.
#include "cpu/exec/system/common.h"
#include "cpu/exec/system/descriptor.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"

namespace postern::cpu {

namespace {

void go_flat(Cpu& c, u64 rip, u16 code, u16 stack, unsigned privilege, bool is_64_bit = true) {
    c.next_rip = is_64_bit ? rip : static_cast<u32>(rip);
    set_code_segment(c, flat_code_segment(code, privilege, is_64_bit), privilege);
    c.segment[ss] = flat_stack_segment(stack, privilege);
}

Result<> require_syscall(Cpu& c) {
    if (!c.efer.has(Efer::sce)) return invalid_opcode(c);
    return Done{};
}

constexpr u64 rflags_of_sysret = 0x3c'7fd7;

}  // namespace

/// SDM 2B, "SYSCALL".
Result<> exec_syscall(Cpu& c, const Insn&) {
    TRY(refuse_in_enclave(c));
    TRY(require_syscall(c));
    c.gpr[rcx] = c.next_rip;
    c.gpr[r11] = rflags(c);
    set_rflags(c, rflags(c) & ~c.msr.fmask);
    c.flags.set(Rflag::rf, false);
    const auto code = static_cast<u16>(bits<47, 32>(c.msr.star) & 0xfffc);
    go_flat(c, c.msr.lstar, code, static_cast<u16>(bits<47, 32>(c.msr.star) + 8), 0);
    return Done{};
}

/// SDM 2B, "SYSRET".
Result<> exec_sysret(Cpu& c, const Insn& i) {
    TRY(require_syscall(c));
    TRY(require_supervisor(c));
    const bool wide = operand_size(i) == 8;
    if (wide && !is_canonical(c, c.gpr[rcx])) return general_protection(c);
    const u64 user = bits<63, 48>(c.msr.star);
    set_rflags(c, c.gpr[r11] & rflags_of_sysret);
    const u64 code = wide ? user + 16 : user;
    go_flat(c, c.gpr[rcx], static_cast<u16>(code | 3), static_cast<u16>((user + 8) | 3), 3, wide);
    return Done{};
}

/// SDM 2B, "SYSENTER".
Result<> exec_sysenter(Cpu& c, const Insn&) {
    TRY(refuse_in_enclave(c));
    const auto code = static_cast<u16>(c.msr.sysenter_cs & 0xfffc);
    if (in_real_mode(c) || code == 0) return general_protection(c);
    const bool wide = in_ia32e_mode(c);
    c.flags = c.flags.without({Rflag::vm, Rflag::if_});
    c.gpr[rsp] = wide ? c.msr.sysenter_esp : static_cast<u32>(c.msr.sysenter_esp);
    go_flat(c, c.msr.sysenter_eip, code, static_cast<u16>(code + 8), 0, wide);
    return Done{};
}

/// SDM 2B, "SYSEXIT": to 64-bit mode with 64-bit operands, else to 32-bit code.
Result<> exec_sysexit(Cpu& c, const Insn& i) {
    const auto base = static_cast<u16>(c.msr.sysenter_cs & 0xfffc);
    if (in_real_mode(c) || base == 0) return general_protection(c);
    TRY(require_supervisor(c));
    const u64 target = c.gpr[rdx], stack = c.gpr[rcx];
    const bool wide = operand_size(i) == 8;
    if (wide && (!is_canonical(c, target) || !is_canonical(c, stack))) return general_protection(c);
    c.gpr[rsp] = wide ? stack : static_cast<u32>(stack);
    const unsigned code = wide ? 32 : 16;
    go_flat(c, target, static_cast<u16>((base + code) | 3), static_cast<u16>((base + code + 8) | 3),
            3, wide);
    return Done{};
}

}  // namespace postern::cpu
