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

TEST(Machine, ItsPhysicalAddressesAreTheModels) {
    cpu::Model model = cpu::default_model();
    model.physical_bits = 40;
    auto machine = Machine::create(layout_of(64 * mib, 0), &model);
    ASSERT_TRUE(machine.has_value());
    EXPECT_EQ((*machine)->system().physical_bits, 40u);
}

TEST(Machine, WhatLiesBeyondPhysicalAddressesIsRefused) {
    cpu::Model model = cpu::default_model();
    model.physical_bits = 36;
    const auto memory = Machine::create(layout_of(64 * gib, 0), &model);
    ASSERT_FALSE(memory.has_value());
    EXPECT_EQ(memory.error().what, "memory and EPC do not fit into 36 bits of physical addresses");
    EXPECT_EQ(memory.error().where, "--memory");
    const auto epc = Machine::create(layout_of(63 * gib, 2 * mib), &model);
    ASSERT_FALSE(epc.has_value());
    EXPECT_EQ(epc.error().where, "--memory with --epc");
    EXPECT_EQ(epc.error().right, "less, or phys-bits=N with N up to 48 in --cpu");
}

TEST(Layout, EndsAboveRamAndEpc) {
    EXPECT_EQ(end_of(layout_of(64 * mib, 0)), 64 * mib);
    EXPECT_EQ(end_of(layout_of(64 * mib, 2 * mib)), 4 * gib + 2 * mib);
    EXPECT_EQ(end_of(layout_of(63 * gib, 0)), 64 * gib);
    EXPECT_EQ(end_of(layout_of(63 * gib, 4 * kib)), 64 * gib + 4 * kib);
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
