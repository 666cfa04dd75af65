// SPDX-License-Identifier: Apache-2.0
// Messages between processors: who is meant, what arrives. SDM 3A, "Issuing Interprocessor
// Interrupts", is where the numbers are from.
#include "platform/device/apic_network.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "platform/device/local_apic.h"

namespace postern::platform {
namespace {

constexpr u64 xapic = 0xfee0'0800;
constexpr u64 x2apic = 0xfee0'0c00;

class Network : public ::testing::Test {
protected:
    Network() { add(3, xapic); }
    void add(u32 count, u64 base) {
        for (u32 i = 0; i < count; ++i) {
            const auto n = static_cast<u32>(processors.size());
            processors.push_back(std::make_unique<cpu::Cpu>());
            processors[n]->number = n;
            processors[n]->msr.apic_base = xapic;
            apics.push_back(std::make_unique<LocalApic>(*processors[n], &network));
            apics[n]->mmio_write(0xf0, 4, 0x1ff);
            if (base == x2apic) enter_x2apic(n);
        }
    }
    void enter_x2apic(u32 n) {
        const u64 before = processors[n]->msr.apic_base;
        processors[n]->msr.apic_base = x2apic;
        apics[n]->base_written(before);
    }
    /// ICR of processor n in xAPIC mode.
    void send(u32 n, u32 destination, u32 low) {
        apics[n]->mmio_write(0x310, 4, destination << 24);
        apics[n]->mmio_write(0x300, 4, low);
    }
    /// Which processors have an interrupt, as a set of bits.
    u32 reached() {
        u32 set = 0;
        for (u32 n = 0; n < apics.size(); ++n)
            if (apics[n]->pending_vector(0) >= 0) set |= 1u << n;
        return set;
    }
    u32 error(u32 n) {
        apics[n]->mmio_write(0x280, 4, 0);
        return static_cast<u32>(apics[n]->mmio_read(0x280, 4));
    }

