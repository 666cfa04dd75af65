// SPDX-License-Identifier: Apache-2.0
// Handlers that fault at once, for ever: nothing retires, and still a run comes to its end.
#include <gtest/gtest.h>

#include <algorithm>

#include "support/guest_code.h"

namespace postern::cpu {
namespace {

/// Where the gate of `vector` leads.
u64 handler_of(GuestCode& guest, Vector vector) {
    const u64 gate = guest.at<u64>(guest_at::idt + 16 * static_cast<u64>(vector));
    return (gate & 0xffff) | (gate >> 48 << 16);
}

constexpr std::array<u8, 2> ud2{0x0f, 0x0b};

TEST(FaultStorm, AHandlerThatFaultsAtOnceDoesNotStopTime) {
    GuestCode guest;
    guest.write(handler_of(guest, Vector::invalid_opcode), ud2);
    guest.write(guest_at::code, ud2);
    guest.set_plain_state(guest_at::code);
    const u64 start = now(guest.c);
    EXPECT_EQ(run(guest.c, start + 50), RunOutcome::time);
    EXPECT_EQ(now(guest.c), start + 50) << "to the instruction";
    EXPECT_EQ(guest.c.rip, handler_of(guest, Vector::invalid_opcode));
}

/// RSP after a storm of 50 ns. Nothing but the frames on the stack tells how many faults it had.
u64 stack_after_a_storm(u64 slice) {
    GuestCode guest;
    constexpr u64 ist = u64{7} << 32;
    guest.at<u64>(guest_at::idt + 16 * static_cast<u64>(Vector::invalid_opcode)) &= ~ist;
    guest.write(handler_of(guest, Vector::invalid_opcode), ud2);
    guest.write(guest_at::code, ud2);
    guest.set_plain_state(guest_at::code);
    const u64 end = now(guest.c) + 50;
    while (now(guest.c) < end)
        EXPECT_EQ(run(guest.c, std::min(now(guest.c) + slice, end)), RunOutcome::time);
    EXPECT_EQ(guest.c.rip, handler_of(guest, Vector::invalid_opcode));
    return guest.c.gpr[rsp];
}

TEST(FaultStorm, WhereARunIsCutIsNotSeen) {
    const u64 at_once = stack_after_a_storm(50);
    EXPECT_LT(at_once, guest_at::stack - 1000 * 40);
    EXPECT_EQ(stack_after_a_storm(7), at_once);
    EXPECT_EQ(stack_after_a_storm(1), at_once);
}

TEST(FaultStorm, AFaultThatIsHandledStillCostsNothing) {
    GuestCode guest;
    // INC RCX; ADD QWORD [RSP], 2; IRETQ: four times past the UD2.
    constexpr std::array<u8, 10> handler{0x48, 0xff, 0xc1, 0x48, 0x83,
                                         0x04, 0x24, 0x02, 0x48, 0xcf};
    constexpr std::array<u8, 9> code{0x0f, 0x0b, 0x0f, 0x0b, 0x0f, 0x0b, 0x0f, 0x0b, 0xf4};
    guest.write(handler_of(guest, Vector::invalid_opcode), handler);
    guest.write(guest_at::code, code);
    guest.set_plain_state(guest_at::code);
    guest.c.gpr[rcx] = 0;
    const u64 start = now(guest.c);
    EXPECT_EQ(run(guest.c, start + 12), RunOutcome::time) << "four times three instructions";
    EXPECT_EQ(guest.c.gpr[rcx], 4u);
    EXPECT_EQ(guest.c.rip, guest_at::code + 8);
}

}  // namespace
}  // namespace postern::cpu
