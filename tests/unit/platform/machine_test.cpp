// SPDX-License-Identifier: Apache-2.0
// A machine is put together: memory, EPC, processor, bus.
#include "platform/machine.h"

#include <gtest/gtest.h>

#include "cpu/model.h"

namespace postern::platform {
namespace {

TEST(Machine, MemoryAndEpcAreWhereTheLayoutSays) {
    const Layout layout = layout_of(64 * mib, 2 * mib);
    auto machine = Machine::create(layout, &cpu::default_model());
    ASSERT_TRUE(machine.has_value());
    const cpu::PhysicalMemory& memory = (*machine)->system().memory;
    EXPECT_EQ(memory.pointer(Hpa{0}), (*machine)->ram());
    EXPECT_EQ(memory.pointer(Hpa{0x3ff'ffff}), (*machine)->ram() + 0x3ff'ffff);
    EXPECT_EQ(memory.pointer(Hpa{0x400'0000}), nullptr);
    EXPECT_TRUE(memory.is_epc(Hpa{0x1'0000'0000}));
    EXPECT_FALSE(memory.is_epc(Hpa{0x1'0020'0000}));
    ASSERT_NE((*machine)->system().epc, nullptr);
    EXPECT_EQ((*machine)->system().epc->size, 0x20'0000u);
}

TEST(Machine, WithoutEpcThereIsNone) {
    auto machine = Machine::create(layout_of(64 * mib, 0), &cpu::default_model());
    ASSERT_TRUE(machine.has_value());
    EXPECT_EQ((*machine)->system().epc, nullptr);
    EXPECT_FALSE((*machine)->system().memory.is_epc(Hpa{0x1'0000'0000}));
}

TEST(Machine, ItsLocalApicAnswersOnTheBus) {
    auto machine = Machine::create(layout_of(64 * mib, 0), &cpu::default_model());
    ASSERT_TRUE(machine.has_value());
    EXPECT_EQ((*machine)->bus().read(Hpa{0xfee0'0030}, 4), 0xffff'ffffu);
    (*machine)->attach_local_apic();
    EXPECT_EQ((*machine)->bus().read(Hpa{0xfee0'0030}, 4), 0x5'0015u);
    EXPECT_EQ((*machine)->processor().interrupts, (*machine)->local_apic());
}

}  // namespace
}  // namespace postern::platform
