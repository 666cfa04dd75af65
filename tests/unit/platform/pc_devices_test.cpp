// SPDX-License-Identifier: Apache-2.0
// The chips of a PC wired together: interrupts find their way, time passes, power goes off.
#include "platform/pc_devices.h"

#include <gtest/gtest.h>

#include <cstring>

#include "cpu/model.h"
#include "cpu/reset.h"
#include "platform/machine.h"

namespace postern::platform {
namespace {

class PcChips : public ::testing::Test, public Clock {
protected:
    PcChips() {
        for (u32 n = 0; n < 2; ++n) {
            processors.push_back(std::make_unique<cpu::Cpu>());
            processors[n]->number = n;
            processors[n]->msr.apic_base = n == 0 ? 0xfee0'0900 : 0xfee0'0800;
            pointers.push_back(processors[n].get());
        }
        pc = std::make_unique<PcDevices>(
            PcSurroundings{*this, bus, serial_text, debug_text, [](u32) {}}, layout_of(64 * mib, 0),
            pointers);
    }
    [[nodiscard]] u64 now() const override { return time; }
    void pass_to(u64 until) {
        while (pc->next_event() <= until) {
            time = pc->next_event();
            pc->advance(time);
        }
        time = until;
        pc->advance(time);
    }
    void out(u16 port, u8 value) { bus.out(port, 1, value); }
    u8 in(u16 port) { return static_cast<u8>(bus.in(port, 1)); }
    void initialize_pics() {
        for (const u16 port : {u16{0x20}, u16{0xa0}}) out(port, 0x11);
        out(0x21, 0x30);
        out(0xa1, 0x38);
        out(0x21, 4);
        out(0xa1, 2);
        out(0x21, 1);
        out(0xa1, 1);
    }
    void write_entry(unsigned pin, u64 entry) {
        for (unsigned half : {1u, 0u}) {
            bus.write(Hpa{0xfec0'0000}, 4, 0x10 + 2 * pin + half);
            bus.write(Hpa{0xfec0'0010}, 4, static_cast<u32>(entry >> (32 * half)));
        }
    }
    LocalApic& apic(unsigned n) { return *pc->local_apics[n]; }

    u64 time = 0;
    Bus bus;
    StringSink serial_text, debug_text;
    std::vector<std::unique_ptr<cpu::Cpu>> processors;
    std::vector<cpu::Cpu*> pointers;
    std::unique_ptr<PcDevices> pc;
};

TEST_F(PcChips, EveryDeviceFindsItsPlace) { EXPECT_TRUE(pc->complete); }

TEST_F(PcChips, TheTimerInterruptsThroughThe8259AndVirtualWire) {
    initialize_pics();
    out(0x21, 0xfe);
    out(0x43, 0x34);  // channel 0, both bytes, mode 2
    out(0x40, 0xa9);
    out(0x40, 0x04);  // 1193: 1 ms
    pass_to(990'000);
    EXPECT_EQ(apic(0).pending_vector(time), -1);
    pass_to(1'002'000);
    EXPECT_EQ(apic(0).pending_vector(time), 0x30);
    EXPECT_EQ(apic(1).pending_vector(time), -1);
    apic(0).acknowledge(0x30);
    EXPECT_EQ(apic(0).pending_vector(time), -1);
}

TEST_F(PcChips, TheTimerIsPin2OfTheIoApic) {
    apic(0).mmio_write(0x350, 4, 0x1'0700);
    write_entry(2, 0x31);
    out(0x43, 0x34);
    out(0x40, 0xa9);
    out(0x40, 0x04);
    pass_to(1'002'000);
    EXPECT_EQ(apic(0).pending_vector(time), 0x31);
}

TEST_F(PcChips, Slp_EnWithTheTypeOfS5PowersOff) {
    bus.out(0x604, 2, 5 << 10);
    EXPECT_FALSE(bus.stop_requested());
    bus.out(0x604, 2, 5 << 10 | 1 << 13);
    EXPECT_EQ(bus.stop_request().kind, StopKind::power_off);
}

TEST_F(PcChips, InitAndStartUpReachTheOtherProcessor) {
    pc->select(0);
    bus.write(Hpa{0xfee0'0310}, 4, 1u << 24);
    bus.write(Hpa{0xfee0'0300}, 4, 0x4500);
    EXPECT_TRUE(processors[1]->event.init_pending);
    EXPECT_FALSE(processors[0]->event.init_pending);
    bus.write(Hpa{0xfee0'0300}, 4, 0x4699);
    EXPECT_TRUE(processors[1]->event.sipi_pending);
    EXPECT_EQ(processors[1]->event.sipi_vector, 0x99);
}

TEST_F(PcChips, AnInitResetsTheLocalApicAndKeepsTheStartUpThatFollowedIt) {
    auto machine = Machine::create(layout_of(64 * mib, 0), &cpu::default_model(), 2);
    ASSERT_TRUE(machine.has_value());
    const auto cpus = (*machine)->processors();
    PcDevices devices{PcSurroundings{*this, (*machine)->bus(), serial_text, debug_text, [](u32) {}},
                      layout_of(64 * mib, 0), cpus};
    devices.local_apics[1]->set_task_priority(5);
    devices.local_apics[0]->mmio_write(0x310, 4, 1u << 24);
    devices.local_apics[0]->mmio_write(0x300, 4, 0x4500);
    devices.local_apics[0]->mmio_write(0x300, 4, 0x4699);
    cpu::init_registers(*cpus[1]);
    EXPECT_EQ(devices.local_apics[1]->task_priority(), 0);
    EXPECT_FALSE(cpus[1]->event.init_pending);
    EXPECT_TRUE(cpus[1]->event.sipi_pending);
    EXPECT_EQ(cpus[1]->event.sipi_vector, 0x99);
}

TEST_F(PcChips, EachProcessorSeesItsOwnApicWhenItIsItsTurn) {
    EXPECT_EQ(bus.read(Hpa{0xfee0'0020}, 4), 0u);
    pc->select(1);
    EXPECT_EQ(bus.read(Hpa{0xfee0'0020}, 4), 0x0100'0000u);
}

TEST_F(PcChips, FirmwareLeavesThe8259sMaskedAndSciALevel) {
    EXPECT_EQ(in(0x21), 0xff);
    EXPECT_EQ(in(0xa1), 0xff);
    EXPECT_EQ(in(0x4d1), 0x02);
    EXPECT_EQ(apic(0).mmio_read(0x350, 4), 0x700u);
    EXPECT_EQ(apic(1).mmio_read(0x350, 4), 0x1'0000u);
}

TEST_F(PcChips, TheSerialPortAndTheClockReachTheirPins) {
    apic(0).mmio_write(0x350, 4, 0x1'0700);
    write_entry(4, 0x34);
    write_entry(8, 0x38);
    bus.out(0x3fc, 1, 0x0b);
    bus.out(0x3f9, 1, 0x02);
    EXPECT_EQ(apic(0).pending_vector(time), 0x34);
    out(0x70, 0x0b);
    out(0x71, 0x12);
    pass_to(1'000'000'000);
    EXPECT_EQ(apic(0).pending_vector(time), 0x38);
}

TEST_F(PcChips, ARestoredPcGoesOnWhereTheSavedOneStood) {
    initialize_pics();
    out(0x21, 0xfe);
    out(0x43, 0x34);
    out(0x40, 0xa9);
    out(0x40, 0x04);
    pass_to(700'000);
    const PcDevices::State saved = pc->state();
    Bus other_bus;
    PcDevices other{PcSurroundings{*this, other_bus, serial_text, debug_text, [](u32) {}},
                    layout_of(64 * mib, 0), pointers};
    other.restore(saved);
    const PcDevices::State again = other.state();
    EXPECT_EQ(std::memcmp(&saved, &again, sizeof saved), 0);
    EXPECT_EQ(other.next_event(), pc->next_event());
    while (other.next_event() < 1'002'000) {
        time = other.next_event();
        other.advance(time);
    }
    EXPECT_EQ(other.local_apics[0]->pending_vector(time), 0x30);
}

}  // namespace
}  // namespace postern::platform
