// SPDX-License-Identifier: Apache-2.0
// Calls whose operand and stack want the same slot of the TLB.
#include <gtest/gtest.h>

#include "arch/regs/gpr.h"
#include "cpu/mmu/tlb.h"
#include "support/guest_code.h"

namespace postern::cpu {
namespace {

class CallThroughMemory : public testing::Test {
protected:
    static constexpr u64 stack = guest_at::stack - 0x1000;  // RSP
    static constexpr u64 target = guest_at::code + 0x100;
    static constexpr u64 twin = (u64{4} << 20) + stack - 8;  // same slot, another page

    GuestCode machine_;

    CallThroughMemory() {
        machine_.map(twin & ~(page_size - 1), guest_at::spare, pte_present | pte_write | pte_user);
        machine_.at<u64>(guest_at::spare + twin % page_size) = target;
        machine_.write(guest_at::code, call_rax);
        machine_.write(target, GuestCode::hlt);
        machine_.c.gpr[rsp] = stack;
        machine_.c.gpr[rax] = twin;
    }
    static constexpr std::array<u8, 2> call_rax{0xff, 0x10};  // call [rax]
};

TEST_F(CallThroughMemory, EndsWhenOperandAndStackShareASlot) {
    ASSERT_EQ(Tlb::slot_of(twin), Tlb::slot_of(stack - 8));
    const GuestStop stop = machine_.run(10);
    EXPECT_EQ(stop.outcome, RunOutcome::halted);
    EXPECT_EQ(stop.state.rip, target);
    EXPECT_EQ(stop.state.gpr[rsp], stack - 8);
    EXPECT_EQ(machine_.at<u64>(stack - 8), guest_at::code + call_rax.size());
    EXPECT_EQ(stop.instructions, 1u);
}

TEST_F(CallThroughMemory, PushesNothingIfTheTargetIsNotCanonical) {
    machine_.at<u64>(guest_at::spare + twin % page_size) = u64{1} << 63;
    machine_.at<u64>(stack - 8) = 0x1234;
    const GuestStop stop = machine_.run(10);
    ASSERT_TRUE(stop.fault.has_value());
    EXPECT_EQ(stop.fault->vector, Vector::general_protection);
    EXPECT_EQ(stop.state.gpr[rsp], stack);
    EXPECT_EQ(machine_.at<u64>(stack - 8), 0x1234u);
}

}  // namespace
}  // namespace postern::cpu
