// SPDX-License-Identifier: Apache-2.0
// ACPI's fixed registers.
#include "platform/device/acpi_pm.h"

#include <gtest/gtest.h>

#include "unit/platform/chips.h"

namespace postern::platform {
namespace {

class PowerManagement : public ::testing::Test {
protected:
    TestClock clock;
    TestLines lines;
    Bus bus;
    AcpiPm pm{clock, lines, bus};
};

TEST_F(PowerManagement, TheTimerCounts3579545TimesASecond) {
    EXPECT_EQ(pm.port_read(8, 4), 0u);
    clock.time = 1'000'000'000;
    EXPECT_EQ(pm.port_read(8, 4), 3'579'545u);
    clock.time = 999'999'999;
    EXPECT_EQ(pm.port_read(8, 4), 3'579'544u);
    EXPECT_EQ(pm.port_read(9, 1), 3'579'544u >> 8 & 0xff);
}

TEST_F(PowerManagement, TheTimerHas32Bits) {
    clock.time = 1'200'000'000'000;  // 4295454000 ticks
    EXPECT_EQ(pm.port_read(8, 4), 4'295'454'000u - 4'294'967'296u);
}

TEST_F(PowerManagement, AcpiModeIsAlwaysOn) {
    EXPECT_EQ(pm.port_read(4, 2), 1u);
    pm.port_write(4, 2, 0);
    EXPECT_EQ(pm.port_read(4, 2), 1u);
    pm.port_write(4, 2, 0x1403);
    EXPECT_EQ(pm.port_read(4, 2), 0x1403u);
}

TEST_F(PowerManagement, TheChangeOfItsHighestBitInterrupts) {
    pm.port_write(2, 2, 1);
    EXPECT_EQ(pm.port_read(2, 2), 1u);
    const u64 due = pm.next_event();
    pass_to(clock, pm, due - 1);
    EXPECT_FALSE(lines.levels[9]);
    pass_to(clock, pm, due);
    EXPECT_EQ(pm.port_read(8, 4), 0x8000'0000u);
    EXPECT_TRUE(lines.levels[9]);
    EXPECT_EQ(pm.port_read(0, 2), 1u);
    pm.port_write(0, 2, 1);
    EXPECT_FALSE(lines.levels[9]);
    EXPECT_EQ(pm.port_read(0, 2), 0u);
}

TEST_F(PowerManagement, EveryFixedEventsEnableBitIsKept) {
    pm.port_write(2, 2, 0xffff);
    EXPECT_EQ(pm.port_read(2, 2), 0x721u);
    pm.port_write(0, 4, 0x0100'0000);
    EXPECT_EQ(pm.port_read(0, 4), 0x0100'0000u);
}

TEST_F(PowerManagement, OnlySleepEnableWithTheTypeOfS5PowersOff) {
    pm.port_write(4, 2, 5 << 10);
    EXPECT_FALSE(bus.stop_requested());
    pm.port_write(4, 2, 1 << 10 | 1 << 13);
    EXPECT_FALSE(bus.stop_requested());
    pm.port_write(4, 2, 5 << 10 | 1 << 13);
    EXPECT_EQ(bus.stop_request().kind, StopKind::power_off);
    EXPECT_EQ(pm.port_read(4, 2), 0x1401u);  // SLP_EN reads as 0
}

}  // namespace
}  // namespace postern::platform
