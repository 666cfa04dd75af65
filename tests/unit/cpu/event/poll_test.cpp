// SPDX-License-Identifier: Apache-2.0
// Boundaries: priorities, windows, blocking, inactive processors.
#include <gtest/gtest.h>

#include "cpu/event/event.h"
#include "cpu/exec/system.h"
#include "cpu/flags.h"
#include "unit/cpu/event/machine.h"

namespace postern::cpu {
namespace {

constexpr u32 external_exiting = 1u << 0, nmi_exiting = 1u << 3, virtual_nmis = 1u << 5;
constexpr u32 interrupt_window = 1u << 2, nmi_window = 1u << 22, mtf = 1u << 27;

/// Everything at once: each source is taken away by one line, in order of priority.
void arrange_everything(Machine& m) {
    m.as_guest(external_exiting | nmi_exiting, interrupt_window | nmi_window);
    m.set(VmcsField::exception_bitmap, 1u << 1);
    m.c.event.mtf_pending = true;
    m.c.event.trap_pending = true;
    m.c.vmx.preemption_deadline = now(m.c);
    m.c.event.nmi_pending = true;
    m.controller.vector = 0x31;
}

struct Priority {
    const char* name;
    void (*take_away)(Machine&);  // what went before
    u64 reason;
    u64 information;
};

const Priority priorities[] = {
    {"monitor trap flag", [](Machine&) {}, 37, 0},
    {"debug trap", [](Machine& m) { m.c.event.mtf_pending = false; }, 0, 0x8000'0301},
    {"preemption timer", [](Machine& m) { m.c.event.trap_pending = false; }, 52, 0},
    {"NMI window", [](Machine& m) { m.c.vmx.preemption_deadline = ~u64{0}; }, 8, 0},
    {"NMI",
     [](Machine& m) { m.set(VmcsField::primary_processor_based_controls, interrupt_window); }, 0,
     0x8000'0202},
    {"interrupt window", [](Machine& m) { m.c.event.nmi_pending = false; }, 7, 0},
    {"external interrupt",
     [](Machine& m) { m.set(VmcsField::primary_processor_based_controls, 0); }, 1, 0},
};

TEST(Poll, TakesTheSourceOfHighestPriorityFirst) {
    for (size_t n = 0; n < std::size(priorities); ++n) {
        SCOPED_TRACE(priorities[n].name);
        Machine m;
        arrange_everything(m);
        for (size_t before = 0; before <= n; ++before) priorities[before].take_away(m);
        EXPECT_EQ(poll(m.c), Delivery::vm_exit);
        EXPECT_EQ(m.vmcs(VmcsField::exit_reason), priorities[n].reason);
        EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), priorities[n].information);
        EXPECT_EQ(m.vmcs(VmcsField::guest_rip), code_rip);
        EXPECT_EQ(m.vmcs(VmcsField::vm_exit_instruction_length), 0u);
        EXPECT_EQ(m.c.rip, host_rip);
    }
}

TEST(Poll, InjectionGoesBeforeEverything) {
    Machine m;
    arrange_everything(m);
    m.c.event.init_pending = true;
    m.c.event.injection = injection(0x8000'0044);
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, handler_of(0x44));
    EXPECT_FALSE(m.c.event.injection.valid);
}

TEST(Poll, DebugTrapExitReportsBsAndLeavesDr6) {
    Machine m;
    m.as_guest();
    m.set(VmcsField::exception_bitmap, 1u << 1);
    m.c.event.trap_pending = true;
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 0x4000u);
    EXPECT_EQ(m.c.dr6, 0xffff'0ff0u);
}

TEST(Poll, AcknowledgesOnExitOnlyIfAsked) {
    Machine m;
    m.as_guest(external_exiting);
    m.controller.vector = 0x55;
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.controller.acknowledged, -1);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), 0u);

    Machine asked;
    asked.as_guest(external_exiting);
    asked.set(VmcsField::vm_exit_controls, 1u << 9 | 1u << 15);
    asked.controller.vector = 0x55;
    EXPECT_EQ(poll(asked.c), Delivery::vm_exit);
    EXPECT_EQ(asked.controller.acknowledged, 0x55);
    EXPECT_EQ(asked.vmcs(VmcsField::vm_exit_interruption_information), 0x8000'0055u);
}

