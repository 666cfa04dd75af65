// SPDX-License-Identifier: Apache-2.0
// The mode of the code segment chooses the decoder.
#include "platform/debug/disassembly.h"

#include <Zydis/Zydis.h>

#include <fmt/format.h>

#include "platform/debug/memory.h"

namespace postern::platform {

namespace {

constexpr unsigned longest_instruction = 15;

ZydisDecoder decoder_for(const cpu::Cpu& c) {
    ZydisDecoder decoder;
    const Segment& code = c.segment[cs];
    if (c.efer.has(Efer::lma) && code.is_long())
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    else if (code.db())
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    else
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    return decoder;
}

std::string hex_bytes(std::span<const u8> bytes) {
    std::string text;
    for (const u8 byte : bytes) text += fmt::format("{}{:02x}", text.empty() ? "" : " ", byte);
    return text;
}

}  // namespace

Disassembled disassemble(const cpu::Cpu& c, u64 linear) {
    std::array<u8, longest_instruction> bytes{};
    const size_t count = peek(c, linear, bytes);
    if (count == 0) return {"", "(no memory)", 1};
    const ZydisDecoder decoder = decoder_for(c);
    ZydisDecodedInstruction instruction;
    std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands;
    if (!ZYAN_SUCCESS(
            ZydisDecoderDecodeFull(&decoder, bytes.data(), count, &instruction, operands.data())))
        return {hex_bytes({bytes.data(), 1}), "(bad)", 1};
    ZydisFormatter formatter;
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    std::array<char, 128> text{};
    ZydisFormatterFormatInstruction(&formatter, &instruction, operands.data(),
                                    instruction.operand_count_visible, text.data(), text.size(),
                                    linear, nullptr);
    return {hex_bytes({bytes.data(), instruction.length}), text.data(), instruction.length};
}

std::string instruction_line(const cpu::Cpu& c, u64 linear, const Symbols* symbols) {
    const Disassembled d = disassemble(c, linear);
    const std::string name = symbols != nullptr ? symbols->words(linear) : std::string{};
    return fmt::format("{:016x} {}{:<30} {}", linear, name.empty() ? "" : "<" + name + "> ",
                       d.bytes, d.text);
}

}  // namespace postern::platform
