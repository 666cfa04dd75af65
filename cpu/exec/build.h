// SPDX-License-Identifier: Apache-2.0
// The builders that rows of the instruction table name.
#pragma once

#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/decode/decoded.h"
#include "cpu/exec/fast.h"

namespace postern::cpu {

// alu.cpp, operations of alu_ops.h
template <class Op>
Handler build_binary(const Decoded& d, Insn& i, BlockCache& cache);
template <class Op>
Handler build_unary(const Decoded& d, Insn& i, BlockCache& cache);
template <class Op>
Handler build_shift(const Decoded& d, Insn& i, BlockCache& cache);

// mov.cpp
Handler build_mov(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_movzx(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_movsx(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_lea(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_xchg(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_bswap(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_convert_a(const Decoded& d, Insn& i, BlockCache& cache);  // CBW, CWDE, CDQE
Handler build_convert_d(const Decoded& d, Insn& i, BlockCache& cache);  // CWD, CDQ, CQO
Handler build_flag(const Decoded& d, Insn& i, BlockCache& cache);       // CLC, STC, CMC, CLD, STD
Handler build_ah_flags(const Decoded& d, Insn& i, BlockCache& cache);   // LAHF, SAHF
Handler build_xlat(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_nop(const Decoded& d, Insn& i, BlockCache& cache);

// condition.cpp; the condition is the mnemonic's
Handler build_setcc(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_cmovcc(const Decoded& d, Insn& i, BlockCache& cache);

// branch.cpp
Handler build_jcc(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_jmp(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_call(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_ret(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_loop(const Decoded& d, Insn& i, BlockCache& cache);  // LOOPcc, JRCXZ

// build_system.cpp: the far forms
Handler build_far_jump(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_far_call(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_far_return(const Decoded& d, Insn& i, BlockCache& cache);

// stack.cpp
Handler build_push(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_pop(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_enter(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_leave(const Decoded& d, Insn& i, BlockCache& cache);

// muldiv.cpp
Handler build_mul(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_imul(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_div(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_idiv(const Decoded& d, Insn& i, BlockCache& cache);

// bit.cpp
Handler build_bit_test(const Decoded& d, Insn& i, BlockCache& cache);  // BT, BTS, BTR, BTC
Handler build_bit_scan(const Decoded& d, Insn& i, BlockCache& cache);  // BSF, BSR, *ZCNT, POPCNT
Handler build_double_shift(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_exchange(const Decoded& d, Insn& i, BlockCache& cache);  // CMPXCHG*, XADD

// bmi.cpp
Handler build_bmi(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_movbe(const Decoded& d, Insn& i, BlockCache& cache);

// string.cpp
Handler build_string(const Decoded& d, Insn& i, BlockCache& cache);

// simd/build_simd.cpp: whatever the host's vector units do exactly as the manual says
Handler build_simd(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_vex(const Decoded& d, Insn& i, BlockCache& cache);

// simd/reciprocal.cpp
Handler build_reciprocal(const Decoded& d, Insn& i, BlockCache& cache);

// simd/vex_memory.cpp
Handler build_vex_masked(const Decoded& d, Insn& i, BlockCache& cache);  // VMASKMOV, VPMASKMOV
Handler build_vex_gather(const Decoded& d, Insn& i, BlockCache& cache);

// simd/vex_state.cpp
Handler build_vzero(const Decoded& d, Insn& i, BlockCache& cache);

/// MOVSD and CMPSD name a string instruction and an SSE2 one.
Handler build_string_or_simd(const Decoded& d, Insn& i, BlockCache& cache);

// build_system.cpp
void take_registers(const Decoded& d, Insn& i);   // visible register operands into dst and src
void take_stack_size(const Decoded& d, Insn& i);  // 8, or 2 with 66H, into form
Handler build_load_segment(const Decoded& d, Insn& i, BlockCache& cache);  // LSS, LFS, LGS
Handler build_port(const Decoded& d, Insn& i, BlockCache& cache);
Handler build_umonitor(const Decoded& d, Insn& i, BlockCache& cache);

template <Result<> (*exec)(Cpu&, const Insn&)>
Handler build_system(const Decoded&, Insn&, BlockCache&) {
    return ends_block<exec>;
}
template <Result<> (*exec)(Cpu&, const Insn&)>
Handler build_system_registers(const Decoded& d, Insn& i, BlockCache&) {
    take_registers(d, i);
    return ends_block<exec>;
}
template <Result<> (*exec)(Cpu&, const Insn&)>
Handler build_system_immediate(const Decoded& d, Insn& i, BlockCache&) {
    i.imm = static_cast<i64>(d.operand[0].imm.value.u & 0xff);
    return ends_block<exec>;
}
template <Result<> (*exec)(Cpu&, const Insn&)>
Handler build_stack_flags(const Decoded& d, Insn& i, BlockCache&) {
    take_stack_size(d, i);
    return ends_block<exec>;
}
template <Result<> (*exec)(Cpu&, const Insn&)>
Handler build_in_block(const Decoded& d, Insn& i, BlockCache&) {
    take_registers(d, i);
    return inside_block<exec>;
}

}  // namespace postern::cpu