TEST(Poll, ExternalInterruptExitsWhateverIfSays) {
    Machine m;
    m.as_guest(external_exiting);
    set_rflags(m.c, 2);
    m.controller.vector = 0x55;
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
}

TEST(Poll, ExternalInterruptWaitsForIf) {
    Machine m;
    set_rflags(m.c, 2);
    m.controller.vector = 0x55;
    EXPECT_EQ(poll(m.c), Delivery::nothing);
    EXPECT_EQ(m.controller.acknowledged, -1);
    set_rflags(m.c, 0x202);
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    EXPECT_EQ(m.controller.acknowledged, 0x55);
    EXPECT_EQ(m.c.rip, handler_of(0x55));
}

TEST(Poll, StiBlocksForOneInstruction) {
    Machine m;
    set_rflags(m.c, 2);
    m.controller.vector = 0x55;
    EXPECT_TRUE(execute(m.c, exec_sti, register_insn(0, 0), 1));
    EXPECT_TRUE(must_step(m.c));
    EXPECT_EQ(poll(m.c), Delivery::nothing);
    after_step(m.c, false, m.c.event.blocking);
    EXPECT_FALSE(must_step(m.c));
    EXPECT_EQ(poll(m.c), Delivery::delivered);
}

TEST(Poll, StiWithInterruptsOnDoesNotBlock) {
    Machine m;
    EXPECT_TRUE(execute(m.c, exec_sti, register_insn(0, 0), 1));
    EXPECT_FALSE(must_step(m.c));
}

TEST(Poll, AShadowThatTheSteppedInstructionBeganStays) {
    Machine m;
    const InterruptibilityState none{};
    m.c.event.blocking.set(Interruptibility::sti);
    after_step(m.c, false, none);
    EXPECT_TRUE(m.c.event.blocking.has(Interruptibility::sti));
}

TEST(Poll, MovSsDelaysTheSingleStepTrap) {
    Machine m;
    set_rflags(m.c, 0x302);
    m.c.gpr[rax] = kernel_ss;
    EXPECT_TRUE(execute(m.c, exec_mov_to_sreg, register_insn(ss, rax)));
    after_step(m.c, true, {});
    EXPECT_EQ(poll(m.c), Delivery::nothing);
    after_step(m.c, true, m.c.event.blocking);
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, handler_of(1));
}

TEST(Nmi, DeliveryBlocksTheNextUntilIret) {
    Machine m;
    m.c.event.nmi_pending = true;
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, handler_of(2));
    m.c.event.nmi_pending = true;
    EXPECT_EQ(poll(m.c), Delivery::nothing);
    EXPECT_TRUE(execute(m.c, exec_iret, register_insn(0, 0), 2));
    EXPECT_EQ(poll(m.c), Delivery::delivered);
}

TEST(Nmi, ExitBlocksNmisInTheHost) {
    Machine m;
    m.as_guest(nmi_exiting);
    m.c.event.nmi_pending = true;
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_TRUE(m.c.event.blocking.has(Interruptibility::nmi));
    EXPECT_EQ(m.vmcs(VmcsField::guest_interruptibility_state), 0u);
}

TEST(Nmi, VirtualBlockingDoesNotStopAPhysicalOne) {
    Machine m;
    m.as_guest(nmi_exiting | virtual_nmis);
    m.c.event.blocking.set(Interruptibility::nmi);
    m.c.event.nmi_pending = true;
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
}

// covers: nmi_window
TEST(Nmi, WindowOpensOnlyWithoutVirtualBlocking) {
    Machine m;
    m.as_guest(nmi_exiting | virtual_nmis, nmi_window);
    m.c.event.blocking.set(Interruptibility::nmi);
    EXPECT_EQ(poll(m.c), Delivery::nothing);
    m.c.event.blocking.set(Interruptibility::nmi, false);
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 8u);
}

TEST(InterruptWindow, NeedsIfAndNoShadow) {
    Machine m;
    m.as_guest(0, interrupt_window);
    set_rflags(m.c, 2);
    EXPECT_EQ(poll(m.c), Delivery::nothing);
    set_rflags(m.c, 0x202);
    m.c.event.blocking.set(Interruptibility::mov_ss);
    EXPECT_EQ(poll(m.c), Delivery::nothing);
    m.c.event.blocking = {};
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
}

