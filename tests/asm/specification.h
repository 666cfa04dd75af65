// SPDX-License-Identifier: Apache-2.0
// What the header of an instruction test says: see README.md beside this file.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/types.h"
#include "support/guest_code.h"

namespace postern::asm_test {

using Values = std::map<std::string, u64>;
using Bytes = std::map<u64, std::vector<u8>>;

struct Fault {
    std::string name;  // "#PF"
    std::optional<u32> error_code;
    std::optional<u64> cr2;
    std::optional<u64> at;  // else: the first instruction
};

struct Specification {
    Values in, out;
    std::vector<std::string> open;  // flags and registers not looked at
    Bytes memory_in, memory_out;
    std::optional<Fault> fault;
    std::optional<unsigned> cpl;
    std::optional<u64> stop, stop_rip, instructions;
    cpu::GuestMode mode = cpu::GuestMode::long64;
    u64 at = 0x1'0000;
    std::string error;  // of the header itself; empty: none
};

Specification parse(const std::string& source);

}  // namespace postern::asm_test
