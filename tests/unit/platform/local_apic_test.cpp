// SPDX-License-Identifier: Apache-2.0
// The local APIC: priorities, the timer's three modes, the two ways to reach its registers.
#include "platform/device/local_apic.h"

#include <gtest/gtest.h>

#include <memory>

namespace postern::platform {
namespace {

constexpr u64 xapic = 0xfee0'0900;  // BSP, enabled
constexpr u64 x2apic = 0xfee0'0d00;

class Apic : public ::testing::Test {
protected:
    Apic() {
        processor->msr.apic_base = xapic;
        apic = std::make_unique<LocalApic>(*processor);
        write(0xf0, 0x1ff);  // enabled by software
    }
    void at(u64 time) { processor->horizon = time; }  // budget is 0
    u32 read(u64 offset) { return static_cast<u32>(apic->mmio_read(offset, 4)); }
    void write(u64 offset, u32 value) { apic->mmio_write(offset, 4, value); }
    u64 rdmsr(u32 msr, bool expect_fault = false) {
        bool fault = false;
        const u64 value = apic->read_msr(msr, cpu::now(*processor), fault);
        EXPECT_EQ(fault, expect_fault) << std::hex << msr;
        return value;
    }
    bool wrmsr(u32 msr, u64 value) { return apic->write_msr(msr, value, cpu::now(*processor)); }

