// SPDX-License-Identifier: Apache-2.0
// The system instructions, as the instruction table names them: control and debug registers,
// descriptor tables, segments, MSRs, ports, interrupts and returns, time, random numbers. Those
// of VMX itself are in cpu/vmx/exec.h.
#pragma once

#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/insn.h"

namespace postern::cpu {

// All run as said in cpu/insn.h: Cpu::rip is the instruction, Cpu::next_rip what follows it and
// where execution goes on; nothing has retired. Operand conventions are noted where they are not
// "destination row in dst, source row in src, memory operand if form & form_memory".

// Identification, time, random numbers.
Result<> exec_cpuid(Cpu& c, const Insn& i);
Result<> exec_rdtsc(Cpu& c, const Insn& i);
Result<> exec_rdtscp(Cpu& c, const Insn& i);
Result<> exec_rdpid(Cpu& c, const Insn& i);  // dst
Result<> exec_rdpmc(Cpu& c, const Insn& i);
Result<> exec_rdrand(Cpu& c, const Insn& i);  // dst; size 2, 4 or 8
Result<> exec_rdseed(Cpu& c, const Insn& i);

// Registers of the system.
Result<> exec_rdmsr(Cpu& c, const Insn& i);
Result<> exec_wrmsr(Cpu& c, const Insn& i);
Result<> exec_mov_to_cr(Cpu& c, const Insn& i);    // dst: CR number, src: row
Result<> exec_mov_from_cr(Cpu& c, const Insn& i);  // dst: row, src: CR number
Result<> exec_mov_to_dr(Cpu& c, const Insn& i);
Result<> exec_mov_from_dr(Cpu& c, const Insn& i);
Result<> exec_clts(Cpu& c, const Insn& i);
Result<> exec_lmsw(Cpu& c, const Insn& i);  // src or memory
Result<> exec_smsw(Cpu& c, const Insn& i);  // dst (size in form) or memory
Result<> exec_xgetbv(Cpu& c, const Insn& i);
Result<> exec_xsetbv(Cpu& c, const Insn& i);
Result<> exec_rdfsbase(Cpu& c, const Insn& i);  // dst; size 4 or 8
Result<> exec_rdgsbase(Cpu& c, const Insn& i);
Result<> exec_wrfsbase(Cpu& c, const Insn& i);  // src; size 4 or 8
Result<> exec_wrgsbase(Cpu& c, const Insn& i);
Result<> exec_swapgs(Cpu& c, const Insn& i);

// Descriptor tables and segments.
Result<> exec_lgdt(Cpu& c, const Insn& i);
Result<> exec_lidt(Cpu& c, const Insn& i);
Result<> exec_sgdt(Cpu& c, const Insn& i);
Result<> exec_sidt(Cpu& c, const Insn& i);
Result<> exec_lldt(Cpu& c, const Insn& i);  // src or memory
Result<> exec_ltr(Cpu& c, const Insn& i);
Result<> exec_sldt(Cpu& c, const Insn& i);  // dst (size in form) or memory
Result<> exec_str(Cpu& c, const Insn& i);
Result<> exec_mov_to_sreg(Cpu& c, const Insn& i);    // dst: SegmentIndex, src: row or memory
Result<> exec_mov_from_sreg(Cpu& c, const Insn& i);  // dst: row or memory, src: SegmentIndex
Result<> exec_push_segment(Cpu& c, const Insn& i);   // src: SegmentIndex; size 2, 4 or 8
Result<> exec_pop_segment(Cpu& c, const Insn& i);    // dst: SegmentIndex
Result<> exec_push_fs(Cpu& c, const Insn& i);        // size 2 or 8
Result<> exec_push_gs(Cpu& c, const Insn& i);
Result<> exec_pop_fs(Cpu& c, const Insn& i);
Result<> exec_pop_gs(Cpu& c, const Insn& i);
/// dst: general register row, src: SegmentIndex; size of the offset 2, 4 or 8.
Result<> exec_lss_lfs_lgs(Cpu& c, const Insn& i);
Result<> exec_lar(Cpu& c, const Insn& i);  // dst; src or memory
Result<> exec_lsl(Cpu& c, const Insn& i);
Result<> exec_verr(Cpu& c, const Insn& i);  // src or memory
Result<> exec_verw(Cpu& c, const Insn& i);

// Caches and translations.
Result<> exec_invlpg(Cpu& c, const Insn& i);
Result<> exec_invpcid(Cpu& c, const Insn& i);  // dst: the register row with the type
Result<> exec_wbinvd(Cpu& c, const Insn& i);
Result<> exec_invd(Cpu& c, const Insn& i);

// Waiting.
Result<> exec_hlt(Cpu& c, const Insn& i);
Result<> exec_pause(Cpu& c, const Insn& i);
Result<> exec_monitor(Cpu& c, const Insn& i);
Result<> exec_mwait(Cpu& c, const Insn& i);
/// dst: the row with the address; outside 64-bit mode its segment in src.
Result<> exec_umonitor(Cpu& c, const Insn& i);
Result<> exec_umwait(Cpu& c, const Insn& i);  // dst
Result<> exec_tpause(Cpu& c, const Insn& i);  // dst

// Ports; the size of the data in form. INS and OUTS make one iteration: with a REP prefix they
// come back with next_rip = rip until the count is used up.
Result<> exec_in_imm(Cpu& c, const Insn& i);  // imm: port
Result<> exec_in_dx(Cpu& c, const Insn& i);
Result<> exec_out_imm(Cpu& c, const Insn& i);
Result<> exec_out_dx(Cpu& c, const Insn& i);
Result<> exec_ins(Cpu& c, const Insn& i);
Result<> exec_outs(Cpu& c, const Insn& i);  // segment: of RSI

// Flags, interrupts, calls across privileges.
Result<> exec_cli(Cpu& c, const Insn& i);
Result<> exec_sti(Cpu& c, const Insn& i);
Result<> exec_clac(Cpu& c, const Insn& i);
Result<> exec_stac(Cpu& c, const Insn& i);
Result<> exec_pushf(Cpu& c, const Insn& i);  // size 2 or 8
Result<> exec_popf(Cpu& c, const Insn& i);
Result<> exec_int_n(Cpu& c, const Insn& i);  // imm: vector
Result<> exec_int3(Cpu& c, const Insn& i);
Result<> exec_int1(Cpu& c, const Insn& i);
Result<> exec_into(Cpu& c, const Insn& i);
Result<> exec_iret(Cpu& c, const Insn& i);  // size 2, 4 or 8
Result<> exec_syscall(Cpu& c, const Insn& i);
Result<> exec_sysret(Cpu& c, const Insn& i);  // size 4 or 8
Result<> exec_sysenter(Cpu& c, const Insn& i);
Result<> exec_sysexit(Cpu& c, const Insn& i);     // size 4 or 8
Result<> exec_far_return(Cpu& c, const Insn& i);  // size 2, 4 or 8; imm: bytes to release
/// Size of the offset; without a memory operand imm: the offset, and the selector from bit 32 on.
Result<> exec_far_jump(Cpu& c, const Insn& i);
Result<> exec_far_call(Cpu& c, const Insn& i);

// The rest.
Result<> exec_getsec(Cpu& c, const Insn& i);
Result<> exec_rsm(Cpu& c, const Insn& i);
Result<> exec_ud2(Cpu& c, const Insn& i);  // and UD0, UD1
Result<> exec_encls(Cpu& c, const Insn& i);
Result<> exec_enclu(Cpu& c, const Insn& i);

}  // namespace postern::cpu
