// SPDX-License-Identifier: Apache-2.0
// Operands of system instructions, in the places cpu/exec/system.h names.
#include "cpu/decode/instruction_table.h"
#include "cpu/exec/build.h"
#include "cpu/exec/legacy.h"
#include "cpu/exec/system.h"

namespace postern::cpu {
namespace {

/// Into form, for handlers that ask for their operand's size at run time.
void set_size(Insn& i, unsigned bytes) {
    i.form = static_cast<u8>((i.form & ~form_size_mask) | bytes);
}

u8 segment_of(ZydisMnemonic mnemonic) {
    switch (mnemonic) {
        case ZYDIS_MNEMONIC_LFS: return fs;
        case ZYDIS_MNEMONIC_LGS: return gs;
        default: return ss;
    }
}

bool in_enclave(const Decoded& d) { return (d.mode & mode_enclave) != 0; }

/// Far branches through memory; their operand's size is selector and offset together.
Handler far_memory(const Decoded& d, Insn& i, Handler handler) {
    if (in_enclave(d)) return undefined_instruction;
    if (!d.is_memory(0)) return nullptr;
    set_size(i, d.size(0) - 2);
    return handler;
}

}  // namespace

void take_registers(const Decoded& d, Insn& i) {
    for (unsigned n = 0; n < d.instruction.operand_count_visible && n < 2; ++n) {
        if (!d.is_register(n)) continue;
        const u8 row = register_row(d.operand[n].reg.value);
        // One operand may be read or written: it stands in both places.
        if (n == 0) i.dst = row;
        if (n == 1 || d.instruction.operand_count_visible == 1) i.src = row;
    }
}

void take_stack_size(const Decoded& d, Insn& i) {
    set_size(i, d.instruction.operand_width == 16 ? 2 : 8);
}

Handler build_far_jump(const Decoded& d, Insn& i, BlockCache&) {
    return far_memory(d, i, ends_block<exec_far_jump>);
}
Handler build_far_call(const Decoded& d, Insn& i, BlockCache&) {
    return far_memory(d, i, ends_block<exec_far_call>);
}
Handler build_far_return(const Decoded& d, Insn& i, BlockCache&) {
    if (in_enclave(d)) return undefined_instruction;
    set_size(i, d.instruction.operand_width / 8u);
    i.imm = d.is_immediate(0) ? static_cast<i64>(d.operand[0].imm.value.u) : 0;
    return ends_block<exec_far_return>;
}

Handler build_load_segment(const Decoded& d, Insn& i, BlockCache&) {
    i.dst = register_row(d.operand[0].reg.value);
    i.src = segment_of(d.instruction.mnemonic);
    set_size(i, d.size(0));
    return ends_block<exec_lss_lfs_lgs>;
}

Handler build_port(const Decoded& d, Insn& i, BlockCache&) {
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_INSB:
        case ZYDIS_MNEMONIC_INSD:
        case ZYDIS_MNEMONIC_INSW: set_size(i, d.size(0)); return ends_block<exec_ins>;
        case ZYDIS_MNEMONIC_OUTSB:
        case ZYDIS_MNEMONIC_OUTSD:
        case ZYDIS_MNEMONIC_OUTSW: set_size(i, d.size(1)); return ends_block<exec_outs>;
        default: break;
    }
    const bool in = d.instruction.mnemonic == ZYDIS_MNEMONIC_IN;
    const unsigned port = in ? 1 : 0;
    set_size(i, d.size(1 - port));
    if (!d.is_immediate(port)) return in ? ends_block<exec_in_dx> : ends_block<exec_out_dx>;
    i.imm = static_cast<i64>(d.operand[port].imm.value.u & 0xff);
    return in ? ends_block<exec_in_imm> : ends_block<exec_out_imm>;
}

namespace {

/// The segment prefix of an instruction whose address is in a register.
SegmentIndex prefixed_segment(const Decoded& d) {
    struct Prefix {
        ZydisInstructionAttributes attribute;
        SegmentIndex segment;
    };
    constexpr Prefix prefixes[] = {{ZYDIS_ATTRIB_HAS_SEGMENT_CS, cs},
                                   {ZYDIS_ATTRIB_HAS_SEGMENT_SS, ss},
                                   {ZYDIS_ATTRIB_HAS_SEGMENT_ES, es},
                                   {ZYDIS_ATTRIB_HAS_SEGMENT_FS, fs},
                                   {ZYDIS_ATTRIB_HAS_SEGMENT_GS, gs}};
    for (const Prefix& prefix : prefixes)
        if ((d.instruction.attributes & prefix.attribute) != 0) return prefix.segment;
    return ds;
}

}  // namespace

Handler build_umonitor(const Decoded& d, Insn& i, BlockCache&) {
    const SegmentIndex segment = prefixed_segment(d);
    i.dst = register_row(d.operand[0].reg.value);
    i.segment = segment == fs ? row_fs_base : segment == gs ? row_gs_base : row_zero;
    if (is_legacy(d)) {
        i.src = segment;
        set_address_size(d, i);
    }
    return ends_block<exec_umonitor>;
}

}  // namespace postern::cpu
