// SPDX-License-Identifier: Apache-2.0
// Virtual interrupts: priorities, ends of interrupt, self-IPIs, recognition and delivery. RVI is
// bits 7:0 of the guest interrupt status, SVI bits 15:8.
#include "unit/cpu/event/inside.h"
#include "unit/cpu/vmx/virtual_apic_guest.h"

namespace postern::cpu {
namespace {

using Guest = VirtualApicGuest;

constexpr u32 pages = apic_accesses | interrupt_delivery;
constexpr u64 vtpr = 0x80, vppr = 0xa0, veoi = 0xb0, visr = 0x100, virr = 0x200, icr = 0x300;

// The TPR threshold.

// covers: tpr_below_threshold
TEST(VirtualTpr, BelowItsThresholdAfterMovToCr8Exits) {
    Guest m{0};
    m.set(VmcsField::tpr_threshold, 5);
    m.cr8_code(4);
    m.expect_exit(tpr_exit, 0, code_rip + 4);
    EXPECT_EQ(m.reg(vtpr), 0x40u);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_instruction_length), 0u);
    Guest at_threshold{0};
    at_threshold.set(VmcsField::tpr_threshold, 5);
    at_threshold.cr8_code(5);
    at_threshold.expect_completes();
}

TEST(VirtualTpr, BelowItsThresholdAfterAWriteToThePageOrTheMsrExits) {
    Guest page{apic_accesses};
    page.set(VmcsField::tpr_threshold, 5);
    page.write_code(apic_page + vtpr, 0x4f);
    page.expect_exit(tpr_exit, 0, code_rip + 11);
    Guest msr{x2apic_mode};
    msr.set(VmcsField::tpr_threshold, 5);
    msr.wrmsr_code(0x808, 0x4f);
    msr.expect_exit(tpr_exit, 0, code_rip + 2);
}

TEST(VirtualTpr, WithVirtualInterruptDeliveryTheThresholdDoesNotMatter) {
    Guest m{interrupt_delivery};
    m.set(VmcsField::tpr_threshold, 5);
    m.set_reg(vppr, 0xffff'ffff);
    m.cr8_code(4);
    m.expect_completes();
    EXPECT_EQ(m.reg(vppr), 0x40u);
}

TEST(VirtualTpr, LoweredLetsAVirtualInterruptThrough) {
    Guest m{interrupt_delivery};
    m.set_reg(vtpr, 0xf0);
    m.request(0x51);
    m.cr8_code(5);
    m.code({0x90});
    m.cr8_code(5);
    m.expect_completes();
    EXPECT_EQ(m.status(), 0x51u) << "of the same class";
    Guest lowered{interrupt_delivery};
    lowered.request(0x51);
    lowered.cr8_code(4);
    lowered.expect_delivered(0x51);
    EXPECT_EQ(lowered.word(kernel_stack - 0x100 - 0x28), code_rip + 4);
}

// Delivery.

TEST(VirtualInterrupt, DeliveredItIsInServiceAndTheNextOneIsRequested) {
    Guest m{interrupt_delivery};
    m.request(0x61);
    m.set_bit(virr, 0x33);
    m.c.vmx.virtual_apic.recognized = true;
    m.expect_delivered(0x61);
    EXPECT_EQ(m.status(), 0x6133u);
    EXPECT_TRUE(m.bit(visr, 0x61));
    EXPECT_FALSE(m.bit(virr, 0x61));
    EXPECT_TRUE(m.bit(virr, 0x33));
    EXPECT_EQ(m.reg(vppr), 0x60u);
    EXPECT_FALSE(m.c.vmx.virtual_apic.recognized);
    EXPECT_FALSE(m.c.flags.has(Rflag::if_));
    EXPECT_EQ(m.controller.acknowledged, -1);
}

TEST(VirtualInterrupt, WaitsForTheInterruptFlagAndForTheShadowsOfStiAndMovSs) {
    Guest m{interrupt_delivery};
    m.request(0x61);
    m.c.vmx.virtual_apic.recognized = true;
    set_rflags(m.c, 2);
    EXPECT_EQ(poll(m.c), Delivery::nothing);
    EXPECT_FALSE(wakes(m.c) && m.c.event.activity != ActivityState::active);
    set_rflags(m.c, 0x202);
    for (const Interruptibility shadow : {Interruptibility::sti, Interruptibility::mov_ss}) {
        m.c.event.blocking = InterruptibilityState{shadow};
        EXPECT_EQ(poll(m.c), Delivery::nothing);
    }
    m.c.event.blocking = InterruptibilityState{Interruptibility::nmi};
    EXPECT_EQ(poll(m.c), Delivery::delivered);
}

TEST(VirtualInterrupt, ComesAfterTheInstructionThatFollowsSti) {
    Guest m{interrupt_delivery};
    m.request(0x61);
    m.c.vmx.virtual_apic.recognized = true;
    set_rflags(m.c, 2);
    m.code({0x90, 0xfb, 0x90, 0x90});  // NOP; STI; NOP; NOP
    m.expect_delivered(0x61);
    EXPECT_EQ(m.word(kernel_stack - 0x100 - 0x28), code_rip + 3);
}

TEST(VirtualInterrupt, WakesAHaltedProcessor) {
    Guest m{interrupt_delivery};
    m.request(0x61);
    m.c.vmx.virtual_apic.recognized = true;
    m.c.event.activity = ActivityState::hlt;
    EXPECT_TRUE(wakes(m.c));
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.event.activity, ActivityState::active);
}

