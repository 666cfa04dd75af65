// SPDX-License-Identifier: Apache-2.0
// Packets of GDB's remote serial protocol: from bytes as they arrive to commands, and back.
// GDB manual, "Remote Protocol", "Overview".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/types.h"

namespace postern::platform {

/// What a packet's text may have at most; told to GDB as PacketSize.
inline constexpr size_t packet_most = 16384;

struct PacketEvent {
    enum class Kind : u8 {
        packet,     // payload: unescaped
        interrupt,  // Ctrl-C, outside packets
        ack,
        nak,
        damaged,   // the checksum is wrong
        too_long,  // more than packet_most; dropped
    } kind;
    std::string payload;
};

class PacketReader {
public:
    /// The next byte; what it completes. Bytes outside packets that mean nothing are dropped.
    std::optional<PacketEvent> feed(u8 byte);

private:
    enum class Where : u8 { outside, text, escaped, first_digit, second_digit };

    std::optional<PacketEvent> outside(u8 byte);
    void text(u8 byte);
    PacketEvent finish(u8 byte);

    Where where_ = Where::outside;
    std::string payload_;
    u8 sum_ = 0;
    int digit_ = 0;
    bool too_long_ = false;
};

/// "$payload#sum", with what must be escaped escaped.
std::string framed(std::string_view payload);

// Hexadecimal text. Parsers take lower and upper case and change nothing if they fail.

std::string hex_of(std::string_view bytes);
std::optional<std::string> bytes_of_hex(std::string_view hex);
/// A number at the front of `text`, which loses it. At most 16 digits.
std::optional<u64> take_hex(std::string_view& text);
/// True, and `text` loses it, if it begins so.
bool take(std::string_view& text, std::string_view prefix);

}  // namespace postern::platform
