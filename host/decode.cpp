// SPDX-License-Identifier: Apache-2.0
// From Zydis's description of an instruction to ours.
#include "host/decode.h"

#include <Zydis/Zydis.h>

#include <algorithm>
#include <cstring>
#include <optional>

namespace postern::host {

namespace {

using hv::DecodedAccess;
using hv::MemoryOperand;
using hv::Operation;
using hv::Repeat;
using Kind = hv::DecodedAccess::Kind;

struct Instruction {
    ZydisDecodedInstruction head;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

    [[nodiscard]] const ZydisDecodedOperand* memory() const {
        for (unsigned i = 0; i < head.operand_count; ++i)
            if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY) return &operands[i];
        return nullptr;
    }
};

ZydisDecoder decoder_for(hv::CodeSize size) {
    ZydisDecoder decoder;
    switch (size) {
        case hv::CodeSize::bits16:
            ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16);
            break;
        case hv::CodeSize::bits32:
            ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
            break;
        case hv::CodeSize::bits64:
            ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
            break;
    }
    return decoder;
}

bool is_general(ZydisRegister reg) {
    const ZydisRegisterClass in = ZydisRegisterGetClass(reg);
    return in == ZYDIS_REGCLASS_GPR8 || in == ZYDIS_REGCLASS_GPR16 || in == ZYDIS_REGCLASS_GPR32 ||
           in == ZYDIS_REGCLASS_GPR64;
}

u8 row_of(ZydisRegister reg) {
    if (reg == ZYDIS_REGISTER_NONE) return MemoryOperand::none;
    const ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
    return static_cast<u8>(whole - ZYDIS_REGISTER_RAX);
}

SegmentIndex segment_of(ZydisRegister reg) {
    switch (reg) {
        case ZYDIS_REGISTER_ES: return es;
        case ZYDIS_REGISTER_CS: return cs;
        case ZYDIS_REGISTER_SS: return ss;
        case ZYDIS_REGISTER_FS: return fs;
        case ZYDIS_REGISTER_GS: return gs;
        default: return ds;
    }
}

/// Nothing: an operand of vector registers, or one that is not accessed.
std::optional<MemoryOperand> memory_operand(const ZydisDecodedOperand& operand, u8 address_width) {
    if (operand.mem.type != ZYDIS_MEMOP_TYPE_MEM) return std::nullopt;
    MemoryOperand memory;
    memory.address_size = static_cast<u8>(address_width / 8);
    memory.segment = segment_of(operand.mem.segment);
    memory.displacement = static_cast<u64>(operand.mem.disp.value);
    memory.rip_relative =
        operand.mem.base == ZYDIS_REGISTER_RIP || operand.mem.base == ZYDIS_REGISTER_EIP;
    if (!memory.rip_relative) memory.base = row_of(operand.mem.base);
    memory.index = row_of(operand.mem.index);
    memory.scale = std::max<u8>(operand.mem.scale, 1);
    return memory;
}

/// False: none of the general-purpose ones.
bool set_register(DecodedAccess& access, const ZydisDecodedOperand& operand) {
    const ZydisRegister reg = operand.reg.value;
    if (operand.type != ZYDIS_OPERAND_TYPE_REGISTER || !is_general(reg)) return false;
    access.register_size = static_cast<u8>(operand.size / 8);
    access.high_byte = reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH;
    access.gpr = access.high_byte ? static_cast<u8>(reg - ZYDIS_REGISTER_AH) : row_of(reg);
    return true;
}

void set_immediate(DecodedAccess& access, const ZydisDecodedOperand& operand) {
    access.immediate = operand.imm.value.u & (~u64{0} >> (64 - 8 * access.memory_size));
}

struct StringRow {
    ZydisMnemonic mnemonic;
    Kind kind;
};
constexpr StringRow string_rows[]{
    {ZYDIS_MNEMONIC_MOVSB, Kind::move_string},     {ZYDIS_MNEMONIC_MOVSW, Kind::move_string},
    {ZYDIS_MNEMONIC_MOVSD, Kind::move_string},     {ZYDIS_MNEMONIC_MOVSQ, Kind::move_string},
    {ZYDIS_MNEMONIC_STOSB, Kind::store_string},    {ZYDIS_MNEMONIC_STOSW, Kind::store_string},
    {ZYDIS_MNEMONIC_STOSD, Kind::store_string},    {ZYDIS_MNEMONIC_STOSQ, Kind::store_string},
    {ZYDIS_MNEMONIC_LODSB, Kind::load_string},     {ZYDIS_MNEMONIC_LODSW, Kind::load_string},
    {ZYDIS_MNEMONIC_LODSD, Kind::load_string},     {ZYDIS_MNEMONIC_LODSQ, Kind::load_string},
    {ZYDIS_MNEMONIC_CMPSB, Kind::compare_strings}, {ZYDIS_MNEMONIC_CMPSW, Kind::compare_strings},
    {ZYDIS_MNEMONIC_CMPSD, Kind::compare_strings}, {ZYDIS_MNEMONIC_CMPSQ, Kind::compare_strings},
    {ZYDIS_MNEMONIC_SCASB, Kind::scan_string},     {ZYDIS_MNEMONIC_SCASW, Kind::scan_string},
    {ZYDIS_MNEMONIC_SCASD, Kind::scan_string},     {ZYDIS_MNEMONIC_SCASQ, Kind::scan_string},
};

