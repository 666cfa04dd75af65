// SPDX-License-Identifier: Apache-2.0
// Decoding: Zydis reads the bytes by Intel's rules, the instruction table names the builder, the
// builder picks the handler. A block ends at a branch, at a system instruction, at the page's end
// or at its longest; an instruction that crosses into the next page is a block of its own.
#include "cpu/decode/decoder.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "arch/regs/xcr0.h"
#include "cpu/debugger.h"
#include "cpu/decode/instruction_table.h"
#include "cpu/event/event.h"
#include "cpu/exec/follow.h"
#include "cpu/exec/legacy.h"
#include "cpu/exec/segment_check.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"
#include "cpu/model.h"
#include "cpu/simd/thunk.h"
#include "cpu/x87/build.h"

namespace postern::cpu {
namespace {

constexpr unsigned longest_instruction = 15;

struct MachineMode {
    u32 mode;  // bits of BlockMode
    ZydisMachineMode machine;
    ZydisStackWidth stack;  // of the code's size: handlers ask SS.B themselves
};

constexpr u32 machine_mode_mask = mode_legacy | mode_real | mode_ia32e;
constexpr std::array machine_modes{
    MachineMode{0, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
    MachineMode{mode_code_32 | mode_ia32e, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32},
    MachineMode{mode_code_16 | mode_ia32e, ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16},
    MachineMode{mode_code_32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
    MachineMode{mode_code_16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
    MachineMode{mode_code_16 | mode_real, ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16},
    // PE = 0 with a code segment that has D = 1, before a far jump loads another one.
    MachineMode{mode_code_32 | mode_real, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
};

const ZydisDecoder& decoder(u32 mode) {
    static const std::array<ZydisDecoder, machine_modes.size()> decoders = [] {
        std::array<ZydisDecoder, machine_modes.size()> all;
        for (size_t n = 0; n < all.size(); ++n) {
            ZydisDecoderInit(&all[n], machine_modes[n].machine, machine_modes[n].stack);
            // No-operations where the features are missing, and no model has them.
            ZydisDecoderEnableMode(&all[n], ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
            ZydisDecoderEnableMode(&all[n], ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
        }
        return all;
    }();
    size_t n = 0;
    while (n + 1 < machine_modes.size() && machine_modes[n].mode != (mode & machine_mode_mask)) ++n;
    return decoders[n];
}

/// Takes a block's time and goes on to its first instruction, if the block fits into the slice.
Step enter_block(Cpu& c, const Insn* i) {
    if (c.budget < i->remaining) [[unlikely]] {
        c.rip = c.gpr[row_block];
        return Step::lookup;
    }
    c.budget -= i->remaining;
    NEXT(c, i);
}

/// After a block's last instruction when that is no branch.
template <bool far>
Step fall_through(Cpu& c, const Insn* i) {
    Link& link = static_cast<Links*>(const_cast<void*>(i->aux))->not_taken;
    const Insn* n = follow<far>(c, link, address_of(c, i));
    TAIL n->run(c, n);
}

/// Outside 64-bit mode the run loop finds every block.
Step fall_through_legacy(Cpu& c, const Insn* i) {
    c.rip = static_cast<u32>(address_of(c, i));
    return Step::lookup;
}

struct IsaFeature {
    ZydisISASet isa;
    Feature feature;
};

/// Whatever Zydis or the host know: what the model lacks is #UD. Sets that are in neither list are
/// in no model.
constexpr std::array isa_features{
    IsaFeature{ZYDIS_ISA_SET_ADOX_ADCX, Feature::adx},
    IsaFeature{ZYDIS_ISA_SET_AES, Feature::aes},
    IsaFeature{ZYDIS_ISA_SET_AVX, Feature::avx},
    IsaFeature{ZYDIS_ISA_SET_AVX2, Feature::avx2},
    IsaFeature{ZYDIS_ISA_SET_AVX2GATHER, Feature::avx2},
    IsaFeature{ZYDIS_ISA_SET_AVXAES, Feature::aes},
    IsaFeature{ZYDIS_ISA_SET_AVX_GFNI, Feature::gfni},
    IsaFeature{ZYDIS_ISA_SET_BMI1, Feature::bmi1},
    IsaFeature{ZYDIS_ISA_SET_BMI2, Feature::bmi2},
    IsaFeature{ZYDIS_ISA_SET_CLFLUSHOPT, Feature::clflushopt},
    IsaFeature{ZYDIS_ISA_SET_CLWB, Feature::clwb},
    IsaFeature{ZYDIS_ISA_SET_CMPXCHG16B, Feature::cx16},
    IsaFeature{ZYDIS_ISA_SET_F16C, Feature::f16c},
    IsaFeature{ZYDIS_ISA_SET_FMA, Feature::fma},
    IsaFeature{ZYDIS_ISA_SET_GFNI, Feature::gfni},
    IsaFeature{ZYDIS_ISA_SET_INVPCID, Feature::invpcid},
    IsaFeature{ZYDIS_ISA_SET_LZCNT, Feature::lzcnt},
    IsaFeature{ZYDIS_ISA_SET_MONITOR, Feature::monitor},
    IsaFeature{ZYDIS_ISA_SET_MOVBE, Feature::movbe},
    IsaFeature{ZYDIS_ISA_SET_PCLMULQDQ, Feature::pclmulqdq},
    IsaFeature{ZYDIS_ISA_SET_PKU, Feature::pku},
    IsaFeature{ZYDIS_ISA_SET_POPCNT, Feature::popcnt},
    IsaFeature{ZYDIS_ISA_SET_RDPID, Feature::rdpid},
    IsaFeature{ZYDIS_ISA_SET_RDRAND, Feature::rdrand},
    IsaFeature{ZYDIS_ISA_SET_RDSEED, Feature::rdseed},
    IsaFeature{ZYDIS_ISA_SET_RDTSCP, Feature::rdtscp},
    IsaFeature{ZYDIS_ISA_SET_RDWRFSGS, Feature::fsgsbase},
    IsaFeature{ZYDIS_ISA_SET_SGX, Feature::sgx},
    IsaFeature{ZYDIS_ISA_SET_SHA, Feature::sha},
    IsaFeature{ZYDIS_ISA_SET_SMAP, Feature::smap},
    IsaFeature{ZYDIS_ISA_SET_SSE3, Feature::sse3},
    IsaFeature{ZYDIS_ISA_SET_SSE4, Feature::sse4_1},
    IsaFeature{ZYDIS_ISA_SET_SSE42, Feature::sse4_2},
    IsaFeature{ZYDIS_ISA_SET_SSSE3, Feature::ssse3},
    IsaFeature{ZYDIS_ISA_SET_SSSE3MMX, Feature::ssse3},
    IsaFeature{ZYDIS_ISA_SET_VAES, Feature::vaes},
    IsaFeature{ZYDIS_ISA_SET_VPCLMULQDQ, Feature::vpclmulqdq},
    IsaFeature{ZYDIS_ISA_SET_VTX, Feature::vmx},
    IsaFeature{ZYDIS_ISA_SET_WAITPKG, Feature::waitpkg},
    IsaFeature{ZYDIS_ISA_SET_XSAVE, Feature::xsave},
    IsaFeature{ZYDIS_ISA_SET_XSAVEC, Feature::xsavec},
    IsaFeature{ZYDIS_ISA_SET_XSAVEOPT, Feature::xsaveopt},
    IsaFeature{ZYDIS_ISA_SET_XSAVES, Feature::xsaves},
};

/// Every model has these, or decides when they execute. Of CET only what is a NOP without it has
/// rows in the instruction table.
constexpr std::array baseline{
    ZYDIS_ISA_SET_CET,          ZYDIS_ISA_SET_CLFSH,    ZYDIS_ISA_SET_CMOV,
    ZYDIS_ISA_SET_FAT_NOP,      ZYDIS_ISA_SET_FCMOV,    ZYDIS_ISA_SET_FXSAVE,
    ZYDIS_ISA_SET_FXSAVE64,     ZYDIS_ISA_SET_I186,     ZYDIS_ISA_SET_I286PROTECTED,
    ZYDIS_ISA_SET_I286REAL,     ZYDIS_ISA_SET_I386,     ZYDIS_ISA_SET_I486,
    ZYDIS_ISA_SET_I486REAL,     ZYDIS_ISA_SET_I86,      ZYDIS_ISA_SET_LAHF,
    ZYDIS_ISA_SET_LONGMODE,     ZYDIS_ISA_SET_PAUSE,    ZYDIS_ISA_SET_PENTIUMMMX,
    ZYDIS_ISA_SET_PENTIUMREAL,  ZYDIS_ISA_SET_PPRO,     ZYDIS_ISA_SET_PREFETCHWT1,
    ZYDIS_ISA_SET_PREFETCH_NOP, ZYDIS_ISA_SET_RDPMC,    ZYDIS_ISA_SET_SMX,
    ZYDIS_ISA_SET_SSE,          ZYDIS_ISA_SET_SSE2,     ZYDIS_ISA_SET_SSE2MMX,
    ZYDIS_ISA_SET_SSE3X87,      ZYDIS_ISA_SET_SSEMXCSR, ZYDIS_ISA_SET_SSE_PREFETCH,
    ZYDIS_ISA_SET_VMFUNC,       ZYDIS_ISA_SET_X87,
};

bool has_model_feature(const Cpu& c, Feature feature) {
    return c.system->model == nullptr || has_feature(*c.system->model, feature);
}

/// The VEX form of PCLMULQDQ on XMM registers, which Zydis counts as AVX, needs both features.
bool lacks_second_feature(const Cpu& c, const ZydisDecodedInstruction& d) {
    return d.mnemonic == ZYDIS_MNEMONIC_VPCLMULQDQ && !has_model_feature(c, Feature::pclmulqdq);
}

bool model_has(const Cpu& c, const ZydisDecodedInstruction& d) {
    if (c.system->model == nullptr) return true;
    const ZydisISASet isa = d.meta.isa_set;
    if (lacks_second_feature(c, d)) return false;
    for (const IsaFeature& row : isa_features)
        if (row.isa == isa) return has_feature(*c.system->model, row.feature);
    return std::ranges::find(baseline, isa) != baseline.end();
}

bool uses_sse(const ZydisDecodedInstruction& d) {
    switch (d.meta.isa_ext) {
        case ZYDIS_ISA_EXT_SSE:
        case ZYDIS_ISA_EXT_SSE2:
        case ZYDIS_ISA_EXT_SSE3:
        case ZYDIS_ISA_EXT_SSSE3:
        case ZYDIS_ISA_EXT_SSE4:
        case ZYDIS_ISA_EXT_AES:
        case ZYDIS_ISA_EXT_PCLMULQDQ:
        case ZYDIS_ISA_EXT_GFNI:
        case ZYDIS_ISA_EXT_SHA: return true;
        default: return false;
    }
}

bool has_xmm_register(const Decoded& d) {
    for (unsigned n = 0; n < d.instruction.operand_count; ++n)
        if (d.is_register(n) && ZydisRegisterGetClass(d.operand[n].reg.value) == ZYDIS_REGCLASS_XMM)
            return true;
    return false;
}

bool uses_vectors(const InstructionRow* row) {
    return row != nullptr &&
           (row->kind == InstructionClass::exact || row->kind == InstructionClass::model_defined);
}

/// LFENCE, SFENCE, MFENCE, PREFETCHh, PAUSE and CLFLUSH run whatever CR0 and CR4 say; forms on MMX
/// registers alone do not ask CR4.
bool needs_sse_state(const Decoded& d, const InstructionRow* row) {
    return d.instruction.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && uses_sse(d.instruction) &&
           uses_vectors(row) && (!uses_mmx(d) || has_xmm_register(d));
}

bool is_vex(const Decoded& d) { return d.instruction.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX; }

/// VEX-encoded instructions on general registers run whatever CR0, CR4 and XCR0 say. SDM 2A,
/// "AVX Instructions and State Support".
bool needs_avx_state(const Decoded& d, const InstructionRow* row) {
    return is_vex(d) && uses_vectors(row);
}

Step unit_not_available(Cpu& c, const Insn* i) {
    (void)raise(c, Vector::device_not_available);
    return fault_at(c, i);
}

/// SDM 3A, tables "Action Taken By MMX Instructions for Different Combinations of EM, MP and TS"
/// and "... x87 FPU Instructions ...". Those that run in software look by themselves.
Handler refuse_x87(const Decoded& d, const InstructionRow* row) {
    if (row == nullptr || row->kind == InstructionClass::state || !uses_x87(d)) return nullptr;
    if ((d.mode & mode_emulation) != 0)
        return uses_mmx(d) ? undefined_instruction : unit_not_available;
    return (d.mode & mode_task_switched) != 0 ? unit_not_available : nullptr;
}

Step too_long(Cpu& c, const Insn* i) {
    (void)general_protection(c);
    return fault_at(c, i);
}

bool legal_in_enclave(const Cpu& c, const InstructionRow& row) {
    switch (row.enclave) {
        case InEnclave::legal: return true;
        case InEnclave::illegal: return false;
        case InEnclave::with_sgx2:
            return c.system->model != nullptr && has_feature(*c.system->model, Feature::sgx2);
    }
    return false;
}

u8 segment_row(ZydisRegister segment) {
    switch (segment) {
        case ZYDIS_REGISTER_FS: return row_fs_base;
        case ZYDIS_REGISTER_GS: return row_gs_base;
        default: return row_zero;
    }
}

u8 base_row(ZydisRegister r) {
    return r == ZYDIS_REGISTER_NONE ? row_zero : static_cast<u8>(ZydisRegisterGetId(r));
}

/// SIB with mod 0 and base 5 means no base and a displacement, whatever REX.B says (SDM 2A,
/// "ModR/M and SIB Bytes"). With 32-bit addresses Zydis 4.0 makes R13D of it.
ZydisDecodedOperandMem without_absent_base(const Decoded& d, ZydisDecodedOperandMem m) {
    const auto& raw = d.instruction.raw;
    if (raw.sib.offset == 0 || raw.modrm.mod != 0 || raw.sib.base != 5) return m;
    m.base = ZYDIS_REGISTER_NONE;
    m.disp.value = raw.disp.value;
    return m;
}

/// The first memory operand, visible or not (the implicit ones of string instructions are taken
/// from the registers by their handlers; only the segment matters). False: a RIP-relative operand
/// so near the end of its 2 GiB that the distance from the block's start exceeds Insn::disp.
bool take_memory_operand(const Decoded& d, Insn& i) {
    i.base = i.index = i.segment = row_zero;
    for (unsigned n = 0; n < d.instruction.operand_count; ++n) {
        if (!d.is_memory(n)) continue;
        const ZydisDecodedOperandMem m = without_absent_base(d, d.operand[n].mem);
        i.segment = segment_row(m.segment);
        const bool is_visible = n < d.instruction.operand_count_visible;
        if (!is_visible) {
            if (i.segment != row_zero) return true;
            continue;
        }
        i.form |= form_memory;
        const bool relative = m.base == ZYDIS_REGISTER_RIP || m.base == ZYDIS_REGISTER_EIP;
        i.base = relative ? row_block : base_row(m.base);
        i.index = base_row(m.index);
        i.scale = m.index == ZYDIS_REGISTER_NONE
                      ? 0
                      : static_cast<u8>(std::countr_zero(static_cast<unsigned>(m.scale)));
        const i64 disp = m.disp.value + (relative ? i.offset + i.length : 0);
        i.disp = static_cast<i32>(disp);
        return !relative || disp == i.disp;
    }
    return true;
}

u8 form_of(const Decoded& d) {
    u8 form = 0;
    const unsigned size = d.instruction.operand_count_visible != 0 ? d.size(0) : 0;
    if (size <= 8) form |= static_cast<u8>(size);
    if (d.instruction.operand_count_visible == 0)
        form |= static_cast<u8>(d.instruction.operand_width / 8);
    // Zydis tells REP from REPE; both are F3H.
    if (d.has(ZYDIS_ATTRIB_HAS_REP) || d.has(ZYDIS_ATTRIB_HAS_REPE)) form |= form_rep;
    if (d.has(ZYDIS_ATTRIB_HAS_REPNE)) form |= form_repne;
    if (d.instruction.address_width == 32) form |= form_address32;
    return form;
}

Handler pick_handler(Cpu& c, const Decoded& d, Insn& i) {
    const ZydisMnemonic mnemonic = d.instruction.mnemonic;
    const InstructionRow* row = instruction_row(mnemonic);
    if (!model_has(c, d.instruction)) return undefined_instruction;
    if (row != nullptr && (d.mode & mode_enclave) != 0 && !legal_in_enclave(c, *row))
        return undefined_instruction;
    if (needs_sse_state(d, row)) {
        if ((d.mode & mode_sse_off) != 0) return undefined_instruction;
        if ((d.mode & mode_task_switched) != 0) return unit_not_available;
    }
    if (is_vex(d) && (d.mode & mode_real) != 0) return undefined_instruction;
    if (needs_avx_state(d, row)) {
        if ((d.mode & mode_avx_off) != 0 || !has_model_feature(c, Feature::avx))
            return undefined_instruction;
        if ((d.mode & mode_task_switched) != 0) return unit_not_available;
    }
    if (const Handler refused = refuse_x87(d, row)) return refused;
    Handler handler = is_legacy(d) ? build_legacy(d, i) : nullptr;
    if (handler == nullptr && row != nullptr) handler = row->build(d, i, *c.blocks);
    if (handler != nullptr) return handler;
    if (row == nullptr && d.instruction.meta.isa_set == ZYDIS_ISA_SET_CET)
        return undefined_instruction;
    i.aux = ZydisMnemonicGetString(mnemonic);
    return not_implemented;
}

/// Not one of the handlers that say why it cannot.
bool can_run(const Insn& i) {
    return i.run != undefined_instruction && i.run != not_implemented && i.run != too_long &&
           i.run != unit_not_available;
}

/// Does control never simply go on to the next Insn?
bool ends_a_block(const Decoded& d, const Insn& i) {
    if (!can_run(i)) return true;
    if (is_legacy(d) && find_legacy_row(d) != nullptr) return ends_legacy_block(d, i);
    if (d.instruction.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE) return true;
    if (d.instruction.meta.category == ZYDIS_CATEGORY_STRINGOP)
        return (i.form & (form_rep | form_repne)) != 0;
    const InstructionRow* row = instruction_row(d.instruction.mnemonic);
    if (row == nullptr || row->kind == InstructionClass::system) return true;
    return ends_in_system_form(d);
}

enum class Decode : u8 { ok, undefined, too_long, need_more };

Decode decode_bytes(const u8* bytes, unsigned count, Decoded& d) {
    const ZyanStatus status =
        ZydisDecoderDecodeFull(&decoder(d.mode), bytes, count, &d.instruction, d.operand.data());
    if (ZYAN_SUCCESS(status)) return Decode::ok;
    if (status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG) return Decode::too_long;
    if (status == ZYDIS_STATUS_NO_MORE_DATA)
        return count >= longest_instruction ? Decode::too_long : Decode::need_more;
    return Decode::undefined;
}

/// Without the feature the prefix of TZCNT and LZCNT is ignored: BSF and BSR. SDM 2B, "LZCNT",
/// SDM 2D, "TZCNT".
void undo_unknown_prefix(const Cpu& c, Decoded& d) {
    ZydisDecodedInstruction& i = d.instruction;
    if (c.system->model == nullptr) return;
    if (i.mnemonic == ZYDIS_MNEMONIC_TZCNT && !has_feature(*c.system->model, Feature::bmi1))
        i.mnemonic = ZYDIS_MNEMONIC_BSF;
    else if (i.mnemonic == ZYDIS_MNEMONIC_LZCNT && !has_feature(*c.system->model, Feature::lzcnt))
        i.mnemonic = ZYDIS_MNEMONIC_BSR;
    else
        return;
    i.meta.isa_set = ZYDIS_ISA_SET_I386;
}

/// Everything a block is built from, before its size is known.
struct Draft {
    std::array<Insn, 2 * block_max_instructions> insn;  // remaining: number of its instruction
    unsigned used = 0;                                  // of them
    unsigned count = 0;                                 // instructions
    bool open = true;  // control may go on after the last instruction
    u16 bytes = 0;
    const u8* second_page = nullptr;
};

void fill(Cpu& c, Decode outcome, Decoded& d, Insn& i) {
    i.run = outcome == Decode::too_long ? too_long : undefined_instruction;
    if (outcome != Decode::ok) {
        i.length = 1;
        return;
    }
    undo_unknown_prefix(c, d);
    i.length = d.instruction.length;
    i.form = form_of(d);
    if (take_memory_operand(d, i)) {
        i.run = pick_handler(c, d, i);
    } else {
        i.aux = "a RIP-relative operand 2 GiB away";
        i.run = not_implemented;
    }
}

/// Outside 64-bit mode: what goes before an instruction with a memory operand. Afterwards `d` is
/// one of 64-bit mode as far as builders look, its operand at the linear address found.
bool split_operand(Decoded& d, Insn& check, Insn& i) {
    const LegacyRow* row = find_legacy_row(d);
    d.instruction.machine_mode = ZYDIS_MACHINE_MODE_LONG_64;
    if (row != nullptr && !row->operand) return false;
    const unsigned count =
        is_masked_move(d) ? d.instruction.operand_count : d.instruction.operand_count_visible;
    for (unsigned n = 0; n < count; ++n) {
        if (!d.is_memory(n)) continue;
        const bool split = is_masked_move(d) ? split_implicit_operand(d, n, rdi, check, i)
                                             : split_memory_operand(d, n, check, i);
        d.operand[n].mem = {};
        return split;
    }
    return false;
}

void fill_legacy(Cpu& c, Decode outcome, Decoded& d, Draft& draft) {
    Insn check{}, i{};
    check.offset = i.offset = draft.bytes;
    i.run = outcome == Decode::too_long ? too_long : undefined_instruction;
    i.length = 1;
    i.base = i.index = i.segment = row_zero;
    bool split = false;
    if (outcome == Decode::ok) {
        check.length = i.length = d.instruction.length;
        i.form = static_cast<u8>(form_of(d) & ~form_address32);
        split = split_operand(d, check, i);
        i.run = pick_handler(c, d, i);
        if (is_masked_move(d)) i.base = row_linear;
    }
    check.remaining = i.remaining = static_cast<u16>(draft.count);
    if (split && can_run(i)) draft.insn[draft.used++] = check;
    draft.insn[draft.used++] = i;
}

/// Appends what was decoded to the draft.
void add(Cpu& c, Decode outcome, Decoded& d, Draft& draft) {
    if (is_legacy(d)) {
        fill_legacy(c, outcome, d, draft);
    } else {
        Insn& i = draft.insn[draft.used++];
        i = Insn{};
        i.offset = draft.bytes;
        i.remaining = static_cast<u16>(draft.count);
        fill(c, outcome, d, i);
    }
    const Insn& i = draft.insn[draft.used - 1];
    draft.open = outcome == Decode::ok && !ends_a_block(d, i);
    draft.bytes = static_cast<u16>(draft.bytes + i.length);
    ++draft.count;
}

/// The page after the one that holds the instruction at Cpu::rip.
Gva second_page(const Cpu& c) {
    const u64 next = align_up(code_linear(c) + 1, page_size);
    return Gva{in_64_bit_mode(c) ? next : static_cast<u32>(next)};
}

/// The instruction at the end of the page whose last bytes lie in the next one.
Result<> decode_crossing(Cpu& c, Decoded& d, const u8* host, unsigned in_first, Draft& draft) {
    std::array<u8, longest_instruction> bytes;
    std::memcpy(bytes.data(), host, in_first);
    if (is_legacy(d) && !in_code_segment(c.segment[cs], c.rip + in_first))
        return general_protection(c);
    const u8* more = TRY(code_pointer(c, second_page(c)));
    std::memcpy(bytes.data() + in_first, more, longest_instruction - in_first);
    add(c, decode_bytes(bytes.data(), longest_instruction, d), d, draft);
    draft.second_page = more;
    return Done{};
}

Result<> decode_block(Cpu& c, u32 mode, const u8* host, Draft& draft) {
    Decoded d;
    d.mode = mode;
    d.page_offset = static_cast<u16>(reinterpret_cast<u64>(host) % page_size);
    const unsigned to_page_end = static_cast<unsigned>(page_size) - d.page_offset;
    const unsigned limit = (mode & mode_single) != 0 ? 1 : block_max_instructions;
    while (draft.open && draft.count < limit && draft.bytes < to_page_end) {
        if (draft.count != 0 && may_break_at(c, c.rip + draft.bytes)) break;
        const unsigned left = to_page_end - draft.bytes;
        const unsigned count = left < longest_instruction ? left : longest_instruction;
        const Decode outcome = decode_bytes(host + draft.bytes, count, d);
        if (outcome == Decode::need_more) {
            // It crosses: by itself if it comes first, else left to the next block.
            if (draft.count != 0) break;
            return decode_crossing(c, d, host, count, draft);
        }
        add(c, outcome, d, draft);
    }
    return Done{};
}

Handler pick_fall_through(u32 mode, u64 end) {
    if ((mode & mode_legacy) != 0) return fall_through_legacy;
    return end >= page_size ? fall_through<true> : fall_through<false>;
}

Block* finish(Cpu& c, u32 mode, const u8* host, const Draft& draft) {
    const unsigned before = may_break_at(c, c.rip) ? 2 : 1;
    auto* insns = c.blocks->allocate<Insn>(before + draft.used + (draft.open ? 1 : 0));
    for (unsigned n = 0; n < before; ++n) {
        insns[n] = Insn{};
        insns[n].run = n == 0 ? enter_block : debugger_gate;
        insns[n].remaining = static_cast<u16>(draft.count);
    }
    for (unsigned n = 0; n < draft.used; ++n) {
        insns[before + n] = draft.insn[n];
        insns[before + n].remaining = static_cast<u16>(draft.count - draft.insn[n].remaining);
    }
    if (draft.open) {
        auto* links = c.blocks->allocate<Links>(1);
        *links = {};
        Insn& last = insns[before + draft.used];
        last = Insn{};
        last.run = pick_fall_through(mode, reinterpret_cast<u64>(host) % page_size + draft.bytes);
        last.aux = links;
        last.offset = draft.bytes;
    }
    auto* block = c.blocks->allocate<Block>(1);
    *block = {.host = host,
              .second_page = draft.second_page,
              .mode = mode,
              .count = static_cast<u16>(draft.count),
              .bytes = draft.bytes,
              .entry = insns,
              .next_same_slot = nullptr,
              .next_same_page = nullptr};
    c.blocks->insert(c, block);
    return block;
}

/// A cached block that runs into a second page is still right only if that page is where it was.
Result<bool> still_valid(Cpu& c, const Block& block) {
    if (block.second_page == nullptr) return true;
    const u8* more = TRY(code_pointer(c, second_page(c)));
    return more == block.second_page;
}

}  // namespace

Step undefined_instruction(Cpu& c, const Insn* i) {
    (void)invalid_opcode(c);
    return fault_at(c, i);
}

Step not_implemented(Cpu& c, const Insn* i) {
    (void)raise_unimplemented(c, static_cast<const char*>(i->aux));
    return fault_at(c, i);
}

Step leave_for_lookup(Cpu&, const Insn*) { return Step::lookup; }

u8 register_row(ZydisRegister r) {
    const auto id = static_cast<u8>(ZydisRegisterGetId(r));
    if (ZydisRegisterGetClass(r) != ZYDIS_REGCLASS_GPR8) return id;
    if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
        return static_cast<u8>(8 * (r - ZYDIS_REGISTER_AH) + 1);
    if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_BL)
        return static_cast<u8>(8 * (r - ZYDIS_REGISTER_AL));
    return static_cast<u8>(8 * (r - ZYDIS_REGISTER_SPL + 4));
}

bool ends_in_system_form(const Decoded& d) {
    for (unsigned n = 0; n < d.instruction.operand_count_visible; ++n) {
        if (!d.is_register(n)) continue;
        switch (ZydisRegisterGetClass(d.operand[n].reg.value)) {
            case ZYDIS_REGCLASS_CONTROL:
            case ZYDIS_REGCLASS_DEBUG: return true;
            case ZYDIS_REGCLASS_SEGMENT:
                // MOV from a segment register goes on; everything else with one does not.
                return !(d.instruction.mnemonic == ZYDIS_MNEMONIC_MOV && n == 1);
            default: break;
        }
    }
    return false;
}

namespace {

u32 machine_mode(const Cpu& c) {
    if (in_64_bit_mode(c)) [[likely]]
        return 0;
    u32 mode = c.segment[cs].db() ? mode_code_32 : mode_code_16;
    if (in_ia32e_mode(c)) mode |= mode_ia32e;
    if (in_real_mode(c)) mode |= mode_real;
    return mode;
}

}  // namespace

u32 block_mode(const Cpu& c) {
    u32 mode = c.enclave.active ? u32{mode_enclave} : 0;
    if (c.cr0.has(Cr0::em) || !c.cr4.has(Cr4::osfxsr)) mode |= mode_sse_off;
    if (c.cr0.has(Cr0::ts)) mode |= mode_task_switched;
    if (c.cr0.has(Cr0::em)) mode |= mode_emulation;
    const bool avx_on = Xcr0Word::from_raw(c.xcr0).has_all({Xcr0::sse, Xcr0::avx});
    if (!c.cr4.has(Cr4::osxsave) || !avx_on) mode |= mode_avx_off;
    return mode | machine_mode(c);
}

namespace {

/// Where the instructions at Cpu::rip lie; fetched through the TLB if control comes from another
/// page. What is no RAM is fetched anew each time.
Result<const u8*> fetch(Cpu& c) {
    const Gva at{code_linear(c)};
    if (at.page().raw() == c.code_page) return c.code_host + at.offset();
    const u8* host = TRY(code_pointer(c, at));
    if (c.tlb->translates(at.raw(), tlb_executes)) {
        c.code_page = at.page().raw();
        c.code_host = host - at.offset();
    }
    return host;
}

Block* find_or_decode_anywhere(Cpu& c, u32 mode) {
    const Result<const u8*> host = fetch(c);
    if (!host) return nullptr;
    if (Block* cached = c.blocks->find(host.value(), mode)) {
        const Result<bool> valid = still_valid(c, *cached);
        if (!valid) return nullptr;
        if (valid.value()) return cached;
        c.blocks->drop_page(c, cached->second_page);
    }
    Draft draft;
    if (!decode_block(c, mode, host.value(), draft)) return nullptr;
    return finish(c, mode, host.value(), draft);
}

/// A block that reaches beyond the limit of CS becomes single instructions, the last one #GP(0).
Block* find_within_limit(Cpu& c, u32 mode) {
    const Segment& code = c.segment[cs];
    c.rip = static_cast<u32>(c.rip);
    if (!in_code_segment(code, c.rip)) {
        (void)general_protection(c);
        return nullptr;
    }
    Block* block = find_or_decode_anywhere(c, mode);
    if (block == nullptr || in_code_segment(code, c.rip + block->bytes - 1)) return block;
    if ((mode & mode_single) == 0) return find_within_limit(c, mode | mode_single);
    (void)general_protection(c);
    return nullptr;
}

}  // namespace

Block* find_or_decode(Cpu& c, u32 mode) {
    if ((mode & mode_legacy) != 0) [[unlikely]]
        return find_within_limit(c, mode);
    return find_or_decode_anywhere(c, mode);
}

}  // namespace postern::cpu
