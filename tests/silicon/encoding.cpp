// SPDX-License-Identifier: Apache-2.0
// Finding encodings.
#include "silicon/encoding.h"

#include <algorithm>
#include <map>

#include "cpu/decode/instruction_table.h"
#include "silicon/group.h"

namespace postern::silicon {
namespace {

const ZydisDecoder& decoder() {
    static const ZydisDecoder instance = [] {
        ZydisDecoder d;
        ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
        // No-operations where the features are missing, and no model has them.
        ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
        ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
        return d;
    }();
    return instance;
}

constexpr std::array<u8, 4> mandatory_prefixes{0, 0x66, 0xf2, 0xf3};
constexpr u8 vex_two = 0xc5, vex_three = 0xc4;
constexpr u8 some_register = 5;  // other than those that probes use by default

unsigned put_vex(const Encoding& e, const Prefixes& p, u8* bytes) {
    const auto pp = static_cast<u8>(std::ranges::find(mandatory_prefixes, e.prefix) -
                                    mandatory_prefixes.begin());
    const auto last = static_cast<u8>((~p.vvvv & 15) << 3 | (e.is_256 ? 4 : 0) | pp);
    const auto extensions = static_cast<u8>((~p.rex & 7) << 5);  // R, X, B inverted
    unsigned n = 0;
    if (p.two_byte_vex && e.map == 1 && !e.wide && (p.rex & 3) == 0) {
        bytes[n++] = vex_two;
        bytes[n++] = static_cast<u8>((extensions & 0x80) | last);
    } else {
        bytes[n++] = vex_three;
        bytes[n++] = static_cast<u8>(extensions | e.map);
        bytes[n++] = static_cast<u8>((e.wide ? 0x80 : 0) | last);
    }
    bytes[n++] = e.opcode;
    return n;
}

bool is_usable_register(ZydisRegister r) {
    switch (ZydisRegisterGetClass(r)) {
        case ZYDIS_REGCLASS_GPR8:
        case ZYDIS_REGCLASS_GPR16:
        case ZYDIS_REGCLASS_GPR32:
        case ZYDIS_REGCLASS_GPR64:
        case ZYDIS_REGCLASS_X87:
        case ZYDIS_REGCLASS_MMX:
        case ZYDIS_REGCLASS_XMM:
        case ZYDIS_REGCLASS_YMM: return true;
        default: return false;
    }
}

/// Operands that both sides have and that may hold anything.
bool is_usable(const Decoded& d) {
    const bool near = d.instruction.meta.branch_type == ZYDIS_BRANCH_TYPE_NONE ||
                      (d.instruction.meta.branch_type != ZYDIS_BRANCH_TYPE_FAR &&
                       (d.instruction.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) == 0);
    if (!near) return false;
    for (unsigned n = 0; n < d.instruction.operand_count_visible; ++n) {
        const ZydisDecodedOperand& o = d.operand[n];
        if (o.type == ZYDIS_OPERAND_TYPE_REGISTER && !is_usable_register(o.reg.value)) return false;
        if (o.type == ZYDIS_OPERAND_TYPE_MEMORY && o.mem.segment == ZYDIS_REGISTER_FS) return false;
    }
    return true;
}

bool decode_encoding(const Encoding& e, u8 vvvv, Decoded& d) {
    std::array<u8, 16> bytes{};
    unsigned n = put_head(e, {.rex = 0, .vvvv = vvvv, .two_byte_vex = false}, bytes.data());
    bytes[n++] = static_cast<u8>((e.is_memory ? 0 : 0xc0) | e.reg << 3 | (e.is_vsib ? 4 : e.rm));
    if (e.is_vsib) bytes[n] = 0x08;  // base RAX, index 1
    return decode(bytes.data(), bytes.size(), d) && group_of(d) != nullptr;
}
bool decode_encoding(const Encoding& e, Decoded& d) {
    return decode_encoding(e, e.free_vvvv ? some_register : u8{0}, d);
}

using Rows = std::map<ZydisMnemonic, std::vector<Encoding>>;

bool is_compared(ZydisMnemonic mnemonic) {
    const cpu::InstructionRow* row = cpu::instruction_row(mnemonic);
    return row != nullptr && (row->kind == cpu::InstructionClass::integer ||
                              row->kind == cpu::InstructionClass::exact);
}

/// All eight values of ModRM.reg mean the same instruction: it names a register.
bool is_reg_free(Encoding e, ZydisMnemonic mnemonic) {
    if (e.is_vsib) return true;
    for (e.reg = 0; e.reg < 8; ++e.reg) {
        Decoded d;
        if (!decode_encoding(e, d) || d.instruction.mnemonic != mnemonic) return false;
    }
    return true;
}

void add_encodings(Encoding e, Rows& rows) {
    Decoded d;
    if (!decode_encoding(e, d)) d.instruction.mnemonic = ZYDIS_MNEMONIC_INVALID;
    const ZydisMnemonic first = d.instruction.mnemonic;
    const bool modrm = first == ZYDIS_MNEMONIC_INVALID || d.instruction.raw.modrm.offset != 0;
    if (!modrm) {
        e.has_modrm = false;
        if (!e.is_memory && is_compared(first)) rows[first].push_back(e);
        return;
    }
    e.has_modrm = true;
    if (first != ZYDIS_MNEMONIC_INVALID && is_reg_free(e, first)) {
        e.free_reg = true;
        if (is_compared(first)) rows[first].push_back(e);
        return;
    }
    const unsigned rms = e.is_memory ? 1 : 8;
    for (e.reg = 0; e.reg < 8; ++e.reg) {
        ZydisMnemonic of_group = ZYDIS_MNEMONIC_INVALID;
        for (e.rm = 0; e.rm < rms; ++e.rm) {
            if (!decode_encoding(e, d) || d.instruction.mnemonic == of_group) continue;
            of_group = d.instruction.mnemonic;
            if (is_compared(of_group)) rows[of_group].push_back(e);
        }
    }
}

bool is_prefix_byte(unsigned opcode) {
    return (opcode >= 0x40 && opcode < 0x50) || opcode == 0x26 || opcode == 0x2e ||
           opcode == 0x36 || opcode == 0x3e || (opcode >= 0x64 && opcode <= 0x67) ||
           opcode == 0xf0 || opcode == 0xf2 || opcode == 0xf3 || opcode == 0x0f || opcode == 0xc4 ||
           opcode == 0xc5 || opcode == 0x62;
}

/// f(Encoding) for every prefix, width and opcode of the maps.
template <class F>
void for_each_opcode(u8 first_map, F f) {
    for (const u8 prefix : mandatory_prefixes)
        for (const bool wide : {false, true})
            for (u8 map = first_map; map < 4; ++map)
                for (unsigned opcode = 0; opcode < 256; ++opcode)
                    for (const bool is_memory : {false, true}) {
                        Encoding e{};
                        e.prefix = prefix;
                        e.wide = wide;
                        e.map = map;
                        e.opcode = static_cast<u8>(opcode);
                        e.is_memory = is_memory;
                        f(e);
                    }
}

/// VEX.vvvv names a register if more than its "unused" value decodes. Opcode groups are asked by
/// each of their members.
bool takes_vvvv(Encoding e) {
    Decoded d;
    for (e.reg = 0; e.reg < 8; ++e.reg)
        if (decode_encoding(e, some_register, d)) return true;
    return false;
}

void add_vex(Encoding e, Rows& rows) {
    e.vex = true;
    for (const bool is_256 : {false, true})
        for (const bool is_vsib : {false, true}) {
            if (is_vsib && !e.is_memory) continue;
            e.is_256 = is_256;
            e.is_vsib = is_vsib;
            e.free_vvvv = takes_vvvv(e);
            Decoded d;
            const bool has_index =
                is_vsib && decode_encoding(e, d) && d.operand[1].mem.type == ZYDIS_MEMOP_TYPE_VSIB;
            if (is_vsib == has_index) add_encodings(e, rows);
        }
}

}  // namespace

bool Decoded::names(ZydisRegisterClass wanted) const {
    for (unsigned n = 0; n < instruction.operand_count_visible; ++n)
        if (operand[n].type == ZYDIS_OPERAND_TYPE_REGISTER &&
            ZydisRegisterGetClass(operand[n].reg.value) == wanted)
            return true;
    return false;
}

ZyanStatus decode_status(const u8* bytes, size_t count, Decoded& d) {
    return ZydisDecoderDecodeFull(&decoder(), bytes, std::min<size_t>(count, 15), &d.instruction,
                                  d.operand.data());
}

bool decode(const u8* bytes, size_t count, Decoded& d) {
    if (!ZYAN_SUCCESS(decode_status(bytes, count, d))) return false;
    // Zydis 4.0 makes R13D of an absent base under 67H and REX.B.
    const auto& raw = d.instruction.raw;
    if (raw.sib.offset == 0 || raw.modrm.mod != 0 || raw.sib.base != 5) return true;
    for (ZydisDecodedOperand& o : d.operand) {
        if (o.type != ZYDIS_OPERAND_TYPE_MEMORY || o.mem.base != ZYDIS_REGISTER_R13D) continue;
        o.mem.base = ZYDIS_REGISTER_NONE;
        o.mem.disp.has_displacement = 1;
        o.mem.disp.value = raw.disp.value;
    }
    return true;
}

unsigned put_head(const Encoding& e, const Prefixes& p, u8* bytes) {
    if (e.vex) return put_vex(e, p, bytes);
    unsigned n = 0;
    if (e.prefix != 0) bytes[n++] = e.prefix;
    const auto full = static_cast<u8>(p.rex | (e.wide ? 0x48 : 0));
    if (full != 0) bytes[n++] = static_cast<u8>(full | 0x40);
    if (e.map != 0) bytes[n++] = 0x0f;
    if (e.map == 2) bytes[n++] = 0x38;
    if (e.map == 3) bytes[n++] = 0x3a;
    bytes[n++] = e.opcode;
    return n;
}

const Group* group_of(const Decoded& d) {
    if (!is_usable(d)) return nullptr;
    for (const Group* group : groups())
        if (group->takes(d)) return group;
    return nullptr;
}

std::vector<Row> find_rows() {
    Rows found;
    for (int m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; ++m)
        if (is_compared(static_cast<ZydisMnemonic>(m))) found[static_cast<ZydisMnemonic>(m)] = {};
    for_each_opcode(0, [&](const Encoding& e) {
        if (e.map != 0 || !is_prefix_byte(e.opcode)) add_encodings(e, found);
    });
    for_each_opcode(1, [&](const Encoding& e) { add_vex(e, found); });
    Encoding jecxz{};  // JRCXZ with an address-size prefix
    jecxz.prefix = 0x67;
    jecxz.opcode = 0xe3;
    add_encodings(jecxz, found);
    std::vector<Row> rows;
    for (auto& [mnemonic, encodings] : found) rows.push_back({mnemonic, std::move(encodings)});
    return rows;
}

}  // namespace postern::silicon
