// SPDX-License-Identifier: Apache-2.0
// The streams of a program in the guest, as its first program uses the ports.
#include "platform/device/stdio_port.h"

#include <gtest/gtest.h>

#include <string>

namespace postern::platform {
namespace {

class Streams final : public ProgramStreams {
public:
    void output(u8 byte) override { out += static_cast<char>(byte); }
    void error(u8 byte) override { err += static_cast<char>(byte); }
    u32 available() override { return in.empty() ? ended : static_cast<u32>(in.size()); }
    u8 take() override {
        const char first = in.empty() ? '\0' : in.front();
        if (!in.empty()) in.erase(0, 1);
        return static_cast<u8>(first);
    }

    std::string out, err, in;
};

class StdioPorts : public ::testing::Test {
protected:
    StdioPorts() { EXPECT_TRUE(bus.attach(device)); }

    Bus bus;
    Streams streams;
    StdioPort device{streams};
};

TEST_F(StdioPorts, BytesGoToTheirStream) {
    for (const u32 byte : {u32{'a'}, u32{0}, u32{0xff}}) bus.out(0x5f0, 1, byte);
    bus.out(0x5f1, 1, 'e');
    EXPECT_EQ(streams.out, std::string("a\0\xff", 3));
    EXPECT_EQ(streams.err, "e");
}

TEST_F(StdioPorts, WiderWritesAndOtherRegistersAreNothing) {
    bus.out(0x5f0, 2, 0x4141);
    bus.out(0x5f0, 4, 0x4141'4141);
    bus.out(0x5f4, 1, 'x');
    EXPECT_EQ(streams.out, "");
    EXPECT_EQ(streams.err, "");
    EXPECT_EQ(bus.in(0x5f1, 1), 0xffu);
    EXPECT_EQ(bus.in(0x5f4, 2), 0xffffu);
}

TEST_F(StdioPorts, InputIsCountedThenTaken) {
    streams.in = "xy";
    EXPECT_EQ(bus.in(0x5f4, 4), 2u);
    EXPECT_EQ(bus.in(0x5f0, 1), u32{'x'});
    EXPECT_EQ(bus.in(0x5f0, 1), u32{'y'});
    EXPECT_EQ(bus.in(0x5f4, 4), 0xffff'ffffu);
}

}  // namespace
}  // namespace postern::platform
