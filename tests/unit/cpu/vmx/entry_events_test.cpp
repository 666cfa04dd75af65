// SPDX-License-Identifier: Apache-2.0
// The first boundary after a VM entry: what is injected, what was pending, what exits at once, and
// what a guest that does not run notices. SDM 3C, "Special Features of VM Entry".
#include "cpu/event/event.h"
#include "unit/cpu/vmx/violation.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using M = VmxMachine;

constexpr u64 hlt = 1, shutdown = 2, wait_for_sipi = 3;
constexpr u64 interrupt_window = 1u << 2, nmi_window = 1u << 22;
constexpr u64 handler_segment = 0x700, handler_offset = 0x20, stack_base = 0xe000;

/// A real-address mode guest behind EPT that maps everything to itself, an interrupt-vector table
/// at 0 whose vectors all lead to the same place.
M in_real_mode() {
    M m = M::with_guest();
    make_guest_real(m);
    write_physical(m.c, Hpa{0x8000}, 8, 0x1'0007);
    write_physical(m.c, Hpa{0x1'0000}, 8, 0xb7);
    for (u64 vector = 0; vector < 256; ++vector)
        write_physical(m.c, Hpa{4 * vector}, 4, handler_segment << 16 | handler_offset);
    m.set(F::guest_idtr_base, 0);
    m.set(F::guest_idtr_limit, 0x3ff);
    m.set(F::guest_cs_selector, 0xf00);
    m.set(F::guest_cs_base, 0xf000);
    m.set(F::guest_rip, 0x100);
    m.set(F::guest_ss_selector, stack_base >> 4);
    m.set(F::guest_ss_base, stack_base);
    m.set(F::guest_ss_limit, 0xffff);
    set_rights(m, ss, 0x93);
    m.set(F::guest_rsp, 0x100);
    return m;
}

u64 pushed(M& m, u64 offset) { return read_physical(m.c, Hpa{stack_base + offset}, 2); }

void enable_virtual_nmis(M& m) { m.turn_on(F::pin_based_controls, 0x28); }

void start_timer(M& m, u64 value) {
    m.turn_on(F::pin_based_controls, 0x40);
    m.set(F::vmx_preemption_timer_value, value);
}

void expect_exit(M& m, u64 reason) {
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.get(F::exit_reason), reason);
}

struct InjectionCase {
    u64 information;
    u64 length;
    u64 pushed_ip;
};

TEST(VmEntryEvents, RealModeInjectionPushesRipAndTheLengthOfSoftwareEvents) {
    constexpr InjectionCase cases[]{
        {0x8000'0020, 3, 0x100},  // external interrupt
        {0x8000'0202, 3, 0x100},  // NMI
        {0x8000'030d, 3, 0x100},  // #GP, without error code
        {0x8000'0480, 2, 0x102},  // INT 80H
        {0x8000'0501, 1, 0x101},  // INT1
        {0x8000'0603, 0, 0x100},  // INT3 of length 0
    };
    for (const InjectionCase& row : cases) {
        SCOPED_TRACE(row.information);
        M m = in_real_mode();
        inject(m, row.information, 0, row.length);
        m.run();
        EXPECT_EQ(poll(m.c), Delivery::delivered);
        EXPECT_EQ(m.c.segment[cs].selector, handler_segment);
        EXPECT_EQ(m.c.rip, handler_offset);
        EXPECT_EQ(m.c.gpr[rsp], 0xfau);
        EXPECT_EQ(pushed(m, 0xfa), row.pushed_ip);
        EXPECT_EQ(pushed(m, 0xfc), 0xf00u);
        EXPECT_EQ(pushed(m, 0xfe), 0x202u);
    }
}

TEST(VmEntryEvents, DeliveryEndsBlockingAndWakesTheGuest) {
    M m = in_real_mode();
    m.set(F::guest_activity_state, hlt);
    inject(m, 0x8000'0202);
    m.run();
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.event.activity, ActivityState::active);
    EXPECT_TRUE(m.c.event.blocking.has(Interruptibility::nmi));

    M shadowed = in_real_mode();
    shadowed.set(F::guest_interruptibility_state, 2);
    inject(shadowed, 0x8000'0603, 0, 1);
    shadowed.run();
    EXPECT_EQ(poll(shadowed.c), Delivery::delivered);
    EXPECT_FALSE(shadowed.c.event.blocking.has(Interruptibility::mov_ss));
}

TEST(VmEntryEvents, AnInitThatWaitedExitsAfterTheInjection) {
    M m = in_real_mode();
    m.c.event.init_pending = true;
    inject(m, 0x8000'0020);
    m.run();
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    expect_exit(m, 3);
    EXPECT_EQ(m.get(F::guest_rip), handler_offset);
    EXPECT_FALSE(m.c.event.init_pending);
}

TEST(VmEntryEvents, AFailedEntryKeepsTheInit) {
    M m = M::with_guest();
    m.c.event.init_pending = true;
    m.put_msr_entry(entry_list_at, 0, 0xc000'0100, 0);
    m.set(F::vm_entry_msr_load_address, entry_list_at);
    m.set(F::vm_entry_msr_load_count, 1);
    bool entered = true;
    EXPECT_TRUE(m.enter(entered).ok());
    EXPECT_FALSE(entered);
    EXPECT_TRUE(m.c.event.init_pending);
    EXPECT_EQ(poll(m.c), Delivery::nothing) << "blocked in VMX root operation";
}

TEST(VmEntryEvents, ATimerOfZeroExitsAfterTheInjectionAndBeforeTheFirstInstruction) {
    M m = in_real_mode();
    start_timer(m, 0);
    inject(m, 0x8000'0020);
    m.run();
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    expect_exit(m, 52);
    EXPECT_EQ(m.get(F::guest_rip), handler_offset);

    M without = M::with_guest();
    start_timer(without, 0);
    without.run();
    expect_exit(without, 52);
    EXPECT_EQ(without.get(F::guest_rip), guest_rip_value);
}

TEST(VmEntryEvents, APendingMtfExitNeedsNoControlAndGoesBeforeADebugException) {
    M m = M::with_guest();
    m.set(F::guest_pending_debug_exceptions, 0x1001);
    m.set(F::exception_bitmap, 1u << 1);
    inject(m, 0x8000'0700);
    m.run();
    expect_exit(m, 37);
    EXPECT_EQ(m.get(F::guest_rip), guest_rip_value);
    EXPECT_EQ(m.get(F::guest_pending_debug_exceptions), 0x1001u);
}

TEST(VmEntryEvents, APendingDebugExceptionGoesBeforeTheTimerAndWakesAHaltedGuest) {
    M m = M::with_guest();
    m.set(F::guest_activity_state, hlt);
    m.set(F::guest_pending_debug_exceptions, 0x1002);
    m.set(F::exception_bitmap, 1u << 1);
    start_timer(m, 0);
    m.run();
    expect_exit(m, 0);
    EXPECT_EQ(m.get(F::vm_exit_interruption_information), 0x8000'0301u);
    EXPECT_EQ(m.get(F::exit_qualification), 2u);
}

TEST(VmEntryEvents, WithoutBsAndAnEnabledBreakpointNothingIsPending) {
    M m = M::with_guest();
    m.set(F::guest_pending_debug_exceptions, 0xf);
    m.run();
    EXPECT_EQ(poll(m.c), Delivery::nothing);
}

TEST(VmEntryEvents, InactiveStatesThatTakeNoTrapHaveNonePending) {
    for (const u64 activity : {shutdown, wait_for_sipi}) {
        M m = M::with_guest();
        m.set(F::guest_activity_state, activity);
        m.set(F::guest_pending_debug_exceptions, 0x1001);
        m.run();
        EXPECT_EQ(m.c.event.pending_debug, 0u);
    }
}

TEST(VmEntryEvents, AnOpenInterruptWindowWakesAHaltedGuestAndNoOther) {
    M m = M::with_guest();
    m.turn_on(F::primary_processor_based_controls, interrupt_window);
    m.set(F::guest_activity_state, hlt);
    m.run();
    expect_exit(m, 7);
    EXPECT_EQ(m.get(F::guest_activity_state), hlt);

    M down = M::with_guest();
    down.turn_on(F::primary_processor_based_controls, interrupt_window);
    down.set(F::guest_activity_state, shutdown);
    down.run();
    EXPECT_EQ(poll(down.c), Delivery::nothing);
}

TEST(VmEntryEvents, AGuestThatIsShutDownNoticesNmiWindowTimerNmiAndInit) {
    M window = M::with_guest();
    enable_virtual_nmis(window);
    window.turn_on(F::primary_processor_based_controls, nmi_window);
    window.set(F::guest_activity_state, shutdown);
    window.run();
    expect_exit(window, 8);
    EXPECT_EQ(window.get(F::guest_activity_state), shutdown);

    M timed = M::with_guest();
    start_timer(timed, 5);
    timed.set(F::guest_activity_state, shutdown);
    timed.run();
    EXPECT_EQ(poll(timed.c), Delivery::nothing);
    EXPECT_EQ(next_event(timed.c), now(timed.c) + 5);
    timed.c.horizon += 5;
    EXPECT_TRUE(wakes(timed.c));
    expect_exit(timed, 52);

    M nmi = M::with_guest();
    enable_virtual_nmis(nmi);
    nmi.set(F::guest_activity_state, shutdown);
    nmi.run();
    EXPECT_FALSE(wakes(nmi.c));
    nmi.c.event.nmi_pending = true;
    EXPECT_TRUE(wakes(nmi.c));
    expect_exit(nmi, 0);
    EXPECT_EQ(nmi.get(F::guest_activity_state), shutdown);

    M init = M::with_guest();
    init.set(F::guest_activity_state, shutdown);
    init.run();
    init.c.event.init_pending = true;
    expect_exit(init, 3);
    EXPECT_EQ(init.get(F::guest_activity_state), shutdown);
}

TEST(VmEntryEvents, AGuestThatWaitsForASipiNoticesNothingElse) {
    M m = M::with_guest();
    enable_virtual_nmis(m);
    m.turn_on(F::primary_processor_based_controls, nmi_window | interrupt_window);
    start_timer(m, 0);
    m.set(F::guest_activity_state, wait_for_sipi);
    m.c.event.nmi_pending = true;
    m.c.event.init_pending = true;
    m.run();
    EXPECT_EQ(poll(m.c), Delivery::nothing);
    EXPECT_FALSE(wakes(m.c));
    EXPECT_EQ(next_event(m.c), ~u64{0});
    m.c.event.sipi_pending = true;
    m.c.event.sipi_vector = 0x9a;
    EXPECT_TRUE(wakes(m.c));
    expect_exit(m, 4);
    EXPECT_EQ(m.get(F::exit_qualification), 0x9au);
    EXPECT_EQ(m.get(F::guest_activity_state), wait_for_sipi);
    EXPECT_TRUE(m.c.event.nmi_pending);
    EXPECT_TRUE(m.c.event.init_pending);
}

TEST(VmEntryEvents, ASipiIsLostOnARunningGuest) {
    M m = M::with_guest();
    m.run();
    m.c.event.sipi_pending = true;
    EXPECT_EQ(poll(m.c), Delivery::nothing);
    EXPECT_FALSE(m.c.event.sipi_pending);
    EXPECT_TRUE(m.c.vmx.non_root);
}

}  // namespace
}  // namespace postern::cpu::vmx
