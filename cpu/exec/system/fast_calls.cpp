// SPDX-License-Identifier: Apache-2.0
// SYSCALL, SYSRET, SYSENTER, SYSEXIT: no descriptor is read.
#include "cpu/exec/system/common.h"
#include "cpu/exec/system/descriptor.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"

namespace postern::cpu {

namespace {

void go_flat(Cpu& c, u64 rip, u16 code, u16 stack, unsigned privilege) {
    c.next_rip = rip;
    set_code_segment(c, flat_code_segment(code, privilege), privilege);
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
    if (operand_size(i) != 8) return raise_unimplemented(c, "SYSRET to compatibility mode");
    if (!is_canonical(c, c.gpr[rcx])) return general_protection(c);
    const u64 user = bits<63, 48>(c.msr.star);
    set_rflags(c, c.gpr[r11] & rflags_of_sysret);
    go_flat(c, c.gpr[rcx], static_cast<u16>((user + 16) | 3), static_cast<u16>((user + 8) | 3), 3);
    return Done{};
}

/// SDM 2B, "SYSENTER".
Result<> exec_sysenter(Cpu& c, const Insn&) {
    TRY(refuse_in_enclave(c));
    const auto code = static_cast<u16>(c.msr.sysenter_cs & 0xfffc);
    if (code == 0) return general_protection(c);
    c.flags = c.flags.without({Rflag::vm, Rflag::if_});
    c.gpr[rsp] = c.msr.sysenter_esp;
    go_flat(c, c.msr.sysenter_eip, code, static_cast<u16>(code + 8), 0);
    return Done{};
}

/// SDM 2B, "SYSEXIT".
Result<> exec_sysexit(Cpu& c, const Insn& i) {
    const auto base = static_cast<u16>(c.msr.sysenter_cs & 0xfffc);
    if (base == 0) return general_protection(c);
    TRY(require_supervisor(c));
    if (operand_size(i) != 8) return raise_unimplemented(c, "SYSEXIT to compatibility mode");
    if (!is_canonical(c, c.gpr[rcx]) || !is_canonical(c, c.gpr[rdx])) return general_protection(c);
    const u64 target = c.gpr[rdx];
    c.gpr[rsp] = c.gpr[rcx];
    go_flat(c, target, static_cast<u16>((base + 32) | 3), static_cast<u16>((base + 40) | 3), 3);
    return Done{};
}

}  // namespace postern::cpu