/// The last of F2H and F3H; either repeats what does not compare.
Repeat repeat_of(const ZydisDecodedInstruction& head) {
    Repeat repeat = Repeat::none;
    for (unsigned i = 0; i < head.raw.prefix_count; ++i) {
        if (head.raw.prefixes[i].value == 0xf3) repeat = Repeat::while_equal;
        if (head.raw.prefixes[i].value == 0xf2) repeat = Repeat::while_not_equal;
    }
    return repeat;
}

/// The segment is that of the operand at RSI; the one at RDI is always in ES.
void set_string(DecodedAccess& access, const Instruction& in) {
    const auto* const row = std::ranges::find(string_rows, in.head.mnemonic, &StringRow::mnemonic);
    if (row == std::end(string_rows)) return;
    access.kind = row->kind;
    access.repeat = repeat_of(in.head);
    access.memory = {.address_size = static_cast<u8>(in.head.address_width / 8)};
    for (unsigned i = 0; i < in.head.operand_count; ++i) {
        const ZydisDecodedOperand& operand = in.operands[i];
        if (operand.type != ZYDIS_OPERAND_TYPE_MEMORY) continue;
        access.memory_size = static_cast<u8>(operand.size / 8);
        if (row_of(operand.mem.base) == rsi)
            access.memory.segment = segment_of(operand.mem.segment);
    }
}

struct MoveRow {
    ZydisMnemonic mnemonic;
    Kind load, store;
};
constexpr MoveRow move_rows[]{
    {ZYDIS_MNEMONIC_MOV, Kind::load, Kind::store_register},
    {ZYDIS_MNEMONIC_MOVZX, Kind::load_zero_extended, Kind::unsupported},
    {ZYDIS_MNEMONIC_MOVSX, Kind::load_sign_extended, Kind::unsupported},
    {ZYDIS_MNEMONIC_MOVSXD, Kind::load_sign_extended, Kind::unsupported},
    {ZYDIS_MNEMONIC_MOVNTI, Kind::unsupported, Kind::store_register},
    {ZYDIS_MNEMONIC_MOVBE, Kind::load_swapped, Kind::store_swapped},
    {ZYDIS_MNEMONIC_XCHG, Kind::exchange, Kind::exchange},
    {ZYDIS_MNEMONIC_XADD, Kind::unsupported, Kind::exchange_add},
    {ZYDIS_MNEMONIC_CMPXCHG, Kind::unsupported, Kind::compare_exchange},
    {ZYDIS_MNEMONIC_CMPXCHG8B, Kind::unsupported, Kind::compare_exchange_pair},
    {ZYDIS_MNEMONIC_CMPXCHG16B, Kind::unsupported, Kind::compare_exchange_pair},
};

struct OperationRow {
    ZydisMnemonic mnemonic;
    Operation operation;
};
constexpr OperationRow operation_rows[]{
    {ZYDIS_MNEMONIC_ADD, Operation::add},   {ZYDIS_MNEMONIC_OR, Operation::or_},
    {ZYDIS_MNEMONIC_ADC, Operation::adc},   {ZYDIS_MNEMONIC_SBB, Operation::sbb},
    {ZYDIS_MNEMONIC_AND, Operation::and_},  {ZYDIS_MNEMONIC_SUB, Operation::sub},
    {ZYDIS_MNEMONIC_XOR, Operation::xor_},  {ZYDIS_MNEMONIC_CMP, Operation::cmp},
    {ZYDIS_MNEMONIC_TEST, Operation::test}, {ZYDIS_MNEMONIC_INC, Operation::inc},
    {ZYDIS_MNEMONIC_DEC, Operation::dec},   {ZYDIS_MNEMONIC_NEG, Operation::neg},
    {ZYDIS_MNEMONIC_NOT, Operation::not_},  {ZYDIS_MNEMONIC_ROL, Operation::rol},
    {ZYDIS_MNEMONIC_ROR, Operation::ror},   {ZYDIS_MNEMONIC_RCL, Operation::rcl},
    {ZYDIS_MNEMONIC_RCR, Operation::rcr},   {ZYDIS_MNEMONIC_SHL, Operation::shl},
    {ZYDIS_MNEMONIC_SHR, Operation::shr},   {ZYDIS_MNEMONIC_SAR, Operation::sar},
    {ZYDIS_MNEMONIC_BT, Operation::bt},     {ZYDIS_MNEMONIC_BTS, Operation::bts},
    {ZYDIS_MNEMONIC_BTR, Operation::btr},   {ZYDIS_MNEMONIC_BTC, Operation::btc},
};

