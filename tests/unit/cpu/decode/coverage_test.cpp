// SPDX-License-Identifier: Apache-2.0
// Every instruction that Zydis knows, legacy and VEX encoded, put before a processor that has
// every feature: it must run, fault, or be #UD, and only what stands below may be refused as not
// implemented.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "cpu/decode/decoded.h"
#include "support/guest_code.h"

namespace postern::cpu {
namespace {

/// Instruction sets with rows that are missing.
const std::set<std::string> missing_sets{
    "AVX", "AVX2", "AVX2GATHER", "F16C",    "FCMOV",   "FMA",  "PKU", "PENTIUMMMX", "PPRO",
    "SSE", "SSE2", "SSE3",       "SSE2MMX", "SSE3X87", "VAES", "X87", "VPCLMULQDQ"};

struct Form {
    std::array<u8, 16> bytes{};
    unsigned length = 0;
    std::string isa, mnemonic;
};

/// Bytes of one way to write an instruction: prefix, width, map, opcode, ModRM.
struct Writer {
    std::array<u8, 16> bytes{};
    unsigned n = 0;
    void put(unsigned byte) { bytes[n++] = static_cast<u8>(byte); }
    void put_operands(unsigned modrm) {
        put(modrm);
        if (modrm < 0xc0 && (modrm & 7) == 4) put(0x08);  // [RAX + index 1]
    }
};
constexpr std::array<u8, 4> prefixes{0, 0x66, 0xf2, 0xf3};

bool is_prefix(unsigned opcode) {
    return (opcode & 0xf0) == 0x40 || opcode == 0x0f || opcode == 0xc4 || opcode == 0xc5 ||
           opcode == 0x62;
}

/// One form of each mnemonic, set and operand kind.
class Forms {
public:
    Forms() {
        ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
        for (unsigned prefix = 0; prefix < prefixes.size(); ++prefix)
            for (const bool wide : {false, true})
                for (unsigned map = 0; map < 4; ++map)
                    for (unsigned opcode = 0; opcode < 256; ++opcode)
                        add_opcode(prefix, wide, map, opcode);
    }
    [[nodiscard]] const std::map<std::string, Form>& all() const { return forms_; }

private:
    void add_opcode(unsigned prefix, bool wide, unsigned map, unsigned opcode) {
        for (unsigned modrm = 0; modrm < 256; modrm += modrm < 0xc0 ? 4 : 1) {
            if (map != 0 || !is_prefix(opcode)) add_legacy(prefix, wide, map, opcode, modrm);
            if (map == 0) continue;
            for (const bool is_256 : {false, true}) {
                add_vex(prefix, wide, map, opcode, modrm, is_256, 0);
                add_vex(prefix, wide, map, opcode, modrm, is_256, 5);
            }
        }
    }
    void add_legacy(unsigned prefix, bool wide, unsigned map, unsigned opcode, unsigned modrm) {
        Writer w;
        if (prefix != 0) w.put(prefixes[prefix]);
        if (wide) w.put(0x48);
        if (map != 0) w.put(0x0f);
        if (map == 2) w.put(0x38);
        if (map == 3) w.put(0x3a);
        w.put(opcode);
        w.put_operands(modrm);
        add(w);
    }
    void add_vex(unsigned prefix, bool wide, unsigned map, unsigned opcode, unsigned modrm,
                 bool is_256, unsigned vvvv) {
        Writer w;
        w.put(0xc4);
        w.put(0xe0 | map);
        w.put((wide ? 0x80u : 0) | (~vvvv & 15) << 3 | (is_256 ? 4u : 0) | prefix);
        w.put(opcode);
        w.put_operands(modrm);
        add(w);
    }
    void add(const Writer& w) {
        ZydisDecodedInstruction i;
        std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operand;
        if (!ZYAN_SUCCESS(
                ZydisDecoderDecodeFull(&decoder_, w.bytes.data(), 15, &i, operand.data())))
            return;
        Form form;
        form.bytes = w.bytes;
        form.length = i.length;
        form.isa = ZydisISASetGetString(i.meta.isa_set);
        form.mnemonic = ZydisMnemonicGetString(i.mnemonic);
        std::string key = form.isa + ' ' + form.mnemonic;
        for (unsigned n = 0; n < i.operand_count_visible; ++n) {
            key += ' ' + std::to_string(operand[n].type) + '.' + std::to_string(operand[n].size);
            if (operand[n].type == ZYDIS_OPERAND_TYPE_REGISTER)
                key += '.' + std::to_string(ZydisRegisterGetClass(operand[n].reg.value));
        }
        forms_.emplace(std::move(key), form);
    }

    ZydisDecoder decoder_{};
    std::map<std::string, Form> forms_;
};

TEST(Coverage, OnlyKnownInstructionSetsAreNotImplemented) {
    GuestCode machine{3};
    std::map<std::string, std::set<std::string>> missing;
    const Forms forms;
    for (const auto& [key, form] : forms.all()) {
        machine.write(guest_at::code, {form.bytes.data(), form.length});
        machine.write(guest_at::code + form.length, GuestCode::int80);
        machine.set_cpl(3);
        machine.set_plain_state(guest_at::code);
        machine.c.gpr[rax] = guest_at::data;
        machine.c.gpr[rcx] = 1;
        const GuestStop stop = machine.run(20);
        if (stop.outcome == RunOutcome::unimplemented) missing[form.isa].insert(form.mnemonic);
    }
    for (const auto& [isa, mnemonics] : missing) {
        std::string names;
        for (const std::string& name : mnemonics) names += ' ' + name;
        EXPECT_TRUE(missing_sets.contains(isa)) << isa << ":" << names;
    }
}

}  // namespace
}  // namespace postern::cpu
