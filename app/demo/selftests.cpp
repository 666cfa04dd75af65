// SPDX-License-Identifier: Apache-2.0
#include "app/demo/selftests.h"

#include <algorithm>

#include <fmt/format.h>

namespace postern::app {

namespace {

/// The rest of a line behind `start`, or nothing.
std::string_view after(std::string_view line, std::string_view start) {
    return line.starts_with(start) ? line.substr(start.size()) : std::string_view{};
}

}  // namespace

/// "selftest ok 3 enclave.clobbered_vdso", "selftest not ok 3 ...", "selftest # PASSED: ...".
const Selftests::Result* Selftests::read(std::string_view line) {
    line = after(line, "selftest ");
    if (line == fmt::format("# PASSED: {} / {} tests passed.", expected, expected))
        total_right_ = true;
    const bool passed = line.starts_with("ok ");
    const std::string_view rest = passed ? after(line, "ok ") : after(line, "not ok ");
    if (rest.empty()) return nullptr;
    const std::string_view name = rest.substr(std::min(rest.find(' '), rest.size() - 1) + 1);
    results_.push_back({std::string{name.substr(name.rfind('.') + 1)}, passed});
    return &results_.back();
}

size_t Selftests::passed() const {
    return static_cast<size_t>(std::ranges::count(results_, true, &Result::passed));
}

bool Selftests::right() const {
    return total_right_ && results_.size() == expected && passed() == expected;
}

}  // namespace postern::app
