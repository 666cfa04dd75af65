// SPDX-License-Identifier: Apache-2.0
// UMONITOR, UMWAIT and TPAUSE: when the wait ends, and what CF says of it.
#include <gtest/gtest.h>

#include "cpu/exec/system.h"
#include "cpu/flags.h"
#include "cpu/mmu/monitor.h"
#include "cpu/msr.h"
#include "cpu/run.h"
#include "unit/cpu/event/machine.h"

namespace postern::cpu {
namespace {

constexpr u32 umwait_control = 0xe1;
constexpr u64 all_status = 0x8d5;

/// At CPL 3, interrupts off; the code ends in JMP to itself.
struct Waiting {
    Machine m;
    Cpu& c = m.c;

    explicit Waiting(const std::vector<u8>& code) {
        m.as_user();
        set_rflags(c, 2 | all_status);
        c.gpr[rcx] = 0;
        c.msr.tsc_adjust = 0;
        u64 at = code_rip;
        for (const u8 byte : code) m.put<u8>(at++, byte);
        m.put<u16>(at, 0xfeeb);
        deadline(~u64{0});
    }
    void deadline(u64 tsc) {
        c.gpr[rdx] = tsc >> 32;
        c.gpr[rax] = static_cast<u32>(tsc);
    }
    /// Time from the instruction to what follows it, which runs then.
    u64 waited(u64 at_most = 10'000) {
        const u64 start = now(c);
        do {
            (void)run(c, now(c) + 1);
        } while (now(c) < start + at_most && c.monitor.waiting && !wakes(c));
        const u64 time = now(c) - start;
        (void)run(c, now(c) + 1);
        return time;
    }
    u64 status() const { return rflags(c) & all_status; }
};

const std::vector<u8> tpause{0x66, 0x0f, 0xae, 0xf1}, umwait{0xf2, 0x0f, 0xae, 0xf1};

TEST(Tpause, WaitsForItsDeadlineAndClearsTheStatusFlags) {
    Waiting w{tpause};
    w.deadline(now(w.c) + 500);
    EXPECT_EQ(w.waited(), 500u);
    EXPECT_EQ(w.status(), 0u);
    EXPECT_EQ(w.c.event.activity, ActivityState::active);
}

TEST(Tpause, OfTheOperatingSystemsLimitSetsCarry) {
    Waiting w{tpause};
    w.c.msr.umwait_control = 0x100 | 1;  // bit 0 is about sleep states
    w.deadline(now(w.c) + 500);
    EXPECT_EQ(w.waited(), 0x100u);
    EXPECT_EQ(w.status(), 1u);
}

TEST(Tpause, OfAnEarlierDeadlineThanTheLimitDoesNot) {
    Waiting w{tpause};
    w.c.msr.umwait_control = 0x400;
    w.deadline(now(w.c) + 500);
    EXPECT_EQ(w.waited(), 500u);
    EXPECT_EQ(w.status(), 0u);
}

TEST(Tpause, OfADeadlineThatHasPassedDoesNotWait) {
    Waiting w{tpause};
    w.deadline(now(w.c));
    EXPECT_EQ(w.waited(), 1u);
    EXPECT_EQ(w.status(), 0u);
}

TEST(Tpause, IsLeftByAMaskedInterrupt) {
    Waiting w{tpause};
    (void)run(w.c, now(w.c) + 10);
    EXPECT_TRUE(w.c.monitor.waiting);
    EXPECT_FALSE(wakes(w.c));
    w.m.controller.vector = 0x55;
    EXPECT_TRUE(wakes(w.c));
    (void)run(w.c, now(w.c) + 10);
    EXPECT_FALSE(w.c.monitor.waiting);
    EXPECT_EQ(w.status(), 0u);
    EXPECT_EQ(w.m.controller.acknowledged, -1);
}

TEST(Tpause, ReservedBitsAndTsdAreGeneralProtection) {
    Machine m;
    m.c.gpr[rcx] = 2;
    EXPECT_FALSE(execute(m.c, exec_tpause, register_insn(rcx, rcx)));
    EXPECT_EQ(m.c.pending.vector, Vector::general_protection);
    m.as_user();
    m.c.gpr[rcx] = 1;
    EXPECT_TRUE(execute(m.c, exec_tpause, register_insn(rcx, rcx)));
    m.c.cr4.set(Cr4::tsd);
    EXPECT_FALSE(execute(m.c, exec_tpause, register_insn(rcx, rcx)));
    EXPECT_EQ(m.c.pending.vector, Vector::general_protection);
}

TEST(Tpause, OfAScaledGuestWaitsForItsOwnTicks) {
    Waiting w{tpause};
    w.m.as_guest(0, 1u << 3, 1u << 25 | 1u << 26);
    w.c.vmx.tsc_multiplier = u64{4} << 48;
    w.c.vmx.tsc_offset = u64{0} - 4 * now(w.c);  // the guest's counter is at 0
    w.deadline(400);
    EXPECT_EQ(w.waited(), 100u);
    Waiting limited{tpause};
    limited.m.as_guest(0, 1u << 3, 1u << 25 | 1u << 26);
    limited.c.vmx.tsc_multiplier = u64{4} << 48;
    limited.c.vmx.tsc_offset = u64{0} - 4 * now(limited.c);
    limited.c.msr.umwait_control = 40;
    limited.deadline(400);
    EXPECT_EQ(limited.waited(), 40u) << "the limit counts the processor's ticks";
    EXPECT_EQ(limited.status(), 1u);
}

TEST(Umwait, WithoutUmonitorDoesNotWait) {
    Waiting w{umwait};
    EXPECT_EQ(w.waited(), 1u);
    EXPECT_EQ(w.status(), 0u);
}

TEST(Umwait, IsWokenByAStoreToItsLine) {
    // umonitor rsi; umwait ecx
    Waiting w{{0xf3, 0x0f, 0xae, 0xf6, 0xf2, 0x0f, 0xae, 0xf1}};
    w.m.system.processors[0] = &w.c;
    w.m.system.processor_count = 1;
    w.c.gpr[rsi] = data_at + 8;
    (void)run(w.c, now(w.c) + 10);
    EXPECT_TRUE(w.c.monitor.waiting);
    wake_monitors(w.m.system, nullptr, w.m.system.memory.pointer(Hpa{data_at + 64}), 8);
    EXPECT_TRUE(w.c.monitor.waiting) << "the next line";
    wake_monitors(w.m.system, nullptr, w.m.system.memory.pointer(Hpa{data_at + 63}), 1);
    EXPECT_FALSE(w.c.monitor.waiting);
    EXPECT_TRUE(wakes(w.c));
    EXPECT_EQ(w.status(), 0u);
}

TEST(Umonitor, OfAPageThatIsNotThereFaultsAndArmsNothing) {
    Machine m;
    m.c.gpr[rsi] = 0x5000'0000;
    EXPECT_FALSE(execute(m.c, exec_umonitor, register_insn(rsi, 0)));
    EXPECT_EQ(m.c.pending.vector, Vector::page_fault);
    EXPECT_FALSE(m.c.monitor.armed);
}

TEST(Umonitor, IsNothingToMwait) {
    Machine m;
    m.c.gpr[rsi] = data_at;
    m.c.gpr[rcx] = 0;
    EXPECT_TRUE(execute(m.c, exec_umonitor, register_insn(rsi, 0)));
    EXPECT_TRUE(m.c.monitor.armed);
    EXPECT_TRUE(execute(m.c, exec_mwait, register_insn(0, 0)));
    EXPECT_FALSE(m.c.monitor.waiting);
}

TEST(Msr, UmwaitControlKeepsAllButBit1) {
    Machine m;
    EXPECT_TRUE(write_msr(m.c, umwait_control, 0x1'86a1).ok());
    EXPECT_EQ(read_msr(m.c, umwait_control).value(), 0x1'86a1u);
    EXPECT_FALSE(write_msr(m.c, umwait_control, 2).ok());
    EXPECT_FALSE(write_msr(m.c, umwait_control, u64{1} << 32).ok());
    m.model.features.set(Feature::waitpkg, false);
    EXPECT_FALSE(read_msr(m.c, umwait_control).ok());
}

}  // namespace
}  // namespace postern::cpu
