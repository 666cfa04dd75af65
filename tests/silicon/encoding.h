// SPDX-License-Identifier: Apache-2.0
// Encodings: what stays of an instruction when its registers and addresses vary. They are found
// by decoding every opcode of every map, legacy and VEX, once.
#pragma once

#include <Zydis/Zydis.h>

#include <array>
#include <vector>

#include "base/types.h"

namespace postern::silicon {

struct Decoded {
    ZydisDecodedInstruction instruction;
    std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operand;

    [[nodiscard]] bool is_vex() const {
        return instruction.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
    }
    /// Does a visible operand name a register of this class?
    [[nodiscard]] bool names(ZydisRegisterClass wanted) const;
};
bool decode(const u8* bytes, size_t count, Decoded& d);
/// Zydis' own words for it.
ZyanStatus decode_status(const u8* bytes, size_t count, Decoded& d);

struct Encoding {
    u8 prefix;  // 0, 66H, 67H, F2H, F3H; VEX.pp means one of them
    bool wide;  // REX.W, VEX.W
    u8 map;     // 0: one byte, 1: 0F, 2: 0F 38, 3: 0F 3A
    u8 opcode;
    bool has_modrm;
    bool is_memory;
    bool free_reg;  // ModRM.reg names a register
    u8 reg, rm;
    bool vex;
    bool free_vvvv;  // VEX.vvvv names a register
    bool is_256;     // VEX.L
    bool is_vsib;    // the memory operand needs a SIB byte with a vector index
};

/// What varies of the bytes before the opcode.
struct Prefixes {
    u8 rex;   // R, X, B; 0 and no W: no REX prefix
    u8 vvvv;  // register number
    bool two_byte_vex;
};

/// Prefixes, REX or VEX, escape and opcode; how many bytes.
unsigned put_head(const Encoding& e, const Prefixes& p, u8* bytes);

struct Row {
    ZydisMnemonic mnemonic;
    std::vector<Encoding> encodings;
};

/// Rows of the instruction table of classes integer and exact: all of them. A row that no group
/// has encodings for comes without any.
std::vector<Row> find_rows();

}  // namespace postern::silicon
