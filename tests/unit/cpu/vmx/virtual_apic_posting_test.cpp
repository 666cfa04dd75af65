// SPDX-License-Identifier: Apache-2.0
// Posted interrupts. The descriptor: 256 requests, then "outstanding notification" in bit 256.
#include "unit/cpu/event/inside.h"
#include "unit/cpu/vmx/virtual_apic_guest.h"

namespace postern::cpu {
namespace {

constexpr u64 virr = 0x200;
constexpr u8 notification = 0xf2;

struct PostedGuest : VirtualApicGuest {
    PostedGuest() : VirtualApicGuest{interrupt_delivery, tpr_shadow, external_exiting | posting} {
        set(VmcsField::posted_interrupt_notification_vector, notification);
        set(VmcsField::vm_exit_controls, 1u << 9 | 1u << 15);
        for (u64 at = 0; at < 64; at += 8) put<u64>(descriptor_at + at, 0);
        put<u64>(descriptor_at + 32, 0xffff'ffff'ffff'ffff);
    }
    void post(unsigned vector) {
        const u64 at = descriptor_at + vector / 8;
        put<u8>(at, static_cast<u8>(get<u8>(at) | 1u << (vector % 8)));
    }
    void notify() { controller.vector = notification; }
};

TEST(PostedInterrupt, MovesIntoTheVirtualApicPageAndIsDelivered) {
    PostedGuest m;
    m.post(0x41);
    m.post(0x9f);
    m.notify();
    m.expect_delivered(0x9f);
    EXPECT_EQ(m.word(kernel_stack - 0x100 - 0x28), code_rip);
    EXPECT_TRUE(m.bit(virr, 0x41));
    EXPECT_FALSE(m.bit(virr, 0x9f));
    EXPECT_EQ(m.status(), 0x9f41u);
    for (u64 at = 0; at < 32; at += 8) EXPECT_EQ(m.word(descriptor_at + at), 0u);
    EXPECT_EQ(m.word(descriptor_at + 32), 0xffff'ffff'ffff'fffe) << "nothing but the notification";
    EXPECT_EQ(m.controller.acknowledged, notification);
    EXPECT_EQ(m.controller.ended, 1);
}

TEST(PostedInterrupt, BelowThePriorityStaysRequested) {
    PostedGuest m;
    m.set_reg(0xa0, 0x90);
    m.request(0x33);
    m.post(0x9f);
    m.notify();
    m.expect_completes();
    EXPECT_EQ(m.status(), 0x9fu);
    EXPECT_TRUE(m.bit(virr, 0x33));
    EXPECT_TRUE(m.bit(virr, 0x9f));
}

TEST(PostedInterrupt, ALowerOneLeavesTheRequestedOneTheHighest) {
    PostedGuest m;
    m.request(0xa0);
    m.post(0x41);
    m.notify();
    m.expect_delivered(0xa0);
    EXPECT_EQ(m.status(), 0xa041u);
}

TEST(PostedInterrupt, AnEmptyDescriptorChangesNothingButTheNotification) {
    PostedGuest m;
    m.set(VmcsField::guest_interrupt_status, 0x2100);
    m.notify();
    m.expect_completes();
    EXPECT_EQ(m.status(), 0x2100u);
    EXPECT_EQ(m.get<u8>(descriptor_at + 32), 0xfeu);
    EXPECT_EQ(m.controller.ended, 1);
}

TEST(PostedInterrupt, ProcessingDoesNotWaitForTheInterruptFlagButDeliveryDoes) {
    PostedGuest m;
    set_rflags(m.c, 2);
    m.post(0x41);
    m.notify();
    m.expect_completes();
    EXPECT_EQ(m.status(), 0x41u);
    EXPECT_TRUE(m.c.vmx.virtual_apic.recognized);
}

TEST(PostedInterrupt, AnotherVectorExitsWithTheVectorAcknowledged) {
    PostedGuest m;
    m.post(0x41);
    m.controller.vector = 0xf1;
    m.expect_exit(external_interrupt_exit, 0, code_rip);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), 0x8000'00f1u);
    EXPECT_EQ(m.controller.ended, 0);
    EXPECT_EQ(m.get<u8>(descriptor_at + 32), 0xffu);
}

TEST(PostedInterrupt, WithoutTheControlTheNotificationExits) {
    PostedGuest m;
    m.set(VmcsField::pin_based_controls, external_exiting);
    m.post(0x41);
    m.notify();
    m.expect_exit(external_interrupt_exit, 0, code_rip);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), 0x8000'0000u | notification);
}

TEST(PostedInterrupt, WakesAHaltedGuestThatCanTakeIt) {
    PostedGuest m;
    m.code({0xf4});
    EXPECT_EQ(m.run_for(3), RunOutcome::halted);
    m.post(0x41);
    m.notify();
    EXPECT_TRUE(wakes(m.c));
    m.expect_delivered(0x41);
    EXPECT_EQ(m.word(kernel_stack - 0x100 - 0x28), code_rip + 1);
}

TEST(PostedInterrupt, LeavesAHaltedGuestHaltedOtherwise) {
    PostedGuest m;
    m.c.event.activity = ActivityState::hlt;
    m.set_reg(0xa0, 0xf0);
    m.post(0x41);
    m.notify();
    EXPECT_EQ(poll(m.c), Delivery::nothing);
    EXPECT_EQ(m.c.event.activity, ActivityState::hlt);
    EXPECT_FALSE(wakes(m.c));
}

TEST(PostedInterrupt, EndsMwaitWhetherOrNotOneIsDelivered) {
    PostedGuest m;
    m.c.event.activity = ActivityState::hlt;
    m.c.monitor.armed = m.c.monitor.waiting = true;
    m.notify();
    EXPECT_EQ(poll(m.c), Delivery::nothing);
    EXPECT_EQ(m.c.event.activity, ActivityState::active);
    EXPECT_FALSE(m.c.monitor.waiting);
}

TEST(PostedInterrupt, BetweenTwoIterationsTheInstructionGoesOnWithRf) {
    PostedGuest m;
    m.c.event.repeating = true;
    m.notify();
    EXPECT_EQ(poll(m.c), Delivery::nothing);
    EXPECT_TRUE(m.c.flags.has(Rflag::rf));
}

/// Gives the notification, then another interrupt.
struct TwoInterrupts final : InterruptController {
    int taken = 0;
    int pending_vector(u64) override { return taken == 0 ? notification : 0x30; }
    void acknowledge(u8) override { ++taken; }
    void end_of_interrupt() override {}
    u64 next_event() const override { return ~u64{0}; }
    u8 task_priority() const override { return 0; }
    void set_task_priority(u8) override {}
    u64 read_msr(u32, u64, bool&) override { return 0; }
    bool write_msr(u32, u64, u64) override { return false; }
};

TEST(PostedInterrupt, AnInterruptBehindTheNotificationIsTakenAtTheSameBoundary) {
    PostedGuest m;
    TwoInterrupts controller;
    m.c.interrupts = &controller;
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), 0x8000'0030u);
    EXPECT_EQ(m.get<u8>(descriptor_at + 32), 0xfeu);
}

TEST(PostedInterrupt, ThatIsNotDeliveredLeavesTheEnclaveAlone) {
    Inside m;
    TwoInterrupts controller;
    m.c.interrupts = &controller;
    m.set(VmcsField::pin_based_controls, external_exiting | posting);
    m.set(VmcsField::primary_processor_based_controls, tpr_shadow | 1u << 31);
    m.set(VmcsField::secondary_processor_based_controls, interrupt_delivery);
    m.set(VmcsField::vm_exit_controls, 1u << 9 | 1u << 15);
    m.set(VmcsField::virtual_apic_address, virtual_page);
    m.set(VmcsField::posted_interrupt_descriptor_address, descriptor_at);
    m.set(VmcsField::posted_interrupt_notification_vector, notification);
    set_rflags(m.c, 2);
    m.at<u8>(descriptor_at + 8) = 2;
    EXPECT_EQ(poll(m.c), Delivery::vm_exit) << "the second one";
    m.expect_synthetic(external_interrupt_exit);
    EXPECT_EQ(m.vmcs(VmcsField::guest_interrupt_status), 0x41u);
}

}  // namespace
}  // namespace postern::cpu
