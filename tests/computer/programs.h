// SPDX-License-Identifier: Apache-2.0
// The programs of this directory, and what their headers ask for: see README.md beside this file.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/types.h"

namespace postern::test {

struct ComputerProgram {
    std::string name, source, binary;
};

/// All of them, in the order of their names.
std::vector<ComputerProgram> computer_programs();

std::vector<u8> bytes_of(const std::string& path);

struct Specification {
    unsigned processors = 1;
    u32 exit = 0;
    std::map<u64, std::vector<u8>> memory;
    std::string error;  // in the header
};

Specification read_specification(const std::string& source);

}  // namespace postern::test
