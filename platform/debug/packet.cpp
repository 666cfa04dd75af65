// SPDX-License-Identifier: Apache-2.0
// A state machine over bytes: it holds no more than one packet, whatever arrives.
#include "platform/debug/packet.h"

#include <fmt/format.h>

namespace postern::platform {

namespace {

constexpr u8 interrupt_byte = 3;
constexpr char escape = '}';
constexpr u8 escape_xor = 0x20;

int digit_of(u8 byte) {
    if (byte >= '0' && byte <= '9') return byte - '0';
    if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
    return -1;
}

}  // namespace

std::optional<PacketEvent> PacketReader::outside(u8 byte) {
    using Kind = PacketEvent::Kind;
    switch (byte) {
        case '$':
            where_ = Where::text;
            payload_.clear();
            sum_ = 0;
            too_long_ = false;
            return {};
        case '+': return PacketEvent{Kind::ack, {}};
        case '-': return PacketEvent{Kind::nak, {}};
        case interrupt_byte: return PacketEvent{Kind::interrupt, {}};
        default: return {};
    }
}

void PacketReader::text(u8 byte) {
    if (payload_.size() < packet_most)
        payload_.push_back(static_cast<char>(byte));
    else
        too_long_ = true;
}

PacketEvent PacketReader::finish(u8 byte) {
    using Kind = PacketEvent::Kind;
    where_ = Where::outside;
    const int low = digit_of(byte);
    if (digit_ < 0 || low < 0 || digit_ * 16 + low != sum_) return {Kind::damaged, {}};
    if (too_long_) return {Kind::too_long, {}};
    return {Kind::packet, std::move(payload_)};
}

std::optional<PacketEvent> PacketReader::feed(u8 byte) {
    switch (where_) {
        case Where::outside: return outside(byte);
        case Where::escaped:
            sum_ = static_cast<u8>(sum_ + byte);
            text(byte ^ escape_xor);
            where_ = Where::text;
            return {};
        case Where::text:
            if (byte == '#') {
                where_ = Where::first_digit;
            } else if (byte == '$') {  // the last one's end was lost
                return outside(byte);
            } else {
                sum_ = static_cast<u8>(sum_ + byte);
                if (byte == escape)
                    where_ = Where::escaped;
                else
                    text(byte);
            }
            return {};
        case Where::first_digit:
            digit_ = digit_of(byte);
            where_ = Where::second_digit;
            return {};
        case Where::second_digit: return finish(byte);
    }
    return {};
}

std::string framed(std::string_view payload) {
    std::string out{"$"};
    u8 sum = 0;
    const auto put = [&](char byte) {
        out.push_back(byte);
        sum = static_cast<u8>(sum + static_cast<u8>(byte));
    };
    for (const char byte : payload) {
        const bool special = byte == '#' || byte == '$' || byte == escape || byte == '*';
        if (special) put(escape);
        put(special ? static_cast<char>(static_cast<u8>(byte) ^ escape_xor) : byte);
    }
    return out + fmt::format("#{:02x}", sum);
}

std::string hex_of(std::string_view bytes) {
    std::string hex;
    hex.reserve(2 * bytes.size());
    constexpr std::string_view digits = "0123456789abcdef";
    for (const char byte : bytes) {
        hex.push_back(digits[static_cast<u8>(byte) >> 4]);
        hex.push_back(digits[static_cast<u8>(byte) & 0xf]);
    }
    return hex;
}

std::optional<std::string> bytes_of_hex(std::string_view hex) {
    if (hex.size() % 2 != 0) return {};
    std::string bytes;
    bytes.reserve(hex.size() / 2);
    for (size_t n = 0; n < hex.size(); n += 2) {
        const int high = digit_of(static_cast<u8>(hex[n]));
        const int low = digit_of(static_cast<u8>(hex[n + 1]));
        if (high < 0 || low < 0) return {};
        bytes.push_back(static_cast<char>(high * 16 + low));
    }
    return bytes;
}

std::optional<u64> take_hex(std::string_view& text) {
    u64 value = 0;
    size_t count = 0;
    while (count < text.size()) {
        const int digit = digit_of(static_cast<u8>(text[count]));
        if (digit < 0) break;
        if (++count > 16) return {};
        value = value << 4 | static_cast<u64>(digit);
    }
    if (count == 0) return {};
    text.remove_prefix(count);
    return value;
}

bool take(std::string_view& text, std::string_view prefix) {
    if (!text.starts_with(prefix)) return false;
    text.remove_prefix(prefix.size());
    return true;
}

}  // namespace postern::platform