    std::unique_ptr<cpu::Cpu> processor = std::make_unique<cpu::Cpu>();
    std::unique_ptr<LocalApic> apic;
};

TEST_F(Apic, AfterResetItIsSoftwareDisabledAndItsLvtMasked) {
    LocalApic fresh{*processor};
    EXPECT_EQ(fresh.mmio_read(0xf0, 4), 0xffu);
    EXPECT_EQ(fresh.mmio_read(0x320, 4), 0x1'0000u);
    EXPECT_EQ(fresh.mmio_read(0x30, 4), 0x5'0015u);
    fresh.mmio_write(0x320, 4, 0x40);
    EXPECT_EQ(fresh.mmio_read(0x320, 4), 0x1'0040u);  // still masked: not enabled
}

TEST_F(Apic, TheHighestRequestIsDeliveredFirst) {
    apic->request(0x31);
    apic->request(0x52);
    EXPECT_EQ(apic->pending_vector(0), 0x52);
    EXPECT_EQ(read(0x220), 0x4'0000u);  // IRR, bits 0x40 to 0x5f
    apic->acknowledge(0x52);
    EXPECT_EQ(read(0x120), 0x4'0000u);       // ISR
    EXPECT_EQ(apic->pending_vector(0), -1);  // 0x31 is of a lower class
    write(0xb0, 0);
    EXPECT_EQ(apic->pending_vector(0), 0x31);
}

TEST_F(Apic, TheProcessorsEndOfInterruptIsThatOfTheRegister) {
    apic->request(0x31);
    apic->acknowledge(0x31);
    apic->request(0x52);
    apic->acknowledge(0x52);
    apic->end_of_interrupt();
    EXPECT_EQ(read(0x120), 0u);
    EXPECT_EQ(read(0x110), 0x2'0000u);
}

TEST_F(Apic, TaskPriorityHoldsBackItsClassAndBelow) {
    apic->request(0x45);
    apic->set_task_priority(4);
    EXPECT_EQ(read(0x80), 0x40u);
    EXPECT_EQ(apic->pending_vector(0), -1);
    write(0x80, 0x3f);
    EXPECT_EQ(apic->task_priority(), 3);
    EXPECT_EQ(apic->pending_vector(0), 0x45);
}

TEST_F(Apic, ProcessorPriorityIsTheHigherOfTaskAndService) {
    write(0x80, 0x25);
    EXPECT_EQ(read(0xa0), 0x25u);
    apic->request(0x63);
    apic->acknowledge(0x63);
    EXPECT_EQ(read(0xa0), 0x60u);
}

TEST_F(Apic, VectorsBelow16AreIllegal) {
    apic->request(15);
    EXPECT_EQ(apic->pending_vector(0), -1);
    EXPECT_EQ(read(0x280), 0u);
    write(0x280, 0);  // a write brings the errors since the last one
    EXPECT_EQ(read(0x280), 0x40u);
    write(0x280, 0);
    EXPECT_EQ(read(0x280), 0u);
}

TEST_F(Apic, OneShotFiresOnceAfterCountTimesDivideTimes40) {
    at(1000);
    write(0x3e0, 0xb);  // divide by 1
    write(0x320, 0x40);
    write(0x380, 100);
    EXPECT_EQ(apic->next_event(), 5000u);
    EXPECT_EQ(apic->pending_vector(4999), -1);
    EXPECT_EQ(apic->pending_vector(5000), 0x40);
    EXPECT_EQ(apic->next_event(), ~u64{0});
}

TEST_F(Apic, DivideValuesAreThoseOfTheManual) {
    const struct {
        u32 code;
        u64 divide;
    } rows[] = {{0x0, 2},  {0x1, 4},  {0x2, 8},   {0x3, 16},
                {0x8, 32}, {0x9, 64}, {0xa, 128}, {0xb, 1}};
    for (const auto& row : rows) {
        write(0x3e0, row.code);
        write(0x380, 10);
        EXPECT_EQ(apic->next_event(), 400 * row.divide) << row.code;
    }
}

TEST_F(Apic, CurrentCountFallsByOneEachTick) {
    write(0x3e0, 0xb);
    write(0x380, 100);
    EXPECT_EQ(read(0x390), 100u);
    at(39);
    EXPECT_EQ(read(0x390), 100u);
    at(40);
    EXPECT_EQ(read(0x390), 99u);
    at(3999);
    EXPECT_EQ(read(0x390), 1u);
    at(4000);
    EXPECT_EQ(read(0x390), 0u);
}

TEST_F(Apic, PeriodicKeepsItsPhaseWhenLookedAtLate) {
    write(0x3e0, 0xb);
    write(0x320, 0x2'0040);
    write(0x380, 10);
    EXPECT_EQ(apic->pending_vector(400), 0x40);
    EXPECT_EQ(apic->next_event(), 800u);
    apic->acknowledge(0x40);
    EXPECT_EQ(apic->pending_vector(3950), -1);  // in service
    EXPECT_EQ(apic->next_event(), 4000u);
    EXPECT_EQ(read(0x220), 1u);  // requested again
}

TEST_F(Apic, AMaskedTimerRunsWithoutInterrupting) {
    write(0x3e0, 0xb);
    write(0x320, 0x1'0040);
    write(0x380, 10);
    EXPECT_EQ(apic->pending_vector(400), -1);
    EXPECT_EQ(apic->next_event(), ~u64{0});
}

TEST_F(Apic, TscDeadlineFiresAtTheTscAndDisarms) {
    write(0x320, 0x4'0050);
    EXPECT_TRUE(wrmsr(0x6e0, 7000));
    EXPECT_EQ(rdmsr(0x6e0), 7000u);
    EXPECT_EQ(apic->next_event(), 7000u);
    EXPECT_EQ(apic->pending_vector(6999), -1);
    EXPECT_EQ(apic->pending_vector(7000), 0x50);
    EXPECT_EQ(rdmsr(0x6e0), 0u);
    write(0x380, 10);  // ignored in this mode
    EXPECT_EQ(apic->next_event(), ~u64{0});
}

TEST_F(Apic, ADeadlineInThePastFiresAtOnceAndTscAdjustCounts) {
    write(0x320, 0x4'0050);
    at(5000);
    EXPECT_TRUE(wrmsr(0x6e0, 4000));
    EXPECT_EQ(apic->pending_vector(5000), 0x50);
    processor->msr.tsc_adjust = 1000;
    EXPECT_TRUE(wrmsr(0x6e0, 9000));
    EXPECT_EQ(apic->next_event(), 8000u);
}

TEST_F(Apic, DeadlineWritesInOtherModesAreIgnored) {
    EXPECT_TRUE(wrmsr(0x6e0, 7000));
    EXPECT_EQ(rdmsr(0x6e0), 0u);
    EXPECT_EQ(apic->next_event(), ~u64{0});
}

TEST_F(Apic, LeavingDeadlineModeDisarms) {
    write(0x320, 0x4'0050);
    EXPECT_TRUE(wrmsr(0x6e0, 7000));
    write(0x320, 0x50);
    EXPECT_EQ(apic->next_event(), ~u64{0});
}

TEST_F(Apic, X2apicMsrsFaultUntilEnabledAndThenThePageIsGone) {
    rdmsr(0x802, true);
    EXPECT_FALSE(wrmsr(0x80b, 0));
    processor->msr.apic_base = x2apic;
    EXPECT_EQ(rdmsr(0x802), 0u);
    EXPECT_EQ(rdmsr(0x80d), 1u);
    EXPECT_EQ(read(0xf0), 0xffff'ffffu);
    EXPECT_EQ(rdmsr(0x80f), 0x1ffu);
}

TEST_F(Apic, X2apicRefusesReservedBitsAndReadOnlyRegisters) {
    processor->msr.apic_base = x2apic;
    EXPECT_FALSE(wrmsr(0x802, 0));
    EXPECT_FALSE(wrmsr(0x80b, 1));
    EXPECT_FALSE(wrmsr(0x808, 0x100));
    EXPECT_FALSE(wrmsr(0x838, u64{1} << 32));
    EXPECT_FALSE(wrmsr(0x839, 0));
    EXPECT_FALSE(wrmsr(0x80e, 0));  // DFR does not exist here
    rdmsr(0x80b, true);
    rdmsr(0x80e, true);
    EXPECT_TRUE(wrmsr(0x808, 0x20));
    EXPECT_EQ(apic->task_priority(), 2);
}

TEST_F(Apic, SelfIpisAreRequestedByIcrAndBySelfIpi) {
    write(0x300, 0x4'0061);  // shorthand: self
    EXPECT_EQ(apic->pending_vector(0), 0x61);
    processor->msr.apic_base = x2apic;
    EXPECT_TRUE(wrmsr(0x83f, 0x72));
    EXPECT_EQ(apic->pending_vector(0), 0x72);
    EXPECT_TRUE(wrmsr(0x830, u64{1} << 32 | 0x83));  // to processor 1: nobody
    EXPECT_EQ(apic->pending_vector(0), 0x72);
}

TEST_F(Apic, GloballyDisabledItDeliversNothing) {
    apic->request(0x40);
    processor->msr.apic_base = 0xfee0'0100;
    EXPECT_EQ(apic->pending_vector(0), -1);
    EXPECT_EQ(read(0x30), 0xffff'ffffu);
}

}  // namespace
}  // namespace postern::platform
