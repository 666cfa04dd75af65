// SPDX-License-Identifier: Apache-2.0
// Packets of the remote protocol, the broken ones above all.
#include "platform/debug/packet.h"

#include <gtest/gtest.h>

#include <random>

namespace postern::platform {
namespace {

using Kind = PacketEvent::Kind;

std::vector<PacketEvent> events_of(std::string_view bytes) {
    PacketReader reader;
    std::vector<PacketEvent> events;
    for (const char byte : bytes)
        if (auto event = reader.feed(static_cast<u8>(byte))) events.push_back(*event);
    return events;
}

TEST(Packet, IsReadBetweenDollarAndChecksum) {
    const auto events = events_of("$g#67");
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].kind, Kind::packet);
    EXPECT_EQ(events[0].payload, "g");
}

TEST(Packet, ChecksumTakesCapitalsAndCountsEveryByte) {
    EXPECT_EQ(events_of("$qC#b4")[0].kind, Kind::packet);
    EXPECT_EQ(events_of("$m0,0f#7F")[0].kind, Kind::damaged);
    EXPECT_EQ(events_of("$z#7A")[0].kind, Kind::packet);
}

TEST(Packet, WrongOrUnreadableChecksumIsDamage) {
    EXPECT_EQ(events_of("$g#68")[0].kind, Kind::damaged);
    EXPECT_EQ(events_of("$g#6x")[0].kind, Kind::damaged);
    EXPECT_EQ(events_of("$g##7")[0].kind, Kind::damaged);
}

TEST(Packet, EscapedBytesAreRestored) {
    // "}\x03" is '#', "}]" is '}'; the checksum is of what is sent.
    const auto events = events_of("$}\x03}]#5a");
    ASSERT_EQ(events.size(), 1u);
    ASSERT_EQ(events[0].kind, Kind::packet);
    EXPECT_EQ(events[0].payload, "#}");
}

TEST(Packet, SignsOutsidePacketsAreTold) {
    const auto events = events_of("+x\x03-");
    ASSERT_EQ(events.size(), 3u);
    EXPECT_EQ(events[0].kind, Kind::ack);
    EXPECT_EQ(events[1].kind, Kind::interrupt);
    EXPECT_EQ(events[2].kind, Kind::nak);
}

TEST(Packet, ThatWasCutOffIsReplacedByTheNext) {
    const auto events = events_of("$m0,40$g#67");
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].payload, "g");
}

TEST(Packet, ThatIsTooLongIsDroppedAndTheNextIsRead) {
    const std::string text(packet_most + 1, 'a');
    const auto events = events_of(framed(text) + "$g#67");
    ASSERT_EQ(events.size(), 2u);
    EXPECT_EQ(events[0].kind, Kind::too_long);
    EXPECT_EQ(events[1].payload, "g");
    const auto most = events_of(framed(std::string(packet_most, 'a')));
    EXPECT_EQ(most[0].payload.size(), packet_most);
}

TEST(Packet, FramedTextComesBackWhateverItsBytes) {
    std::string all;
    for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
    EXPECT_EQ(framed("OK"), "$OK#9a");
    EXPECT_EQ(events_of(framed(all))[0].payload, all);
}

TEST(Packet, ReaderOutlivesGarbage) {
    constexpr unsigned seed = 20260101, inputs = 300'000;
    std::mt19937 random{seed};
    PacketReader reader;
    constexpr std::string_view telling = "$#}+-\x03g67";
    u64 packets = 0;
    for (unsigned n = 0; n < inputs; ++n) {
        const u32 word = static_cast<u32>(random());
        const u8 byte = (word & 0x100) != 0 ? static_cast<u8>(telling[word % telling.size()])
                                            : static_cast<u8>(word);
        const auto event = reader.feed(byte);
        if (event && event->kind == Kind::packet) ++packets;
    }
    EXPECT_GT(packets, 0u) << "seed " << seed;
    for (const char byte : std::string_view{"#00#00$g#6"}) reader.feed(static_cast<u8>(byte));
    const auto event = reader.feed('7');
    ASSERT_TRUE(event.has_value()) << "seed " << seed;
    EXPECT_EQ(event->payload, "g") << "seed " << seed;
}

TEST(Hex, NumbersAreTakenFromTheFront) {
    std::string_view text = "10fF,2";
    EXPECT_EQ(take_hex(text), 0x10ffu);
    EXPECT_EQ(text, ",2");
    EXPECT_FALSE(take_hex(text).has_value());
    EXPECT_EQ(text, ",2");
    std::string_view too_long = "12345678123456781";
    EXPECT_FALSE(take_hex(too_long).has_value());
}

TEST(Hex, BytesNeedTwoDigitsEach) {
    EXPECT_EQ(bytes_of_hex("414a"), "AJ");
    EXPECT_FALSE(bytes_of_hex("414").has_value());
    EXPECT_FALSE(bytes_of_hex("4g").has_value());
    EXPECT_EQ(hex_of("A\xff"), "41ff");
}

}  // namespace
}  // namespace postern::platform