    ApicNetwork network;
    std::vector<std::unique_ptr<cpu::Cpu>> processors;
    std::vector<std::unique_ptr<LocalApic>> apics;
};

TEST_F(Network, APhysicalDestinationIsOneProcessorOrAll) {
    send(0, 2, 0x4041);
    EXPECT_EQ(reached(), 0b100u);
    EXPECT_EQ(apics[2]->pending_vector(0), 0x41);
    send(0, 9, 0x4041);
    EXPECT_EQ(reached(), 0b100u);
    send(1, 0xff, 0x4042);
    EXPECT_EQ(reached(), 0b111u);
}

TEST_F(Network, ShorthandsNeedNoDestination) {
    send(1, 0, 0xc'4041);  // all but self
    EXPECT_EQ(reached(), 0b101u);
    send(1, 0, 0x4'4041);  // self
    EXPECT_EQ(reached(), 0b111u);
}

TEST_F(Network, AllIncludingSelfReachesAll) {
    send(1, 0, 0x8'4041);
    EXPECT_EQ(reached(), 0b111u);
}

TEST_F(Network, FlatLogicalIdsAreBits) {
    for (u32 n = 0; n < 3; ++n) apics[n]->mmio_write(0xd0, 4, 1u << (24 + n));
    send(0, 0b110, 0x4841);
    EXPECT_EQ(reached(), 0b110u);
}

TEST_F(Network, ClustersAreANumberAndBits) {
    const u32 ids[] = {0x11, 0x12, 0x21};
    for (u32 n = 0; n < 3; ++n) {
        apics[n]->mmio_write(0xe0, 4, 0x0fff'ffff);
        apics[n]->mmio_write(0xd0, 4, ids[n] << 24);
    }
    send(0, 0x13, 0x4841);
    EXPECT_EQ(reached(), 0b011u);
    send(0, 0xf1, 0x4842);  // every cluster
    EXPECT_EQ(reached(), 0b111u);
}

TEST_F(Network, SoftwareDisabledApicsTakeNmiAndInitButNoInterrupt) {
    apics[2]->mmio_write(0xf0, 4, 0xff);
    send(0, 2, 0x4041);
    EXPECT_EQ(reached(), 0u);
    send(0, 2, 0x4400);
    send(0, 2, 0x4500);
    EXPECT_TRUE(processors[2]->event.nmi_pending);
    EXPECT_TRUE(processors[2]->event.init_pending);
}

TEST_F(Network, TheDeassertionOfInitDoesNothing) {
    send(0, 2, 0x8500);
    EXPECT_FALSE(processors[2]->event.init_pending);
    send(0, 2, 0xc500);
    EXPECT_TRUE(processors[2]->event.init_pending);
}

TEST_F(Network, AStartUpIsForWhoWaitsForItAndTheFirstCounts) {
    send(0, 2, 0x4608);
    EXPECT_FALSE(processors[2]->event.sipi_pending);
    processors[2]->event.activity = ActivityState::wait_for_sipi;
    send(0, 2, 0x4609);
    send(0, 2, 0x460a);
    EXPECT_TRUE(processors[2]->event.sipi_pending);
    EXPECT_EQ(processors[2]->event.sipi_vector, 9);
}

TEST_F(Network, AStartUpRightAfterInitIsNotLost) {
    send(0, 2, 0x4500);
    send(0, 2, 0x4608);
    EXPECT_TRUE(processors[2]->event.sipi_pending);
}

TEST_F(Network, InVmxRootOperationInitIsHeldBackAndAStartUpLost) {
    processors[2]->vmx.on = true;
    send(0, 2, 0x4500);
    send(0, 2, 0x4608);
    EXPECT_TRUE(processors[2]->event.init_pending);
    EXPECT_FALSE(processors[2]->event.sipi_pending);
}

TEST_F(Network, SendingAnIllegalVectorIsTheSendersError) {
    send(0, 2, 0x400f);
    EXPECT_EQ(error(0), 0x20u);
    EXPECT_EQ(error(2), 0u);
    EXPECT_EQ(reached(), 0u);
}

TEST_F(Network, AnErrorInterruptsThroughItsLocalVector) {
    apics[0]->mmio_write(0x370, 4, 0x77);
    send(0, 2, 0x4003);
    EXPECT_EQ(apics[0]->pending_vector(0), 0x77);
}

TEST_F(Network, AReservedRegisterIsAnError) {
    apics[0]->mmio_read(0x40, 4);
    EXPECT_EQ(error(0), 0x80u);
    apics[0]->mmio_read(0x20, 4);
    apics[0]->mmio_write(0x320, 4, 0x1'0040);
    EXPECT_EQ(error(0), 0u);
}

TEST_F(Network, X2apicDestinationsAre32Bits) {
    add(17, x2apic);
    for (u32 n = 0; n < 3; ++n) enter_x2apic(n);
    EXPECT_TRUE(apics[0]->write_msr(0x830, u64{18} << 32 | 0x41, 0));
    EXPECT_EQ(reached(), 1u << 18);
    EXPECT_TRUE(apics[0]->write_msr(0x830, 0xffff'ffff'0000'0042, 0));
    EXPECT_EQ(reached(), 0xf'ffffu);
}

TEST_F(Network, X2apicLogicalIdsAreClustersOf16) {
    add(17, x2apic);
    for (u32 n = 0; n < 3; ++n) enter_x2apic(n);
    bool fault = false;
    EXPECT_EQ(apics[18]->read_msr(0x80d, 0, fault), 0x1'0004u);
    EXPECT_TRUE(apics[0]->write_msr(0x830, u64{0x1'0006} << 32 | 0x841, 0));
    EXPECT_EQ(reached(), 0b110u << 16);
}

TEST_F(Network, EnteringX2apicModeBringsTheProcessorsIdBack) {
    apics[1]->mmio_write(0x20, 4, 0x0700'0000);
    EXPECT_EQ(apics[1]->mmio_read(0x20, 4), 0x0700'0000u);
    apics[1]->mmio_write(0x80, 4, 0x30);
    enter_x2apic(1);
    bool fault = false;
    EXPECT_EQ(apics[1]->read_msr(0x802, 0, fault), 1u);
    EXPECT_EQ(apics[1]->read_msr(0x808, 0, fault), 0x30u);  // the rest stays
}

TEST_F(Network, SwitchedOffAnApicForgets) {
    apics[1]->mmio_write(0x80, 4, 0x30);
    processors[1]->msr.apic_base = 0xfee0'0000;
    apics[1]->base_written(xapic);
    processors[1]->msr.apic_base = xapic;
    apics[1]->base_written(0xfee0'0000);
    EXPECT_EQ(apics[1]->mmio_read(0x80, 4), 0u);
    EXPECT_EQ(apics[1]->mmio_read(0xf0, 4), 0xffu);
}

TEST_F(Network, AnInitResetKeepsTheIdAlone) {
    apics[1]->mmio_write(0x20, 4, 0x0700'0000);
    apics[1]->mmio_write(0xd0, 4, 0x0200'0000);
    apics[1]->request(0x41);
    apics[1]->init_reset();
    EXPECT_EQ(apics[1]->mmio_read(0x20, 4), 0x0700'0000u);
    EXPECT_EQ(apics[1]->mmio_read(0xd0, 4), 0u);
    EXPECT_EQ(apics[1]->mmio_read(0xf0, 4), 0xffu);
    EXPECT_EQ(apics[1]->mmio_read(0x220, 4), 0u);
}

TEST_F(Network, AnMsiIsAddressAndData) {
    EXPECT_TRUE(network.deliver_msi(0xfee0'2000, 0x4061));
    EXPECT_EQ(reached(), 0b100u);
    for (u32 n = 0; n < 3; ++n) apics[n]->mmio_write(0xd0, 4, 1u << (24 + n));
    EXPECT_TRUE(network.deliver_msi(0xfee0'300c, 0x4162));  // logical, lowest priority
    EXPECT_EQ(reached(), 0b101u);
    EXPECT_FALSE(network.deliver_msi(0xfee0'9000, 0x4061));
    EXPECT_TRUE(network.deliver_msi(0xfee0'2004, 0x4063));  // logical without the hint, as Linux's
    EXPECT_EQ(reached(), 0b111u);
}

TEST_F(Network, Lint1IsAnNmiWhereItsVectorSaysSo) {
    apics[0]->set_virtual_wire();
    apics[0]->set_nmi(true);
    apics[1]->set_nmi(true);  // masked
    EXPECT_TRUE(processors[0]->event.nmi_pending);
    EXPECT_FALSE(processors[1]->event.nmi_pending);
}

TEST_F(Network, ThePageShowsTheApicOfTheProcessorWhoseTurnItIs) {
    ApicPage page;
    EXPECT_EQ(page.mmio_read(0x20, 4), 0xffff'ffffu);
    page.select(*apics[2]);
    EXPECT_EQ(page.mmio_read(0x20, 4), 0x0200'0000u);
    page.mmio_write(0x80, 4, 0x40);
    EXPECT_EQ(apics[2]->task_priority(), 4);
}

/// The 8259s on LINT0.
class VirtualWire : public Network {
protected:
    VirtualWire() {
        apics[0]->connect(pic);
        apics[0]->set_virtual_wire();
        for (const auto& [port, value] :
             {std::pair<u16, u8>{0x20, 0x11}, {0x21, 0x30}, {0x21, 4}, {0x21, 1}})
            pic.write_port(port, 1, value);
    }
    Pic pic;
};

TEST_F(VirtualWire, TaskPriorityDoesNotHoldBackExternalInterrupts) {
    apics[0]->set_task_priority(15);
    pic.set_line(4, true);
    EXPECT_EQ(apics[0]->pending_vector(0), 0x34);
    apics[0]->acknowledge(0x34);
    EXPECT_EQ(apics[0]->pending_vector(0), -1);
    EXPECT_EQ(apics[0]->mmio_read(0x110, 4), 0u);  // not in service here
}

TEST_F(VirtualWire, AMaskedLint0HearsNothing) {
    apics[0]->mmio_write(0x350, 4, 0x1'0700);
    pic.set_line(4, true);
    EXPECT_EQ(apics[0]->pending_vector(0), -1);
    apics[0]->mmio_write(0x350, 4, 0x0700);
    EXPECT_EQ(apics[0]->pending_vector(0), 0x34);
}

TEST_F(VirtualWire, WithTheApicOffThe8259sAreWiredToTheProcessor) {
    processors[0]->msr.apic_base = 0xfee0'0000;
    apics[0]->base_written(xapic);
    pic.set_line(4, true);
    EXPECT_EQ(apics[0]->pending_vector(0), 0x34);
}

TEST_F(VirtualWire, FixedOnLint0IsTheVectorOfItsEntry) {
    apics[0]->mmio_write(0x350, 4, 0x0055);
    pic.set_line(4, true);
    EXPECT_EQ(apics[0]->pending_vector(0), 0x55);
}

}  // namespace
}  // namespace postern::platform
