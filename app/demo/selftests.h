// SPDX-License-Identifier: Apache-2.0
// Linux's SGX selftests as the console shows them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace postern::app {

class Selftests {
public:
    /// There are so many in the kernel that the demo boots.
    static constexpr size_t expected = 16;

    struct Result {
        std::string name;
        bool passed;
    };

    /// A line of the console. The result that it tells, if it tells one.
    const Result* read(std::string_view line);

    [[nodiscard]] const std::vector<Result>& results() const { return results_; }
    [[nodiscard]] size_t passed() const;
    /// All of them passed, and the harness says so itself.
    [[nodiscard]] bool right() const;

private:
    std::vector<Result> results_;
    bool total_right_ = false;
};

}  // namespace postern::app
