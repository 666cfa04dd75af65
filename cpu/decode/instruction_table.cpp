// SPDX-License-Identifier: Apache-2.0
// The rows of the instruction table. SIMD rows come from cpu/simd/mnemonics.def, x87 rows from
// cpu/x87/mnemonics.def.
#include "cpu/decode/instruction_table.h"

#include <array>

#include "cpu/exec/alu_ops.h"
#include "cpu/exec/build.h"
#include "cpu/exec/system.h"
#include "cpu/simd/fxstate.h"
#include "cpu/simd/xsave.h"
#include "cpu/vmx/exec.h"
#include "cpu/x87/build.h"
#include "cpu/x87/control.h"
#include "cpu/x87/software.h"

namespace postern::cpu {

// Never defined and not constexpr: reaching it stops the build, and its name is the message.
void two_rows_for_one_mnemonic();

namespace {

using enum InstructionClass;
using enum InEnclave;

template <Result<> (*exec)(Cpu&, const Insn&)>
inline constexpr Build plain = build_system<exec>;
template <Result<> (*exec)(Cpu&, const Insn&)>
inline constexpr Build with_registers = build_system_registers<exec>;
template <Result<> (*exec)(Cpu&, const Insn&)>
inline constexpr Build with_immediate = build_system_immediate<exec>;
template <Result<> (*exec)(Cpu&, const Insn&)>
inline constexpr Build in_block = build_in_block<exec>;

/// VMX instructions share one semantic, told by the number of the exit they would cause.
template <BasicReason reason>
Handler build_vmx(const Decoded& d, Insn& i, BlockCache&) {
    take_registers(d, i);
    i.imm = static_cast<i64>(reason);
    return ends_block<vmx::exec_vmx_instruction>;
}

/// For semantics that set neither Cpu::next_rip nor the mode nor what events are due; they may look
/// at RIP, and exit in a guest.
template <Result<> (*exec)(Cpu&, const Insn&)>
Step stays_in_block(Cpu& c, const Insn* i) {
    c.rip = address_of(c, i);
    c.next_rip = c.rip + i->length;
    TAIL inside_block<exec>(c, i);
}

template <Result<> (*exec)(Cpu&, const Insn&)>
Handler build_quiet(const Decoded&, Insn&, BlockCache&) {
    return stays_in_block<exec>;
}

/// In VMX root operation VMREAD and VMWRITE touch the VMCS, a register or memory, and nothing else.
template <BasicReason reason>
Handler build_vmcs_access(const Decoded& d, Insn& i, BlockCache& cache) {
    (void)build_vmx<reason>(d, i, cache);
    return stays_in_block<vmx::exec_vmx_instruction>;
}

// clang-format off
constexpr InstructionRow rows[] = {   // NOLINT: std::array deduces by a fold of 500 arguments
    // Arithmetic and logic
    InstructionRow{ZYDIS_MNEMONIC_ADC, build_binary<Adc>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_ADCX, build_binary<Adcx>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_ADD, build_binary<Add>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_ADOX, build_binary<Adox>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_AND, build_binary<And>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMP, build_binary<Cmp>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_DEC, build_unary<Dec>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_DIV, build_div, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_IDIV, build_idiv, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_IMUL, build_imul, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_INC, build_unary<Inc>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_MUL, build_mul, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_MULX, build_bmi, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_NEG, build_unary<Neg>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_NOT, build_unary<Not>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_OR, build_binary<Or>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SBB, build_binary<Sbb>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SUB, build_binary<Sub>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_TEST, build_binary<Test>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_XOR, build_binary<Xor>, integer, legal},
    // Shifts, rotates, bits
    InstructionRow{ZYDIS_MNEMONIC_ANDN, build_bmi, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_BEXTR, build_bmi, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_BLSI, build_bmi, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_BLSMSK, build_bmi, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_BLSR, build_bmi, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_BSF, build_bit_scan, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_BSR, build_bit_scan, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_BT, build_bit_test, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_BTC, build_bit_test, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_BTR, build_bit_test, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_BTS, build_bit_test, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_BZHI, build_bmi, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_LZCNT, build_bit_scan, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_PDEP, build_bmi, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_PEXT, build_bmi, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_POPCNT, build_bit_scan, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_RCL, build_shift<Rcl>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_RCR, build_shift<Rcr>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_ROL, build_shift<Rol>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_ROR, build_shift<Ror>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_RORX, build_bmi, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SAR, build_shift<Sar>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SARX, build_bmi, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SHL, build_shift<Shl>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SHLD, build_double_shift, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SHLX, build_bmi, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SHR, build_shift<Shr>, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SHRD, build_double_shift, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SHRX, build_bmi, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_TZCNT, build_bit_scan, integer, legal},
    // Moves and conversions
    InstructionRow{ZYDIS_MNEMONIC_BSWAP, build_bswap, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CBW, build_convert_a, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CDQ, build_convert_d, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CDQE, build_convert_a, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMPXCHG, build_exchange, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMPXCHG16B, build_exchange, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMPXCHG8B, build_exchange, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CQO, build_convert_d, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CWD, build_convert_d, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CWDE, build_convert_a, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_LEA, build_lea, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_MOV, build_mov, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_MOVBE, build_movbe, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_MOVSX, build_movsx, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_MOVSXD, build_movsx, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_MOVZX, build_movzx, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_XADD, build_exchange, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_XCHG, build_xchg, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_XLAT, build_xlat, integer, legal},
    // Conditions
    InstructionRow{ZYDIS_MNEMONIC_CMOVB, build_cmovcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMOVBE, build_cmovcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMOVL, build_cmovcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMOVLE, build_cmovcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMOVNB, build_cmovcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMOVNBE, build_cmovcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMOVNL, build_cmovcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMOVNLE, build_cmovcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMOVNO, build_cmovcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMOVNP, build_cmovcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMOVNS, build_cmovcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMOVNZ, build_cmovcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMOVO, build_cmovcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMOVP, build_cmovcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMOVS, build_cmovcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMOVZ, build_cmovcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SETB, build_setcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SETBE, build_setcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SETL, build_setcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SETLE, build_setcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SETNB, build_setcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SETNBE, build_setcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SETNL, build_setcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SETNLE, build_setcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SETNO, build_setcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SETNP, build_setcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SETNS, build_setcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SETNZ, build_setcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SETO, build_setcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SETP, build_setcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SETS, build_setcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SETZ, build_setcc, integer, legal},
    // Flags and no-operations
    InstructionRow{ZYDIS_MNEMONIC_CLC, build_flag, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CLD, build_flag, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMC, build_flag, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_LAHF, build_ah_flags, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SAHF, build_ah_flags, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_STC, build_flag, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_STD, build_flag, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_ENDBR32, build_nop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_ENDBR64, build_nop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_LFENCE, build_nop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_MFENCE, build_nop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_NOP, build_nop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_PREFETCH, build_nop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_PREFETCHNTA, build_nop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_PREFETCHT0, build_nop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_PREFETCHT1, build_nop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_PREFETCHT2, build_nop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_PREFETCHW, build_nop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_PREFETCHWT1, build_nop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_RDSSPD, build_nop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_RDSSPQ, build_nop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SFENCE, build_nop, integer, legal},
    // Branches
    InstructionRow{ZYDIS_MNEMONIC_CALL, build_call, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_JB, build_jcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_JBE, build_jcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_JECXZ, build_loop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_JL, build_jcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_JLE, build_jcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_JMP, build_jmp, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_JNB, build_jcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_JNBE, build_jcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_JNL, build_jcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_JNLE, build_jcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_JNO, build_jcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_JNP, build_jcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_JNS, build_jcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_JNZ, build_jcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_JO, build_jcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_JP, build_jcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_JRCXZ, build_loop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_JS, build_jcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_JZ, build_jcc, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_LOOP, build_loop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_LOOPE, build_loop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_LOOPNE, build_loop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_RET, build_ret, integer, legal},
    // Stack
    InstructionRow{ZYDIS_MNEMONIC_ENTER, build_enter, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_LEAVE, build_leave, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_POP, build_pop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_PUSH, build_push, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_POPF, build_stack_flags<exec_popf>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_POPFQ, build_stack_flags<exec_popf>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_PUSHF, build_stack_flags<exec_pushf>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_PUSHFQ, build_stack_flags<exec_pushf>, system, legal},
    // Strings
    InstructionRow{ZYDIS_MNEMONIC_CMPSB, build_string, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMPSD, build_string_or_simd, exact, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMPSQ, build_string, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CMPSW, build_string, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_LODSB, build_string, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_LODSD, build_string, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_LODSQ, build_string, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_LODSW, build_string, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_MOVSB, build_string, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_MOVSD, build_string_or_simd, exact, legal},
    InstructionRow{ZYDIS_MNEMONIC_MOVSQ, build_string, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_MOVSW, build_string, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SCASB, build_string, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SCASD, build_string, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SCASQ, build_string, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_SCASW, build_string, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_STOSB, build_string, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_STOSD, build_string, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_STOSQ, build_string, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_STOSW, build_string, integer, legal},
    // Identification, time, random numbers, waiting
    InstructionRow{ZYDIS_MNEMONIC_CPUID, build_quiet<exec_cpuid>, quiet, illegal},
    InstructionRow{ZYDIS_MNEMONIC_HLT, plain<exec_hlt>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_MONITOR, plain<exec_monitor>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_MWAIT, plain<exec_mwait>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_PAUSE, plain<exec_pause>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_RDPID, with_registers<exec_rdpid>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_RDPMC, plain<exec_rdpmc>, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_RDRAND, with_registers<exec_rdrand>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_RDSEED, with_registers<exec_rdseed>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_RDTSC, build_quiet<exec_rdtsc>, quiet, with_sgx2},
    InstructionRow{ZYDIS_MNEMONIC_RDTSCP, plain<exec_rdtscp>, system, with_sgx2},
    InstructionRow{ZYDIS_MNEMONIC_TPAUSE, with_registers<exec_tpause>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_UMONITOR, build_umonitor, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_UMWAIT, with_registers<exec_umwait>, system, legal},
    // Registers of the system
    InstructionRow{ZYDIS_MNEMONIC_CLTS, plain<exec_clts>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_LMSW, with_registers<exec_lmsw>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_RDFSBASE, with_registers<exec_rdfsbase>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_RDGSBASE, with_registers<exec_rdgsbase>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_RDMSR, build_quiet<exec_rdmsr>, quiet, legal},
    InstructionRow{ZYDIS_MNEMONIC_SMSW, with_registers<exec_smsw>, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_SWAPGS, plain<exec_swapgs>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_WRFSBASE, with_registers<exec_wrfsbase>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_WRGSBASE, with_registers<exec_wrgsbase>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_WRMSR, plain<exec_wrmsr>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_XGETBV, plain<exec_xgetbv>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_XSETBV, plain<exec_xsetbv>, system, legal},
    // Descriptor tables and segments
    InstructionRow{ZYDIS_MNEMONIC_LAR, with_registers<exec_lar>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_LFS, build_load_segment, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_LGDT, plain<exec_lgdt>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_LGS, build_load_segment, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_LIDT, plain<exec_lidt>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_LLDT, with_registers<exec_lldt>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_LSL, with_registers<exec_lsl>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_LSS, build_load_segment, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_LTR, with_registers<exec_ltr>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_SGDT, plain<exec_sgdt>, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_SIDT, plain<exec_sidt>, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_SLDT, with_registers<exec_sldt>, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_STR, with_registers<exec_str>, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_VERR, with_registers<exec_verr>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_VERW, with_registers<exec_verw>, system, legal},
    // Caches and translations
    InstructionRow{ZYDIS_MNEMONIC_CLFLUSH, build_nop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CLFLUSHOPT, build_nop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_CLWB, build_nop, integer, legal},
    InstructionRow{ZYDIS_MNEMONIC_INVD, plain<exec_invd>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_INVLPG, plain<exec_invlpg>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_INVPCID, with_registers<exec_invpcid>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_WBINVD, plain<exec_wbinvd>, system, legal},
    // Ports
    InstructionRow{ZYDIS_MNEMONIC_IN, build_port, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_INSB, build_port, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_INSD, build_port, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_INSW, build_port, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_OUT, build_port, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_OUTSB, build_port, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_OUTSD, build_port, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_OUTSW, build_port, system, illegal},
    // Flags, interrupts, calls across privileges
    InstructionRow{ZYDIS_MNEMONIC_CLAC, plain<exec_clac>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_CLI, build_quiet<exec_cli>, quiet, legal},
    InstructionRow{ZYDIS_MNEMONIC_INT, with_immediate<exec_int_n>, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_INT1, plain<exec_int1>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_INT3, plain<exec_int3>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_IRET, plain<exec_iret>, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_IRETD, plain<exec_iret>, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_IRETQ, plain<exec_iret>, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_STAC, plain<exec_stac>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_STI, plain<exec_sti>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_SYSCALL, plain<exec_syscall>, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_SYSENTER, plain<exec_sysenter>, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_SYSEXIT, plain<exec_sysexit>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_SYSRET, plain<exec_sysret>, system, legal},
    // State of the extended units
    InstructionRow{ZYDIS_MNEMONIC_FXRSTOR, in_block<exec_fxrstor>, state, legal},
    InstructionRow{ZYDIS_MNEMONIC_FXRSTOR64, in_block<exec_fxrstor>, state, legal},
    InstructionRow{ZYDIS_MNEMONIC_FXSAVE, in_block<exec_fxsave>, state, legal},
    InstructionRow{ZYDIS_MNEMONIC_FXSAVE64, in_block<exec_fxsave>, state, legal},
    InstructionRow{ZYDIS_MNEMONIC_LDMXCSR, in_block<exec_ldmxcsr>, exact, legal},
    InstructionRow{ZYDIS_MNEMONIC_STMXCSR, in_block<exec_stmxcsr>, exact, legal},
    InstructionRow{ZYDIS_MNEMONIC_XRSTOR, in_block<exec_xrstor>, state, legal},
    InstructionRow{ZYDIS_MNEMONIC_XRSTOR64, in_block<exec_xrstor>, state, legal},
    InstructionRow{ZYDIS_MNEMONIC_XRSTORS, in_block<exec_xrstors>, state, legal},
    InstructionRow{ZYDIS_MNEMONIC_XRSTORS64, in_block<exec_xrstors>, state, legal},
    InstructionRow{ZYDIS_MNEMONIC_XSAVE, in_block<exec_xsave>, state, legal},
    InstructionRow{ZYDIS_MNEMONIC_XSAVE64, in_block<exec_xsave>, state, legal},
    InstructionRow{ZYDIS_MNEMONIC_XSAVEC, in_block<exec_xsavec>, state, legal},
    InstructionRow{ZYDIS_MNEMONIC_XSAVEC64, in_block<exec_xsavec>, state, legal},
    InstructionRow{ZYDIS_MNEMONIC_XSAVEOPT, in_block<exec_xsaveopt>, state, legal},
    InstructionRow{ZYDIS_MNEMONIC_XSAVEOPT64, in_block<exec_xsaveopt>, state, legal},
    InstructionRow{ZYDIS_MNEMONIC_XSAVES, in_block<exec_xsaves>, state, legal},
    InstructionRow{ZYDIS_MNEMONIC_XSAVES64, in_block<exec_xsaves>, state, legal},
    InstructionRow{ZYDIS_MNEMONIC_RDPKRU, in_block<exec_rdpkru>, state, legal},
    InstructionRow{ZYDIS_MNEMONIC_WRPKRU, in_block<exec_wrpkru>, state, legal},
#define SIMD(mnemonic, feature) \
    InstructionRow{ZYDIS_MNEMONIC_##mnemonic, build_simd, exact, legal},
#define SIMD_INTEGER(mnemonic, feature) \
    InstructionRow{ZYDIS_MNEMONIC_##mnemonic, build_simd, integer, legal},
#define SIMD_MMX(mnemonic, feature) \
    InstructionRow{ZYDIS_MNEMONIC_##mnemonic, build_simd, exact, legal},
#define SIMD_MODEL_DEFINED(mnemonic, feature) \
    InstructionRow{ZYDIS_MNEMONIC_##mnemonic, build_reciprocal, model_defined, legal},
#include "cpu/simd/mnemonics.def"
#define X87_EXACT(mnemonic) \
    InstructionRow{ZYDIS_MNEMONIC_##mnemonic, build_x87, exact, legal},
#define X87_REMAINDER(mnemonic) \
    InstructionRow{ZYDIS_MNEMONIC_##mnemonic, build_x87_remainder, model_defined, legal},
#define X87_SOFTWARE(mnemonic, name) \
    InstructionRow{ZYDIS_MNEMONIC_##mnemonic, build_x87_state<exec_##name>, model_defined, legal},
#define X87_STATE(mnemonic, name) \
    InstructionRow{ZYDIS_MNEMONIC_##mnemonic, build_x87_state<exec_##name>, state, legal},
#include "cpu/x87/mnemonics.def"
#define VEX(mnemonic) \
    InstructionRow{ZYDIS_MNEMONIC_##mnemonic, build_vex, exact, legal},
#define VEX_MASKED(mnemonic) \
    InstructionRow{ZYDIS_MNEMONIC_##mnemonic, build_vex_masked, exact, legal},
#define VEX_GATHER(mnemonic) \
    InstructionRow{ZYDIS_MNEMONIC_##mnemonic, build_vex_gather, exact, legal},
#define VEX_MODEL_DEFINED(mnemonic) \
    InstructionRow{ZYDIS_MNEMONIC_##mnemonic, build_reciprocal, model_defined, legal},
#include "cpu/simd/vex_mnemonics.def"
    InstructionRow{ZYDIS_MNEMONIC_VLDMXCSR, in_block<exec_vldmxcsr>, exact, legal},
    InstructionRow{ZYDIS_MNEMONIC_VMASKMOVDQU, build_simd, exact, legal},
    InstructionRow{ZYDIS_MNEMONIC_VSTMXCSR, in_block<exec_vstmxcsr>, exact, legal},
    InstructionRow{ZYDIS_MNEMONIC_VZEROALL, build_vzero, exact, legal},
    InstructionRow{ZYDIS_MNEMONIC_VZEROUPPER, build_vzero, exact, legal},
    // SGX, VMX, SMX, SMM
    InstructionRow{ZYDIS_MNEMONIC_ENCLS, plain<exec_encls>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_ENCLU, plain<exec_enclu>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_GETSEC, plain<exec_getsec>, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_RSM, plain<exec_rsm>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_UD0, plain<exec_ud2>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_UD1, plain<exec_ud2>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_UD2, plain<exec_ud2>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_VMCALL, plain<vmx::exec_vmcall>, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_VMFUNC, build_vmx<BasicReason::vmfunc>, system, illegal},
    InstructionRow{ZYDIS_MNEMONIC_INVEPT, build_vmx<BasicReason::invept>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_INVVPID, build_vmx<BasicReason::invvpid>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_VMCLEAR, build_vmx<BasicReason::vmclear>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_VMLAUNCH, build_vmx<BasicReason::vmlaunch>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_VMPTRLD, build_vmx<BasicReason::vmptrld>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_VMPTRST, build_vmx<BasicReason::vmptrst>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_VMREAD, build_vmcs_access<BasicReason::vmread>, quiet, legal},
    InstructionRow{ZYDIS_MNEMONIC_VMRESUME, build_vmx<BasicReason::vmresume>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_VMWRITE, build_vmcs_access<BasicReason::vmwrite>, quiet, legal},
    InstructionRow{ZYDIS_MNEMONIC_VMXOFF, build_vmx<BasicReason::vmxoff>, system, legal},
    InstructionRow{ZYDIS_MNEMONIC_VMXON, build_vmx<BasicReason::vmxon>, system, legal},
};
// clang-format on

using Index = std::array<const InstructionRow*, ZYDIS_MNEMONIC_MAX_VALUE + 1>;

consteval Index index_rows() {
    Index index{};
    for (const InstructionRow& row : rows) {
        if (index[row.mnemonic] != nullptr) two_rows_for_one_mnemonic();
        index[row.mnemonic] = &row;
    }
    return index;
}
constexpr Index index = index_rows();

}  // namespace

const InstructionRow* instruction_row(ZydisMnemonic mnemonic) { return index[mnemonic]; }

}  // namespace postern::cpu