TEST(VirtualInterrupt, DoesNotWakeAProcessorThatIsShutDownOrWaitsForSipi) {
    for (const ActivityState state : {ActivityState::shutdown, ActivityState::wait_for_sipi}) {
        Guest m{interrupt_delivery};
        m.request(0x61);
        m.c.vmx.virtual_apic.recognized = true;
        m.c.event.activity = state;
        EXPECT_EQ(poll(m.c), Delivery::nothing);
        EXPECT_EQ(m.status(), 0x61u);
    }
}

TEST(VirtualInterrupt, GoesAfterAnNmiAndBeforeAnExternalInterrupt) {
    Guest m{interrupt_delivery};
    m.gate(2, GateKind::interrupt);
    m.request(0x61);
    m.c.vmx.virtual_apic.recognized = true;
    m.controller.vector = 0x70;
    m.c.event.nmi_pending = true;
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, handler_of(2));
    set_rflags(m.c, 0x202);
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, handler_of(0x61));
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), external_interrupt_exit);
}

TEST(VirtualInterrupt, AnExitMetOnItsWayReportsItInIdtVectoring) {
    Guest m{interrupt_delivery};
    m.with_ept(kernel_stack - 0x1000);
    m.request(0x61);
    m.c.vmx.virtual_apic.recognized = true;
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 48u);
    EXPECT_EQ(m.vmcs(VmcsField::idt_vectoring_information), 0x8000'0061u);
    EXPECT_EQ(m.status(), 0x6100u);
}

