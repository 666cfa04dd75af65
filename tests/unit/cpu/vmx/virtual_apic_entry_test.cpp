// SPDX-License-Identifier: Apache-2.0
// APIC virtualization at VM entry: when its fields are asked about, and what the entry does to the
// virtual-APIC page.
#include "unit/cpu/vmx/vmx_machine.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using M = VmxMachine;

constexpr u64 page = 0xe000;

// Bits of the control words.
constexpr u64 shadow = u64{1} << 21, window = 1u << 2;
constexpr u64 accesses = 1, x2apic = 1u << 4, registers = 1u << 8, delivery = 1u << 9;
constexpr u64 external = 1;

/// A baseline guest with a TPR shadow, the TPR above its threshold.
M with_shadow(u64 secondary = 0) {
    M m = M::with_guest();
    m.turn_on(F::primary_processor_based_controls, shadow);
    m.turn_on(F::secondary_processor_based_controls, secondary);
    m.turn_on(F::pin_based_controls, (secondary & delivery) != 0 ? external : 0);
    m.set(F::virtual_apic_address, page);
    m.set(F::apic_access_address, 0xfee0'0000);
    return m;
}
u32 reg(M& m, u64 offset) { return static_cast<u32>(read_physical(m.c, Hpa{page + offset}, 4)); }
void set_reg(M& m, u64 offset, u32 value) { write_physical(m.c, Hpa{page + offset}, 4, value); }

void expect_refused(M& m) {
    bool entered = true;
    const Status status = m.enter(entered);
    EXPECT_EQ(static_cast<u32>(status.error), 7u);
    EXPECT_FALSE(entered);
}

TEST(VirtualApicEntry, EachControlOfTheThreeNeedsTheShadow) {
    for (const u64 control : {x2apic, registers, delivery}) {
        M m = with_shadow(control);
        M offered = with_shadow(control);
        offered.run();
        m.turn_off(F::primary_processor_based_controls, shadow);
        expect_refused(m);
    }
}

TEST(VirtualApicEntry, NothingIsAskedOfFieldsWhoseControlIsOff) {
    M m = M::with_guest();
    m.set(F::virtual_apic_address, page + 1);
    m.set(F::tpr_threshold, 0x10);
    m.set(F::posted_interrupt_notification_vector, 0x1ff);
    m.set(F::posted_interrupt_descriptor_address, 1);
    m.set(F::guest_interrupt_status, 0x2030);
    m.run();
    EXPECT_FALSE(m.c.vmx.virtual_apic.recognized);
}

TEST(VirtualApicEntry, WithVirtualInterruptDeliveryTheThresholdIsNotLookedAt) {
    M m = with_shadow(delivery);
    m.set(F::tpr_threshold, 0x1f);
    m.run();
    EXPECT_EQ(poll(m.c), Delivery::nothing);
}

TEST(VirtualApicEntry, ATprAtItsThresholdIsNotBelowIt) {
    M m = with_shadow();
    set_reg(m, 0x80, 0x80);
    m.set(F::tpr_threshold, 8);
    m.run();
    M exits = with_shadow(accesses);
    set_reg(exits, 0x80, 0x80);
    exits.set(F::tpr_threshold, 8);
    exits.run();
    EXPECT_FALSE(exits.c.vmx.virtual_apic.threshold_exit);
}

/// A guest whose TPR is below its threshold, with APIC accesses virtualized.
M below_threshold() {
    M m = with_shadow(accesses);
    set_reg(m, 0x80, 0x7f);
    m.set(F::tpr_threshold, 8);
    return m;
}

TEST(VirtualApicEntry, ATprBelowItsThresholdExitsBeforeTheFirstInstruction) {
    M m = below_threshold();
    m.set(F::guest_rflags, 2);
    m.set(F::guest_interruptibility_state, 2);
    m.c.event.init_pending = m.c.event.nmi_pending = true;
    m.run();
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.get(F::exit_reason), 43u);
    EXPECT_EQ(m.get(F::guest_rip), guest_rip_value);
    EXPECT_EQ(m.get(F::guest_interruptibility_state), 2u);
}

TEST(VirtualApicEntry, ThatExitWakesAHaltedGuest) {
    M m = below_threshold();
    m.set(F::guest_activity_state, 1);
    m.run();
    EXPECT_TRUE(wakes(m.c));
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.get(F::exit_reason), 43u);
}

TEST(VirtualApicEntry, ThatExitComesAfterInjection) {
    M m = below_threshold();
    m.set(F::secondary_processor_based_controls, accesses);  // no EPT: the IDT is not mapped
    m.turn_on(F::exception_bitmap, 1u << 14);
    m.set(F::vm_entry_interruption_information, 0x8000'0040);
    m.run();
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.get(F::exit_reason), 0u);
    EXPECT_EQ(m.get(F::idt_vectoring_information), 0x8000'0040u);
}

TEST(VirtualApicEntry, SetsThePriorityAndRecognizesAVirtualInterrupt) {
    M m = with_shadow(delivery);
    set_reg(m, 0x80, 0xdead'be35);
    m.set(F::guest_interrupt_status, 0x2040);
    m.run();
    EXPECT_EQ(reg(m, 0xa0), 0x35u);
    EXPECT_TRUE(m.c.vmx.virtual_apic.recognized);

    M serviced = with_shadow(delivery);
    set_reg(serviced, 0x80, 0x35);
    set_reg(serviced, 0xa0, 0xffff'ffff);
    serviced.set(F::guest_interrupt_status, 0x4f4f);
    serviced.run();
    EXPECT_EQ(reg(serviced, 0xa0), 0x40u);
    EXPECT_FALSE(serviced.c.vmx.virtual_apic.recognized) << "of the same class";
    exit(serviced.c, {.reason = BasicReason::hlt});
    EXPECT_EQ(serviced.get(F::guest_interrupt_status), 0x4f4fu);
}

TEST(VirtualApicEntry, AnOpenInterruptWindowIsNotGivenToAVirtualInterrupt) {
    M m = with_shadow(delivery);
    m.turn_on(F::primary_processor_based_controls, window);
    m.set(F::guest_interrupt_status, 0x40);
    m.run();
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.get(F::exit_reason), 7u);
    EXPECT_EQ(m.get(F::guest_interrupt_status), 0x40u);
}

TEST(VirtualApicEntry, TheExitForgetsWhatWasRecognized) {
    M m = with_shadow(delivery);
    m.set(F::guest_interrupt_status, 0x40);
    m.run();
    ASSERT_TRUE(m.c.vmx.virtual_apic.recognized);
    exit(m.c, {.reason = BasicReason::hlt});
    EXPECT_FALSE(m.c.vmx.virtual_apic.recognized);
    EXPECT_EQ(poll(m.c), Delivery::nothing);
}

}  // namespace
}  // namespace postern::cpu::vmx
