// SPDX-License-Identifier: Apache-2.0
// Parsing of numbers and sizes, and the shape of error lines.
#include "app/text.h"

#include <limits>

#include <fmt/format.h>

namespace postern::app {

namespace {

int digit_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return 16;
}

std::optional<u64> parse_digits(std::string_view digits, unsigned base) {
    u64 value = 0;
    bool after_digit = false;
    for (const char c : digits) {
        if ((c == '\'' || c == '_') && after_digit) {
            after_digit = false;
            continue;
        }
        const auto digit = static_cast<unsigned>(digit_value(c));
        if (digit >= base) return std::nullopt;
        if (value > (std::numeric_limits<u64>::max() - digit) / base) return std::nullopt;
        value = value * base + digit;
        after_digit = true;
    }
    return after_digit ? std::optional{value} : std::nullopt;
}

unsigned suffix_shift(char c) {
    switch (c) {
        case 'K':
        case 'k': return 10;
        case 'M':
        case 'm': return 20;
        case 'G':
        case 'g': return 30;
        default: return 0;
    }
}

}  // namespace

std::optional<u64> parse_number(std::string_view text) {
    if (text.starts_with("0x") || text.starts_with("0X")) return parse_digits(text.substr(2), 16);
    return parse_digits(text, 10);
}

platform::Expected<u64> parse_size(std::string_view text, const std::string& option) {
    const unsigned shift = text.empty() ? 0 : suffix_shift(text.back());
    const auto number = parse_digits(text.substr(0, text.size() - (shift != 0 ? 1 : 0)), 10);
    if (!number || *number > (std::numeric_limits<u64>::max() >> shift))
        return platform::error(fmt::format("\"{}\" is not a size", text), option,
                               "a number of bytes, or one with K, M or G, such as 64M");
    return *number << shift;
}

std::string listed(const std::vector<std::string>& words) {
    std::string text;
    for (size_t i = 0; i < words.size(); ++i) {
        if (i != 0) text += i + 1 == words.size() ? " or " : ", ";
        text += words[i];
    }
    return text;
}

std::string line_of(const platform::Error& error) {
    std::string line = fmt::format("postern: {}: {}: {}", error.what, error.where, error.right);
    for (char& c : line)
        if (static_cast<unsigned char>(c) < ' ') c = ' ';
    return line;
}

std::string lines_of(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines) text += line + '\n';
    return text;
}

}  // namespace postern::app