TEST(VirtualInterrupt, LeavesAnEnclaveByAnAsynchronousExit) {
    Inside m;
    m.set(VmcsField::primary_processor_based_controls, tpr_shadow | 1u << 31);
    m.set(VmcsField::secondary_processor_based_controls, interrupt_delivery);
    m.set(VmcsField::virtual_apic_address, virtual_page);
    m.set(VmcsField::guest_interrupt_status, 0x61);
    m.at<u32>(virtual_page + virr + 0x30) = 2;
    set_rflags(m.c, 0x202);
    m.c.vmx.virtual_apic.recognized = true;
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    EXPECT_FALSE(m.c.enclave.active);
    EXPECT_EQ(m.gprsgx().rip, inside_rip);
    EXPECT_EQ(m.c.rip, 0x10'0000u + 16 * 0x61);
    EXPECT_EQ(m.at<u64>(rsp0 - 0x28), sgx::aep);
}

TEST(VirtualInterrupt, OfVmxRootOperationThereIsNone) {
    Guest m{interrupt_delivery};
    m.request(0x61);
    m.c.vmx.non_root = false;
    m.wrmsr_code(0x80b, 0);
    m.gate(13, GateKind::interrupt);
    m.put<u8>(handler_of(13), 0xf4);
    EXPECT_EQ(m.run_for(20), RunOutcome::halted);
    EXPECT_EQ(m.c.rip, handler_of(13) + 1) << "no x2APIC mode here";
    EXPECT_EQ(m.status(), 0x61u);
}

// The end of an interrupt.

/// 61H and 33H are being serviced, 45H is requested.
void while_serviced(Guest& m) {
    m.set(VmcsField::guest_interrupt_status, 0x6145);
    m.set_bit(visr, 0x61);
    m.set_bit(visr, 0x33);
    m.set_bit(virr, 0x45);
    m.set_reg(vppr, 0x60);
}

TEST(VirtualEoi, EndsTheInterruptInServiceAndLetsTheNextThrough) {
    Guest m{pages};
    while_serviced(m);
    m.write_code(apic_page + veoi, 0x77);
    m.expect_delivered(0x45);
    EXPECT_FALSE(m.bit(visr, 0x61));
    EXPECT_TRUE(m.bit(visr, 0x33));
    EXPECT_TRUE(m.bit(visr, 0x45));
    EXPECT_EQ(m.status(), 0x4500u);
    EXPECT_EQ(m.reg(vppr), 0x40u);
    EXPECT_EQ(m.reg(veoi), 0u);
    EXPECT_EQ(m.word(kernel_stack - 0x100 - 0x28), code_rip + 11);
}

TEST(VirtualEoi, ByWrmsrIsTheSame) {
    Guest m{x2apic_mode | interrupt_delivery};
    while_serviced(m);
    m.wrmsr_code(0x80b, 0);
    m.expect_delivered(0x45);
    EXPECT_EQ(m.status(), 0x4500u);
}

TEST(VirtualEoi, ThePriorityIsTheHigherOfTaskAndService) {
    Guest m{pages};
    while_serviced(m);
    m.set_reg(vtpr, 0x4a);
    m.write_code(apic_page + veoi, 0);
    m.expect_completes();
    EXPECT_EQ(m.reg(vppr), 0x4au);
    EXPECT_EQ(m.status(), 0x3345u);
}

// covers: virtualized_eoi
TEST(VirtualEoi, OfAVectorInTheBitmapExitsAfterwards) {
    for (const unsigned vector : {0x20u, 0x61u, 0x80u, 0xffu}) {
        Guest m{pages};
        m.set(VmcsField::guest_interrupt_status, vector << 8);
        m.set_bit(visr, vector);
        constexpr VmcsField bitmaps[]{VmcsField::eoi_exit_bitmap_0, VmcsField::eoi_exit_bitmap_1,
                                      VmcsField::eoi_exit_bitmap_2, VmcsField::eoi_exit_bitmap_3};
        m.set(bitmaps[vector / 64], u64{1} << (vector % 64));
        m.write_code(apic_page + veoi, 0);
        m.expect_exit(eoi_exit, vector, code_rip + 11);
        EXPECT_EQ(m.status(), 0u);
        EXPECT_FALSE(m.bit(visr, vector));
        EXPECT_EQ(m.reg(vppr), 0u);
    }
}

TEST(VirtualEoi, OfAnotherVectorDoesNotExit) {
    Guest m{pages};
    m.set(VmcsField::guest_interrupt_status, 0x6100);
    m.set(VmcsField::eoi_exit_bitmap_1, ~(u64{1} << 0x21));
    m.write_code(apic_page + veoi, 0);
    m.expect_completes();
}

// Self-IPIs.

TEST(VirtualSelfIpi, ByTheCommandRegisterIsDelivered) {
    Guest m{pages};
    m.write_code(apic_page + icr, 0x4'0051);
    m.expect_delivered(0x51);
    EXPECT_EQ(m.reg(icr), 0x4'0051u);
    EXPECT_EQ(m.status(), 0x5100u);
}

TEST(VirtualSelfIpi, RequestsWaitForTheirPriority) {
    Guest m{pages};
    m.set_reg(vppr, 0x60);
    m.request(0x55);
    m.write_code(apic_page + icr, 0x4'0051);
    m.expect_completes();
    EXPECT_EQ(m.status(), 0x55u) << "the higher one";
    EXPECT_TRUE(m.bit(virr, 0x51));
}

TEST(VirtualSelfIpi, AnyOtherCommandExits) {
    // No shorthand, all, all but self; illegal vector; NMI; level; delivery status; reserved bits.
    for (const u32 command : {0x0051u, 0x8'0051u, 0xc'0051u, 0x4'000fu, 0x4'0451u, 0x4'8051u,
                              0x4'1051u, 0x4'2051u, 0x5'0051u, 0x6'0051u, 0x14'0051u}) {
        Guest m{pages};
        m.write_code(apic_page + icr, command);
        m.expect_exit(apic_write_exit, icr, code_rip + 11);
        EXPECT_EQ(m.reg(icr), command);
        EXPECT_EQ(m.status(), 0u);
    }
}

TEST(VirtualSelfIpi, ByWrmsrNeedsALegalVector) {
    Guest m{x2apic_mode | interrupt_delivery};
    m.wrmsr_code(0x83f, 0x51);
    m.expect_delivered(0x51);
    Guest illegal{x2apic_mode | interrupt_delivery};
    illegal.wrmsr_code(0x83f, 0x0f);
    illegal.expect_exit(apic_write_exit, 0x3f0, code_rip + 2);
    EXPECT_EQ(illegal.reg(0x3f0), 0x0fu);
}

TEST(VirtualSelfIpi, WithInterruptWindowExitingNothingIsRecognized) {
    Guest m{pages, tpr_shadow | window_exiting};
    set_rflags(m.c, 2);
    m.write_code(apic_page + icr, 0x4'0051);
    m.expect_completes();
    EXPECT_EQ(m.status(), 0x51u);
    EXPECT_FALSE(m.c.vmx.virtual_apic.recognized);
    set_rflags(m.c, 0x202);
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), interrupt_window_exit);
}

// MWAIT with ECX[0] set and IF clear: 0F 01 C8 arms, 0F 01 C9 waits.

void wait_masked(Guest& m) {
    set_rflags(m.c, 2);
    m.c.gpr[rax] = data_at;
    m.code({0x31, 0xc9, 0x0f, 0x01, 0xc8, 0xff, 0xc1, 0x0f, 0x01, 0xc9, 0x90, 0x90});
}

TEST(VirtualInterrupt, RecognizedWhileMaskedLetsMwaitNotWait) {
    Guest m{interrupt_delivery};
    m.c.vmx.virtual_apic.recognized = true;
    wait_masked(m);
    EXPECT_EQ(m.run_for(6), RunOutcome::time);
    EXPECT_EQ(m.c.rip, code_rip + 12);
    Guest waits{interrupt_delivery};
    wait_masked(waits);
    EXPECT_EQ(waits.run_for(6), RunOutcome::halted);
    EXPECT_EQ(waits.c.rip, code_rip + 10);
}

}  // namespace
}  // namespace postern::cpu
