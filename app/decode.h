// SPDX-License-Identifier: Apache-2.0
// `postern decode FIELD VALUE`: a raw word of the architecture in words.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "platform/error.h"

namespace postern::app {

/// One field of a word. A single bit is named where it is set; a wider field always.
struct BitField {
    u8 high;
    u8 low;
    std::string_view title;
    /// What a value of a wider field means, or null.
    std::string (*meaning)(u64 value) = nullptr;
};

struct Format {
    std::string_view name;  // FIELD on the command line
    std::string_view title;
    u8 width;  // bits
    std::span<const BitField> fields;
};

/// Every format that is known, in the order in which a user is told of them.
std::span<const Format> formats();

/// The lines for `value`, which fits the format's width.
std::vector<std::string> decode(const Format& format, u64 value);

/// Everything the command does: the lines, or what is wrong with its words.
platform::Expected<std::vector<std::string>> decode_command(std::string_view field,
                                                            std::string_view value);

}  // namespace postern::app
