// SPDX-License-Identifier: Apache-2.0
// The reader of the headers.
#include "asm/specification.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace postern::asm_test {
namespace {

u64 number(const std::string& text) { return std::strtoull(text.c_str(), nullptr, 0); }

/// name=value; `?` as value only where `open` is given.
bool read_values(std::istringstream& line, Values& values, std::vector<std::string>* open) {
    std::string word;
    while (line >> word) {
        const size_t equals = word.find('=');
        if (equals == std::string::npos || equals + 1 == word.size()) return false;
        const std::string name = word.substr(0, equals), value = word.substr(equals + 1);
        if (value == "?") {
            if (open == nullptr) return false;
            open->push_back(name);
        } else {
            values[name] = number(value);
        }
    }
    return true;
}

/// [address] = bytes in hexadecimal
bool read_bytes(std::istringstream& line, Bytes& bytes) {
    std::string word;
    line >> word;
    const u64 at = number(word.substr(1, word.size() - 2));
    if (word.back() != ']' || !(line >> word) || word != "=") return false;
    std::vector<u8>& list = bytes[at];
    while (line >> word) list.push_back(static_cast<u8>(std::stoul(word, nullptr, 16)));
    return !list.empty();
}

bool read_state(std::istringstream& line, Values& values, Bytes& bytes,
                std::vector<std::string>* open) {
    line >> std::ws;
    return line.peek() == '[' ? read_bytes(line, bytes) : read_values(line, values, open);
}

bool read_fault(std::istringstream& line, Specification& s) {
    std::string word;
    if (!(line >> word) || word[0] != '#') return false;
    Fault fault;
    const size_t bracket = word.find('(');
    fault.name = word.substr(0, bracket);
    if (bracket != std::string::npos)
        fault.error_code = static_cast<u32>(number(word.substr(bracket + 1)));
    Values values;
    if (!read_values(line, values, nullptr)) return false;
    for (const auto& [name, value] : values) {
        if (name == "cr2")
            fault.cr2 = value;
        else if (name == "at")
            fault.at = value;
        else
            return false;
    }
    s.fault = fault;
    return true;
}

bool read_stop(std::istringstream& line, Specification& s) {
    std::string count;
    Values values;
    if (!(line >> count) || !read_values(line, values, nullptr)) return false;
    if (values.size() != 1 || !values.contains("rip")) return false;
    s.stop = number(count);
    s.stop_rip = values["rip"];
    return true;
}

struct ModeName {
    std::string_view name;
    cpu::GuestMode mode;
};
constexpr std::array mode_names{ModeName{"compat32", cpu::GuestMode::compat32},
                                ModeName{"protected32", cpu::GuestMode::protected32},
                                ModeName{"protected16", cpu::GuestMode::protected16},
                                ModeName{"real16", cpu::GuestMode::real16}};

bool read_mode(const std::string& name, Specification& s) {
    const auto* row = std::ranges::find(mode_names, name, &ModeName::name);
    if (row == mode_names.end()) return false;
    s.mode = row->mode;
    // There is no privilege in real mode.
    if (s.mode == cpu::GuestMode::real16) s.cpl = 0;
    return true;
}

bool read_line(const std::string& text, Specification& s) {
    std::istringstream line{text};
    std::string what, value;
    line >> what;
    if (what == "in") return read_state(line, s.in, s.memory_in, nullptr);
    if (what == "out") return read_state(line, s.out, s.memory_out, &s.open);
    if (what == "fault") return read_fault(line, s);
    if (what == "stop") return read_stop(line, s);
    if (!(line >> value)) return false;
    if (what == "mode") return read_mode(value, s);
    if (what == "cpl")
        s.cpl = static_cast<unsigned>(number(value));
    else if (what == "at")
        s.at = number(value);
    else if (what == "instructions")
        s.instructions = number(value);
    else
        return false;
    return true;
}

}  // namespace

Specification parse(const std::string& source) {
    Specification s;
    std::ifstream file{source};
    std::string line;
    if (!file) s.error = "cannot be read";
    while (std::getline(file, line)) {
        if (!line.starts_with("#:")) continue;
        if (!read_line(line.substr(2), s)) s.error = "not understood: " + line;
    }
    if (s.out.empty() && s.memory_out.empty() && s.open.empty() && !s.fault && !s.instructions &&
        !s.stop)
        s.error = "expects nothing";
    return s;
}

}  // namespace postern::asm_test
