// SPDX-License-Identifier: Apache-2.0
// Random cases for each row of the instruction table: every encoding Zydis knows of it, random
// prefixes, registers, addressing forms and immediates, memory operands led into the scratch area.
#pragma once

#include <Zydis/Zydis.h>

#include <array>
#include <vector>

#include "silicon/case.h"

namespace postern::silicon {

/// splitmix64: the same everywhere.
class Random {
public:
    explicit Random(u64 seed) : state_{seed} {}
    u64 next();
    /// 0 to n - 1.
    u64 below(u64 n) { return next() % n; }
    bool one_in(u64 n) { return below(n) == 0; }

private:
    u64 state_;
};

struct Decoded {
    ZydisDecodedInstruction instruction;
    std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operand;
};
bool decode(const u8* bytes, size_t count, Decoded& d);

/// One encoding without its operands: what stays when registers and addresses vary.
struct Encoding {
    u8 prefix;  // 0, 66H, 67H, F2H, F3H
    bool wide;  // REX.W
    u8 map;     // 0: one byte, 1: 0F, 2: 0F 38, 3: 0F 3A
    u8 opcode;
    bool has_modrm;
    bool is_memory;
    bool free_reg;  // ModRM.reg names a register
    u8 reg, rm;
};

struct Row {
    ZydisMnemonic mnemonic;
    std::vector<Encoding> encodings;
};

/// Rows of the instruction table of classes integer and exact: all of them.
std::vector<Row> find_rows();

/// Tries until it has a case whose every access is one of the scratch area or its surroundings.
Case generate(const Row& row, Random& random);

}  // namespace postern::silicon
