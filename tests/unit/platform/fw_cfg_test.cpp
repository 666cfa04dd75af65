// SPDX-License-Identifier: Apache-2.0
// The firmware configuration device, read as software reads it.
#include "platform/device/fw_cfg.h"

#include <gtest/gtest.h>

#include <string>

namespace postern::platform {
namespace {

class FwCfgItems : public ::testing::Test {
protected:
    FwCfgItems() { EXPECT_TRUE(bus.attach(device)); }
    void select(u16 key) { bus.out(0x510, 2, key); }
    u64 little(unsigned size) {
        u64 value = 0;
        for (unsigned n = 0; n < size; ++n) value |= u64{bus.in(0x511, 1)} << 8 * n;
        return value;
    }
    u64 big(unsigned size) {
        u64 value = 0;
        for (unsigned n = 0; n < size; ++n) value = value << 8 | bus.in(0x511, 1);
        return value;
    }
    std::string text(unsigned size) {
        std::string bytes;
        for (unsigned n = 0; n < size; ++n) bytes.push_back(static_cast<char>(bus.in(0x511, 1)));
        return bytes;
    }

    Bus bus;
    FwCfg device{layout_of(5 * gib, 0), 3};
};

TEST_F(FwCfgItems, TheSignatureSaysThatItIsThere) {
    select(0);
    EXPECT_EQ(text(4), "QEMU");
    EXPECT_EQ(little(1), 0u);
}

TEST_F(FwCfgItems, OnlyTheTraditionalInterfaceIsOffered) {
    select(1);
    EXPECT_EQ(little(4), 1u);
}

TEST_F(FwCfgItems, MemoryAndProcessorsAreTold) {
    select(3);
    EXPECT_EQ(little(8), 5 * gib);
    select(5);
    EXPECT_EQ(little(2), 3u);
    select(0xf);
    EXPECT_EQ(little(2), 3u);
}

TEST_F(FwCfgItems, AnUnknownItemIsZeros) {
    select(0x17);
    EXPECT_EQ(little(8), 0u);
    select(0x8000);
    EXPECT_EQ(little(8), 0u);
}

TEST_F(FwCfgItems, TheMemoryMapIsAFileOfTheDirectory) {
    select(0x19);
    ASSERT_EQ(big(4), 1u);
    const u64 size = big(4), key = big(2);
    EXPECT_EQ(size, 5u * 20);
    EXPECT_EQ(big(2), 0u);
    EXPECT_EQ(text(56), std::string("etc/e820") + std::string(48, '\0'));
    select(static_cast<u16>(key));
    EXPECT_EQ(little(8), 0u);
    EXPECT_EQ(little(8), 0x9'f000u);
    EXPECT_EQ(little(4), 1u);
    EXPECT_EQ(little(8), 0x9'f000u);
    EXPECT_EQ(little(8), 0x1000u);
    EXPECT_EQ(little(4), 2u);
    EXPECT_EQ(text(2 * 20).size(), 40u);
    EXPECT_EQ(little(8), 4 * gib);
    EXPECT_EQ(little(8), 2 * gib);
    EXPECT_EQ(little(4), 1u);
    EXPECT_EQ(little(4), 0u);
}

TEST_F(FwCfgItems, AFurtherFileFollowsInTheDirectory) {
    device.add_file("opt/mine", {1, 2, 3, 4, 5, 0xff, 7});
    select(0x19);
    ASSERT_EQ(big(4), 2u);
    EXPECT_EQ(text(64).size(), 64u);
    EXPECT_EQ(big(4), 7u);
    const u64 key = big(2);
    EXPECT_EQ(key, 0x21u);
    EXPECT_EQ(big(2), 0u);
    EXPECT_EQ(text(56), std::string("opt/mine") + std::string(48, '\0'));
    select(static_cast<u16>(key));
    EXPECT_EQ(bus.in(0x511, 4), 0x0403'0201u);
    EXPECT_EQ(bus.in(0x511, 2), 0xff05u);
    EXPECT_EQ(little(4), 7u);
}

TEST_F(FwCfgItems, SelectingBeginsAnew) {
    select(0);
    EXPECT_EQ(text(2), "QE");
    select(0);
    EXPECT_EQ(text(2), "QE");
}

TEST_F(FwCfgItems, ItemsCannotBeWritten) {
    select(0x4000);
    bus.out(0x511, 1, 'X');
    EXPECT_EQ(text(4), "QEMU");
}

TEST_F(FwCfgItems, ARestoredDeviceReadsOn) {
    select(0);
    EXPECT_EQ(text(2), "QE");
    FwCfg other{layout_of(5 * gib, 0), 3};
    other.restore(device.state());
    EXPECT_EQ(other.port_read(1, 1), u32{'M'});
    EXPECT_EQ(text(1), "M");
}

}  // namespace
}  // namespace postern::platform
