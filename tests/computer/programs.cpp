// SPDX-License-Identifier: Apache-2.0
#include "computer/programs.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace postern::test {
namespace {

u64 number(const std::string& text) { return std::strtoull(text.c_str(), nullptr, 0); }

bool read_line(const std::string& text, Specification& s) {
    std::istringstream line{text};
    std::string what, value;
    if (!(line >> what >> value)) return false;
    if (what == "processors") {
        s.processors = static_cast<unsigned>(number(value));
    } else if (what == "exit") {
        s.exit = static_cast<u32>(number(value));
    } else if (what.starts_with('[') && value == "=") {
        std::vector<u8>& bytes = s.memory[number(what.substr(1, what.size() - 2))];
        while (line >> value) bytes.push_back(static_cast<u8>(std::stoul(value, nullptr, 16)));
    } else {
        return false;
    }
    return true;
}

}  // namespace

std::vector<ComputerProgram> computer_programs() {
    namespace fs = std::filesystem;
    const fs::path binaries{COMPUTER_BINARIES};
    std::vector<ComputerProgram> programs;
    for (const fs::directory_entry& e : fs::directory_iterator{COMPUTER_SOURCES}) {
        const fs::path& path = e.path();
        if (path.extension() != ".s") continue;
        programs.push_back(
            {path.stem(), path, (binaries / path.filename()).replace_extension(".bin")});
    }
    std::ranges::sort(programs, {}, &ComputerProgram::name);
    return programs;
}

std::vector<u8> bytes_of(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

Specification read_specification(const std::string& source) {
    Specification s;
    std::ifstream file{source};
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("#:") && !read_line(line.substr(2), s))
            s.error = "not understood: " + line;
    if (s.exit == 0) s.error = "expects nothing";
    return s;
}

}  // namespace postern::test
