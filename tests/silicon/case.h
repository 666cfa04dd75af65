// SPDX-License-Identifier: Apache-2.0
// One experiment: an instruction with everything it starts from, and what came of it. Both sides
// see the same linear addresses, so that addresses in registers may be compared as they are.
#pragma once

#include <array>

#include "base/types.h"

namespace postern::silicon {

// Linear addresses, low enough for every addressing form. The scratch area ends in a page that
// only may be read; around it and the code nothing is mapped.
inline constexpr u64 scratch = 0x2000'0000, scratch_size = 0x2000;
inline constexpr u64 read_only = scratch + scratch_size, read_only_size = 0x1000;
inline constexpr u64 code = 0x2010'0000, code_size = 0x3000;
inline constexpr u64 usual_place = code + 0x800;
inline constexpr u64 far_target = code + 0x2800;  // of direct and indirect branches
inline constexpr u64 gs_base = 0x0123'4560;       // on both sides, always
inline constexpr u64 near_distance = 0x40;        // of branches by 8 bits, from the instruction

using Ymm = std::array<u8, 32>;

/// As FXSAVE has it: ST(i) in `st`, one tag bit for each physical register.
struct X87 {
    u16 fcw, fsw;
    u8 tag;
    std::array<std::array<u8, 10>, 8> st;
};

struct Registers {
    std::array<u64, 16> gpr;
    u64 rip;
    u64 rflags;
    std::array<Ymm, 16> ymm;
    u32 mxcsr;
    X87 x87;
};

struct Case {
    std::array<u8, 32> bytes;  // more than an instruction may have
    unsigned length;
    u16 row;           // ZydisMnemonic
    Registers before;  // rip: where the instruction lies
    u64 operand_at;    // within the scratch area, so many bytes:
    std::array<u8, 64> operand;
};

struct Outcome {
    Registers after;
    int vector;  // of a fault, or -1
    u32 error_code;
    u64 cr2;
    std::array<u8, scratch_size> memory;
};

/// What the scratch area holds before the operand is put into it, and its first page's bytes the
/// read-only page. The same for every case.
const std::array<u8, scratch_size>& plain_memory();

}  // namespace postern::silicon
