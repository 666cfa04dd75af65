// SPDX-License-Identifier: Apache-2.0
// The doorbell in a PCI function's BAR.
#include <gtest/gtest.h>

#include "platform/device/doorbell.h"
#include "platform/device/interrupt_router.h"
#include "platform/device/pci.h"
#include "platform/device/ports.h"

namespace postern::platform {
namespace {

class NoLines final : public InterruptLines {
public:
    void set(unsigned, bool) override {}
};

struct DoorbellOnPci : testing::Test {
    NoLines lines;
    PciHost pci{lines};
    Doorbell doorbell;
    DoorbellFunction function{doorbell};

    u32 config(unsigned offset, unsigned size) { return function.config_read(offset, size); }
    void enable() { function.config_write(4, 2, 2); }
    u64 load(u64 address, unsigned size) {
        return pci.mmio_read(address - PciHost::memory_window.first, size);
    }
    void store(u64 address, unsigned size, u64 value) {
        pci.mmio_write(address - PciHost::memory_window.first, size, value);
    }
};

TEST_F(DoorbellOnPci, IsAFunctionOfOneMemoryPageThatNobodyDrives) {
    ASSERT_EQ(pci.add(function), 1);
    EXPECT_EQ(config(0, 4), 0xbe11'1234u);
    EXPECT_EQ(config(9, 2), 0u);
    EXPECT_EQ(config(11, 1), 0xffu) << "a class that no driver takes";
    EXPECT_EQ(config(0x10, 4), function.address());
    EXPECT_EQ(function.address() % page_size, 0u);
    function.config_write(0x10, 4, 0xffff'ffff);
    EXPECT_EQ(config(0x10, 4), 0xffff'f000u);
}

TEST_F(DoorbellOnPci, EveryRegisterOfTheBarRingsTheOneDoorbell) {
    ASSERT_EQ(pci.add(function), 1);
    enable();
    store(function.address(), 8, 3);
    EXPECT_EQ(load(function.address() + 0xffc, 4), 0xb311'0ffcu);
    doorbell.mmio_write(0x40, 4, 7);
    const std::vector<Doorbell::Ring> expected{
        {0, 3, 0, 8, true}, {1, 0xb311'0ffc, 0xffc, 4, false}, {2, 7, 0x40, 4, true}};
    EXPECT_EQ(doorbell.rings(), expected);
}

TEST_F(DoorbellOnPci, DoesNotRingBeforeItsMemoryIsEnabled) {
    ASSERT_EQ(pci.add(function), 1);
    EXPECT_EQ(load(function.address(), 4), 0xffff'ffffu);
    EXPECT_EQ(doorbell.count(), 0u);
}

TEST_F(DoorbellOnPci, ComesBackFromASnapshotWhereSoftwareHasPutIt) {
    ASSERT_EQ(pci.add(function), 1);
    enable();
    function.config_write(0x10, 4, 0xd000'0000);
    const PciFunction::State saved = function.state();
    Doorbell other_bell;
    DoorbellFunction other{other_bell};
    other.restore(saved);
    EXPECT_EQ(other.address(), 0xd000'0000u);
}

TEST(MarkPort, GivesAllOnesUntilWhoeverWatchesAnswers) {
    MarkPort port;
    EXPECT_EQ(port.port_read(0, 4), 0xffff'ffffu);
    port.answer(0x0de0'0103);
    EXPECT_EQ(port.port_read(0, 4), 0x0de0'0103u);
}

}  // namespace
}  // namespace postern::platform
