// SPDX-License-Identifier: Apache-2.0
// Parsing of the option. A rate is read digit by digit, so that 0.1 is not what a float makes of
// it.
#include "app/conflict_option.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "app/options.h"
#include "app/text.h"

namespace postern::app {
namespace {

using cpu::sgx::conflict_leaves;
using cpu::sgx::ConflictLeaf;
using cpu::sgx::ConflictRequest;
using platform::error;
using platform::Expected;

constexpr const char* shape = "LEAF[+LEAF...]=RATE[,SEED], such as einit+ewb=0.5";
constexpr size_t digits_most = 9;

std::string lower_case(std::string_view word) {
    std::string text{word};
    for (char& c : text)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return text;
}

/// A leaf that exists, though none that meets conflicts.
bool is_leaf(std::string_view word) {
    for (u32 number = 0; number < 32; ++number)
        if (lower_case(name_of(static_cast<EnclsLeaf>(number))) == word ||
            lower_case(name_of(static_cast<EncluLeaf>(number))) == word)
            return true;
    return false;
}

Expected<unsigned> parse_leaf(std::string_view word) {
    std::vector<std::string> known;
    for (const ConflictLeaf& leaf : conflict_leaves()) {
        known.push_back(option_name(leaf));
        if (known.back() == word) return leaf.row;
    }
    return error(word != "unknown" && is_leaf(word)
                     ? fmt::format("{} never answers that there is a conflict", word)
                     : fmt::format("unknown leaf \"{}\"", word),
                 conflict_option, listed(known));
}

/// Of Conflicts::always. Rounded up, so that with 0.1 every tenth is due and not every eleventh.
std::optional<u64> parse_rate(std::string_view text) {
    const auto parts = split(text, '.');
    const std::string_view whole = parts[0];
    const std::string_view fraction = parts.size() == 2 ? parts[1] : std::string_view{"0"};
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (parts.size() > 2 || (whole != "0" && whole != "1")) return std::nullopt;
    if (fraction.empty() || fraction.size() > digits_most) return std::nullopt;
    if (!std::ranges::all_of(fraction, is_digit)) return std::nullopt;
    u64 numerator = whole == "1" ? 1 : 0, denominator = 1;
    for (const char digit : fraction) {
        numerator = numerator * 10 + static_cast<u64>(digit - '0');
        denominator *= 10;
    }
    if (numerator > denominator) return std::nullopt;
    return (numerator * cpu::sgx::Conflicts::always + denominator - 1) / denominator;
}

struct HowOften {
    u64 rate;
    u64 seed;
};

Expected<HowOften> parse_how_often(std::string_view text) {
    const auto parts = split(text, ',');
    const auto rate = parse_rate(parts[0]);
    if (!rate)
        return error(
            fmt::format("\"{}\" is not a rate", parts[0]), conflict_option,
            fmt::format("a decimal from 0 to 1 with up to {} digits, such as 0.5", digits_most));
    if (parts.size() == 1) return HowOften{*rate, 0};
    const auto seed = parts.size() == 2 ? parse_number(parts[1]) : std::nullopt;
    if (!seed || *seed == 0)
        return error(fmt::format("\"{}\" is not a seed", text.substr(parts[0].size() + 1)),
                     conflict_option, fmt::format("a number from 1 to {}", ~u64{0}));
    return HowOften{*rate, *seed};
}

}  // namespace

std::string option_name(const ConflictLeaf& leaf) { return lower_case(leaf.name); }

Expected<std::vector<ConflictRequest>> parse_conflicts(std::span<const std::string> words) {
    std::vector<ConflictRequest> requests;
    for (const std::string& word : words) {
        const auto sides = split(word, '=');
        if (sides.size() != 2)
            return error(fmt::format("\"{}\" does not say how often", word), conflict_option,
                         shape);
        const auto how_often = parse_how_often(sides[1]);
        if (!how_often) return std::unexpected{how_often.error()};
        for (const std::string_view leaf : split(sides[0], '+')) {
            const auto row = parse_leaf(leaf);
            if (!row) return std::unexpected{row.error()};
            if (std::ranges::find(requests, *row, &ConflictRequest::row) != requests.end())
                return error(fmt::format("{} is named twice", leaf), conflict_option,
                             "each leaf once");
            requests.push_back({*row, how_often->rate, how_often->seed});
        }
    }
    return requests;
}

}  // namespace postern::app
