// SPDX-License-Identifier: Apache-2.0
// From a word and its format to lines.
#include "app/decode.h"

#include <algorithm>

#include <fmt/format.h>

#include "app/text.h"
#include "base/bits.h"

namespace postern::app {

namespace {

u64 field_value(const BitField& field, u64 value) {
    return (value & bit_mask(field.high, field.low)) >> field.low;
}

std::string field_line(const BitField& field, u64 value) {
    if (field.high == field.low) return fmt::format("  bit {:<6} {}", field.low, field.title);
    const std::string where = fmt::format("{}:{}", field.high, field.low);
    const std::string meaning = field.meaning != nullptr ? field.meaning(value) : std::string{};
    return fmt::format("  bits {:<5} {} = {}{}", where, field.title,
                       value < 10 ? fmt::format("{}", value) : fmt::format("{0} ({0:#x})", value),
                       meaning.empty() ? std::string{} : ": " + meaning);
}

std::string known_names() {
    std::vector<std::string> names;
    for (const Format& format : formats()) names.emplace_back(format.name);
    return listed(names);
}

}  // namespace

std::vector<std::string> decode(const Format& format, u64 value) {
    const int digits = format.width / 4;
    std::vector<std::string> lines{
        fmt::format("{} {:#0{}x}: {}", format.name, value, digits + 2, format.title)};
    u64 known = 0;
    for (const BitField& field : format.fields) {
        known |= bit_mask(field.high, field.low);
        const u64 part = field_value(field, value);
        if (field.high != field.low || part != 0) lines.push_back(field_line(field, part));
    }
    if ((value & ~known) != 0)
        lines.push_back(fmt::format("  reserved bits that are set: {:#x}", value & ~known));
    if (lines.size() == 1) lines.emplace_back("  no bit is set");
    return lines;
}

platform::Expected<std::vector<std::string>> decode_command(std::string_view field,
                                                            std::string_view value) {
    const auto format = std::ranges::find(formats(), field, &Format::name);
    if (format == formats().end())
        return platform::error(fmt::format("unknown field \"{}\"", field), "decode", known_names());
    const auto number = parse_number(value);
    const std::string right = fmt::format("a number of {} bits, such as 0x8000031", format->width);
    if (!number)
        return platform::error(fmt::format("\"{}\" is not a number", value), "decode", right);
    if (format->width < 64 && *number >> format->width != 0)
        return platform::error(fmt::format("{} has more than {} bits", value, format->width),
                               "decode", right);
    return decode(*format, *number);
}

}  // namespace postern::app