bool has_second(const Instruction& in) {
    return in.head.operand_count > 1 && (in.operands[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE ||
                                         (in.operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
                                          is_general(in.operands[1].reg.value)));
}

void set_move(DecodedAccess& access, const Instruction& in, const MoveRow& row) {
    const bool stores = in.operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
    const Kind kind = stores ? row.store : row.load;
    if (kind == Kind::compare_exchange_pair) {
        access.kind = kind;
    } else if (set_register(access, in.operands[stores ? 1 : 0])) {
        access.kind = kind;
        // Intel's MOVSXD of 16 bits reads no more than these; Zydis speaks of AMD's.
        if (row.mnemonic == ZYDIS_MNEMONIC_MOVSXD)
            access.memory_size = std::min(access.memory_size, access.register_size);
    } else if (kind == Kind::store_register &&
               in.operands[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        access.kind = Kind::store_immediate;
        set_immediate(access, in.operands[1]);
    }
}

void set_operation(DecodedAccess& access, const Instruction& in, Operation operation) {
    access.operation = operation;
    access.to_register = in.operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER;
    access.by_register = access.to_register ||
                         (has_second(in) && in.operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER);
    if (access.by_register && !set_register(access, in.operands[access.to_register ? 0 : 1]))
        return;
    if (!access.by_register && has_second(in)) set_immediate(access, in.operands[1]);
    access.kind = operation >= Operation::bt ? Kind::bit : Kind::arithmetic;
}

/// SETcc and CMOVcc: the condition is in the opcode.
void set_conditional(DecodedAccess& access, const Instruction& in) {
    const bool is_set = in.head.meta.category == ZYDIS_CATEGORY_SETCC;
    if (!is_set && in.head.meta.category != ZYDIS_CATEGORY_CMOV) return;
    if (in.head.opcode_map != ZYDIS_OPCODE_MAP_0F) return;
    if (!is_set && !set_register(access, in.operands[0])) return;
    access.kind = is_set ? Kind::set_if : Kind::load_if;
    access.immediate = in.head.opcode & 0xf;
}

/// Instructions of vector registers share mnemonics with others, but not their encodings.
bool is_legacy(const ZydisDecodedInstruction& head) {
    return head.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY;
}

void describe(DecodedAccess& access, const Instruction& in) {
    if (in.head.meta.category == ZYDIS_CATEGORY_STRINGOP) return set_string(access, in);
    const ZydisDecodedOperand* const memory = in.memory();
    if (memory == nullptr) return;
    const auto operand = memory_operand(*memory, in.head.address_width);
    if (!operand || memory->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN) return;
    access.memory = *operand;
    access.memory_size = static_cast<u8>(std::clamp(memory->size / 8, 1, 16));
    if (!is_legacy(in.head) || memory->size / 8 > 16) return;
    access.lock = (in.head.attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0;
    const auto* const move = std::ranges::find(move_rows, in.head.mnemonic, &MoveRow::mnemonic);
    if (move != std::end(move_rows)) return set_move(access, in, *move);
    const auto* const row =
        std::ranges::find(operation_rows, in.head.mnemonic, &OperationRow::mnemonic);
    if (row != std::end(operation_rows)) return set_operation(access, in, row->operation);
    set_conditional(access, in);
}

}  // namespace

hv::DecodedAccess decode_access(const u8* bytes, size_t count, hv::CodeSize size) {
    const ZydisDecoder decoder = decoder_for(size);
    Instruction in;
    DecodedAccess access;
    const size_t most = std::min<size_t>(count, ZYDIS_MAX_INSTRUCTION_LENGTH);
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, most, &in.head, in.operands)))
        return access;
    access.kind = Kind::unsupported;
    access.length = in.head.length;
    describe(access, in);
    return access;
}

hv::DecodedAccess DecodeCache::decode(const u8* bytes, size_t count, hv::CodeSize size) {
    std::array<u8, 15> all{};
    const size_t most = std::min(count, all.size());
    std::memcpy(all.data(), bytes, most);
    u64 start = 0;
    std::memcpy(&start, all.data(), sizeof start);
    Slot& slot = slots_[(start * 0x9e37'79b9'7f4a'7c15) >> 58];
    const size_t length = slot.access.length;
    if (length != 0 && length <= most && slot.size == size &&
        std::memcmp(slot.bytes.data(), all.data(), length) == 0)
        return slot.access;
    const DecodedAccess access = decode_access(bytes, count, size);
    if (access.kind != Kind::undecodable) slot = {all, size, access};
    return access;
}

}  // namespace postern::host
