// SPDX-License-Identifier: Apache-2.0
// Instructions in memory as text, by Zydis.
#pragma once

#include <string>
#include <vector>

#include "cpu/cpu.h"
#include "platform/debug/symbols.h"

namespace postern::platform {

struct Disassembled {
    std::string bytes;  // "48 89 e5"
    std::string text;   // "mov rbp, rsp"
    unsigned length;    // 1 where there is no instruction
};

/// The instruction at `linear`, decoded for the mode that `c` is in.
Disassembled disassemble(const cpu::Cpu& c, u64 linear);

/// One line of a listing: address, name, bytes, text.
std::string instruction_line(const cpu::Cpu& c, u64 linear, const Symbols* symbols);

}  // namespace postern::platform
