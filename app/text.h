// SPDX-License-Identifier: Apache-2.0
// Numbers as a user writes them on the command line. Nothing is guessed: what is not exactly a
// number or a size is refused.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "platform/error.h"

namespace postern::app {

/// Decimal, or hexadecimal with 0x; apostrophes and underscores between digits are allowed.
std::optional<u64> parse_number(std::string_view text);

/// A number of bytes: a decimal number, alone or with one of K, M, G (powers of 1024).
platform::Expected<u64> parse_size(std::string_view text, const std::string& option);

/// "a, b or c".
std::string listed(const std::vector<std::string>& words);

/// The one line that a user gets for bad input, without its newline.
std::string line_of(const platform::Error& error);

/// Each with its newline.
std::string lines_of(const std::vector<std::string>& lines);

}  // namespace postern::app