TEST(Inactive, HaltedProcessorWakesByAnInterruptThatIsDelivered) {
    Machine m;
    EXPECT_TRUE(execute(m.c, exec_hlt, register_insn(0, 0), 1));
    EXPECT_EQ(m.c.event.activity, ActivityState::hlt);
    m.c.rip = m.c.next_rip;
    EXPECT_EQ(poll(m.c), Delivery::nothing);
    m.controller.vector = 0x55;
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.event.activity, ActivityState::active);
    EXPECT_EQ(m.word(m.c.gpr[rsp]), code_rip + 1);
}

TEST(Inactive, AnExitSavesThatTheGuestIsHalted) {
    Machine m;
    m.as_guest(external_exiting);
    m.c.event.activity = ActivityState::hlt;
    m.controller.vector = 0x55;
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::guest_activity_state), 1u);
    EXPECT_EQ(m.c.event.activity, ActivityState::active);
}

TEST(Inactive, ShutdownNoticesNmisButNoInterrupts) {
    Machine m;
    m.c.event.activity = ActivityState::shutdown;
    m.controller.vector = 0x55;
    EXPECT_EQ(poll(m.c), Delivery::nothing);
    m.c.event.nmi_pending = true;
    EXPECT_EQ(poll(m.c), Delivery::delivered);
}

TEST(Inactive, WaitForSipiNoticesNothing) {
    Machine m;
    m.c.event.activity = ActivityState::wait_for_sipi;
    m.controller.vector = 0x55;
    m.c.event.nmi_pending = true;
    EXPECT_EQ(poll(m.c), Delivery::nothing);
}

TEST(MonitorTrap, PendsAfterEachInstructionAndAfterDelivery) {
    Machine m;
    m.as_guest(0, mtf);
    EXPECT_TRUE(must_step(m.c));
    after_step(m.c, false, {});
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 37u);

    Machine delivering;
    delivering.as_guest(0, mtf);
    (void)raise(delivering.c, Vector::invalid_opcode);
    EXPECT_EQ(take_pending(delivering.c), Delivery::delivered);
    EXPECT_EQ(poll(delivering.c), Delivery::vm_exit);
    EXPECT_EQ(delivering.vmcs(VmcsField::exit_reason), 37u);
    EXPECT_EQ(delivering.vmcs(VmcsField::guest_rip), handler_of(6));
}

TEST(MonitorTrap, IsMaskedByAnOptOutEnclave) {
    Machine m;
    m.as_guest(0, mtf);
    m.c.enclave.active = true;
    EXPECT_FALSE(must_step(m.c));
    after_step(m.c, true, {});
    EXPECT_FALSE(m.c.event.mtf_pending);
    EXPECT_FALSE(m.c.event.trap_pending);
    m.c.enclave.debug_opt_in = true;
    EXPECT_TRUE(must_step(m.c));
    after_step(m.c, true, {});
    EXPECT_TRUE(m.c.event.mtf_pending);
    EXPECT_TRUE(m.c.event.trap_pending);
}

TEST(MonitorTrap, InhibitedEntryDropsItsOwnTraps) {
    Machine m;
    m.as_guest(0, mtf);
    m.c.event.trap_inhibited = true;
    after_step(m.c, true, {});
    EXPECT_FALSE(m.c.event.mtf_pending);
    EXPECT_FALSE(m.c.event.trap_pending);
}

TEST(NextEvent, IsTheEarlierOfTimerAndController) {
    Machine m;
    EXPECT_EQ(next_event(m.c), ~u64{0});
    m.controller.event_at = 2'000'000;
    EXPECT_EQ(next_event(m.c), 2'000'000u);
    m.c.vmx.preemption_deadline = 1'500'000;
    EXPECT_EQ(next_event(m.c), 2'000'000u);  // the timer counts in a guest only
    m.as_guest();
    EXPECT_EQ(next_event(m.c), 1'500'000u);
}

}  // namespace
}  // namespace postern::cpu
