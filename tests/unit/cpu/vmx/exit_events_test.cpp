// SPDX-License-Identifier: Apache-2.0
// Exits that no instruction's control brings about: task switches, signals, the preemption timer,
// exceptions, and what is saved of the guest with them.
#include "arch/vmx/interruption_information.h"
#include "cpu/event/event.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "unit/cpu/vmx/running_guest.h"
#include "unit/cpu/vmx/vmx_machine.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using G = RunningGuest;

constexpr u32 hlt_exiting = 1u << 7;

// Task switches. Selector 30H is the new TSS, 28H a task gate.

constexpr u64 free_tss = 0x0000'8900'0000'0067, busy_tss = 0x0000'8b00'0000'0067;
constexpr u64 gate_to_tss = 0x0000'8500'0030'0000;
constexpr u64 descriptor_at(u16 selector) { return guest_at::gdt + selector; }

struct TaskGuest : G {
    explicit TaskGuest(u64 tss = free_tss) : G{{}, GuestMode::protected32} {
        m.at<u64>(descriptor_at(0x30)) = tss;
        m.at<u64>(descriptor_at(0x28)) = gate_to_tss;
        set(F::exception_bitmap, 0xffff'ffff);
    }
    /// The exception that comes instead of the switch, and its error code.
    void expect_fault(const Code& code, unsigned vector, u32 error_code) {
        EXPECT_EQ(run(code), RunOutcome::vm_exit);
        EXPECT_EQ(get(F::exit_reason), 0u);
        EXPECT_EQ(get(F::vm_exit_interruption_information), 0x8000'0b00u | vector);
        EXPECT_EQ(get(F::vm_exit_interruption_error_code), error_code);
    }
};

const Code jump_to_tss{0xea, 0, 0, 0, 0, 0x30, 0}, call_to_tss{0x9a, 0, 0, 0, 0, 0x30, 0},
    jump_to_gate{0xea, 0, 0, 0, 0, 0x28, 0}, iretd{0xcf}, ud2{0x0f, 0x0b};

TEST(TaskSwitchExit, TaskSwitchByJmpAndCallHasSelectorSourceAndLength) {
    EXPECT_EQ(TaskGuest{}.exit_of(jump_to_tss), (Said{9, 0x8000'0030, 7, 0}));
    EXPECT_EQ(TaskGuest{}.exit_of(call_to_tss), (Said{9, 0x0000'0030, 7, 0}));
}

TEST(TaskSwitchExit, ThroughATaskGateNamesTheTssItLeadsTo) {
    EXPECT_EQ(TaskGuest{}.exit_of(jump_to_gate), (Said{9, 0x8000'0030, 7, 0}));
}

TEST(TaskSwitchExit, ByIretFollowsTheLinkToABusyTss) {
    TaskGuest g{busy_tss};
    g.m.at<u16>(guest_at::legacy_tss) = 0x30;
    g.c.flags.set(Rflag::nt);
    EXPECT_EQ(g.exit_of(iretd), (Said{9, 0x4000'0030, 1, 0}));
    EXPECT_EQ(g.get(F::guest_rflags), 0x4002u) << "NT is as it was";
    EXPECT_EQ(g.get(F::guest_tr_selector), 0x58u) << "and so is TR";
    TaskGuest not_busy;
    not_busy.m.at<u16>(guest_at::legacy_tss) = 0x30;
    not_busy.c.flags.set(Rflag::nt);
    not_busy.expect_fault(iretd, 10, 0x30);
}

TEST(TaskSwitchExit, OfAnExceptionHasItInTheIdtVectoringInformation) {
    TaskGuest g;
    g.set(F::exception_bitmap, 0);
    g.m.at<u64>(guest_at::legacy_idt + 8 * 6) = gate_to_tss;
    EXPECT_EQ(g.run(ud2), RunOutcome::vm_exit);
    EXPECT_EQ(g.get(F::exit_reason), 9u);
    EXPECT_EQ(g.get(F::exit_qualification), 0xc000'0030u);
    EXPECT_EQ(g.get(F::idt_vectoring_information), 0x8000'0306u);
    EXPECT_EQ(g.get(F::guest_rip), guest_at::code);
    EXPECT_EQ(g.get(F::guest_rflags), 0x1'0002u) << "RF as the old TSS would have had it";
}

TEST(TaskSwitchExit, OfIntNHasItsLength) {
    TaskGuest g;
    g.m.at<u64>(guest_at::legacy_idt + 8 * 0x40) = gate_to_tss;
    EXPECT_EQ(g.run({0xcd, 0x40}), RunOutcome::vm_exit);
    EXPECT_EQ(g.said().qualification, 0xc000'0030u);
    EXPECT_EQ(g.said().length, 2u);
    EXPECT_EQ(g.get(F::idt_vectoring_information), 0x8000'0440u);
    EXPECT_EQ(g.get(F::guest_rip), guest_at::code);
}

TEST(TaskSwitchExit, ComesAfterTheChecksOfGateAndTss) {
    TaskGuest{busy_tss}.expect_fault(jump_to_tss, 13, 0x30);
    TaskGuest{busy_tss}.expect_fault(jump_to_gate, 13, 0x30);
    TaskGuest{free_tss & ~(u64{0x80} << 40)}.expect_fault(jump_to_tss, 11, 0x30);
    TaskGuest{free_tss - 1}.expect_fault(jump_to_tss, 10, 0x30);  // a limit of 66H
    TaskGuest local;
    local.m.at<u64>(descriptor_at(0x28)) = 0x0000'8500'0034'0000;
    local.expect_fault(jump_to_gate, 13, 0x34);
    TaskGuest absent_gate;
    absent_gate.m.at<u64>(descriptor_at(0x28)) = 0x0000'0500'0030'0000;
    absent_gate.expect_fault(jump_to_gate, 11, 0x28);
    TaskGuest privileged;  // RPL 3 to DPL 0
    privileged.expect_fault({0xea, 0, 0, 0, 0, 0x33, 0}, 13, 0x30);
}

TEST(TaskSwitchExit, AFaultOfTheTssBehindAnIdtGateReportsBoth) {
    TaskGuest g{free_tss & ~(u64{0x80} << 40)};
    g.set(F::exception_bitmap, 1u << 11);
    g.m.at<u64>(guest_at::legacy_idt + 8 * 6) = gate_to_tss;
    g.expect_fault(ud2, 11, 0x31);  // EXT
    EXPECT_EQ(g.get(F::idt_vectoring_information), 0x8000'0306u);
}

TEST(TaskSwitchExit, ThereIsNoneInIa32eMode) {
    G g;
    g.set(F::exception_bitmap, 1u << 13);
    g.m.at<u64>(descriptor_at(0x30)) = free_tss;
    g.m.at<u64>(guest_at::data) = u64{0x30} << 32;
    // jmp far dword ptr [20000H]
    EXPECT_EQ(g.run({0xff, 0x2c, 0x25, 0, 0, 2, 0}), RunOutcome::vm_exit);
    EXPECT_EQ(g.get(F::exit_reason), 0u);
    EXPECT_EQ(g.get(F::vm_exit_interruption_error_code), 0x30u);
}

// Signals.

TEST(ExitReason, InitSignalSavesPendingDebugExceptions) {
    G g;
    g.c.event.init_pending = true;
    g.c.event.pending_debug = 0x1001;
    EXPECT_EQ(g.exit_of({0x90}), (Said{3, 0, 0, 0}));
    EXPECT_EQ(g.get(F::guest_pending_debug_exceptions), 0x1001u);
    EXPECT_FALSE(g.c.event.init_pending);
}

TEST(InitSignal, IsHeldBackInRootAndWhileAGuestWaitsForSipi) {
    G root;
    root.c.vmx.non_root = false;
    root.c.event.init_pending = true;
    EXPECT_EQ(poll(root.c), Delivery::nothing);
    EXPECT_TRUE(root.c.event.init_pending);
    G waiting;
    waiting.c.event.activity = ActivityState::wait_for_sipi;
    waiting.c.event.init_pending = true;
    EXPECT_EQ(poll(waiting.c), Delivery::nothing);
}

TEST(ExitReason, StartupIpiHasItsVectorAndOnlyAGuestThatWaitsSeesIt) {
    G g;
    g.c.event.activity = ActivityState::wait_for_sipi;
    g.c.event.sipi_pending = true;
    g.c.event.sipi_vector = 0x9a;
    EXPECT_EQ(g.exit_of({0x90}), (Said{4, 0x9a, 0, 0}));
    EXPECT_EQ(g.get(F::guest_activity_state), 3u);
    G active;
    active.c.event.sipi_pending = true;
    EXPECT_EQ(active.run({0x90, 0xf4}), RunOutcome::stop_requested);
    EXPECT_EQ(active.get(F::exit_reason), nothing_exited);
}

TEST(ExitReason, ExceptionOrNmiOfAnNmiBlocksNmisOnlyAfterwards) {
    G g{{.pin = 1u << 3}};
    g.c.event.nmi_pending = true;
    EXPECT_EQ(g.exit_of({0x90}), (Said{0, 0, 0, 0}));
    EXPECT_EQ(g.get(F::vm_exit_interruption_information), 0x8000'0202u);
    EXPECT_EQ(g.get(F::guest_interruptibility_state), 0u);
    EXPECT_TRUE(g.c.event.blocking.has(Interruptibility::nmi));
}

TEST(ExitReason, ExceptionOrNmiOfADoubleFaultInRealModeHasNoErrorCode) {
    G g{{.secondary = 1u << 7}, GuestMode::real16};  // unrestricted guest
    g.set(F::exception_bitmap, 1u << 8);
    g.c.idtr.limit = 8;  // neither #UD nor #GP has a vector there
    EXPECT_EQ(g.run(ud2), RunOutcome::vm_exit);
    EXPECT_EQ(g.get(F::vm_exit_interruption_information), 0x8000'0308u);
    EXPECT_EQ(g.get(F::idt_vectoring_information), 0u);
}

TEST(ExitReason, TripleFaultInRealMode) {
    G g{{.secondary = 1u << 7}, GuestMode::real16};
    g.c.idtr.limit = 8;
    EXPECT_EQ(g.run(ud2), RunOutcome::vm_exit);
    EXPECT_EQ(g.get(F::exit_reason), 2u);
    EXPECT_EQ(g.get(F::idt_vectoring_information), 0u);
}

// The preemption timer.

TEST(ExitReason, VmxPreemptionTimerExpiredAfterSoManyInstructions) {
    G g;
    g.set(F::vm_exit_controls, 1u << 9 | 1u << 22);  // save the timer's value
    g.c.vmx.preemption_deadline = now(g.c) + 3;
    EXPECT_EQ(g.run(Code(16, 0x90)), RunOutcome::vm_exit);
    EXPECT_EQ(g.said(), (Said{52, 0, 0, 0}));
    EXPECT_EQ(g.get(F::guest_rip), guest_at::code + 3);
    EXPECT_EQ(g.get(F::vmx_preemption_timer_value), 0u);
}

TEST(ExitReason, VmxPreemptionTimerExpiredFromTheStartRunsNothing) {
    G g;
    g.c.vmx.preemption_deadline = now(g.c);
    EXPECT_EQ(g.exit_of({0x90}), (Said{52, 0, 0, 0}));
}

TEST(ExitReason, VmxPreemptionTimerExpiredWhileHaltedSavesHlt) {
    G g;
    g.c.event.activity = ActivityState::hlt;
    g.c.vmx.preemption_deadline = now(g.c);
    EXPECT_EQ(g.exit_of({0x90}).reason, 52u);
    EXPECT_EQ(g.get(F::guest_activity_state), 1u);
}

TEST(ExitReason, MonitorTrapFlagAfterOneIterationOfARepeatedString) {
    G g{{.primary = 1u << 27}};
    g.c.gpr[rcx] = 3;
    g.c.gpr[rdi] = guest_at::data;
    EXPECT_EQ(g.run({0xf3, 0xaa, 0x90}), RunOutcome::vm_exit);  // rep stosb
    EXPECT_EQ(g.said(), (Said{37, 0, 0, 0}));
    EXPECT_EQ(g.get(F::guest_rip), guest_at::code);
    EXPECT_EQ(g.c.gpr[rcx], 2u);
}

TEST(ExitReason, MonitorTrapFlagDoesNotFollowAnInstructionThatExits) {
    G g{{.primary = 1u << 27}};
    EXPECT_EQ(g.exit_of({0x0f, 0xa2}).reason, 10u);
    EXPECT_FALSE(g.c.event.mtf_pending);
}

// What is saved.

TEST(PendingDebug, OfAStepThatEndsInTheShadowOfMovSsIsSavedByTheNextInstructionsExit) {
    G g;
    g.c.gpr[rax] = 0x10;
    g.c.flags.set(Rflag::tf);
    EXPECT_EQ(g.run({0x8e, 0xd0, 0x0f, 0xa2}), RunOutcome::vm_exit);  // mov ss, eax; cpuid
    EXPECT_EQ(g.get(F::exit_reason), 10u);
    EXPECT_EQ(g.get(F::guest_interruptibility_state), 2u);
    EXPECT_EQ(g.get(F::guest_pending_debug_exceptions), 0x4000u);
}

TEST(IndirectExit, FindsNoBlockingByMovSs) {
    TaskGuest g;
    g.set(F::exception_bitmap, 1u << 11);
    g.m.at<u64>(guest_at::legacy_idt + 8 * 6) = 0;
    g.m.at<u64>(guest_at::legacy_idt + 8 * 6) = 0x0000'0e00'0038'0000;  // a gate that is absent
    g.c.gpr[rax] = 0x10;
    EXPECT_EQ(g.run({0x8e, 0xd0, 0x0f, 0x0b}), RunOutcome::vm_exit);  // mov ss, eax; ud2
    EXPECT_EQ(g.get(F::idt_vectoring_information), 0x8000'0306u);
    EXPECT_EQ(g.get(F::guest_interruptibility_state), 0u);

    TaskGuest direct;
    direct.c.gpr[rax] = 0x10;
    EXPECT_EQ(direct.run({0x8e, 0xd0, 0x0f, 0x0b}), RunOutcome::vm_exit);
    EXPECT_EQ(direct.get(F::vm_exit_interruption_information), 0x8000'0306u);
    EXPECT_EQ(direct.get(F::guest_interruptibility_state), 2u);
}

/// In a guest that has left IA-32e mode for PAE paging.
VmxMachine pae_guest() {
    VmxMachine m = VmxMachine::with_guest();
    m.run();
    m.c.efer = {};
    m.c.pdpte = {0x1001, 0x2001, 0, 0x4001};
    return m;
}

TEST(VmExit, WithEptThePdptesOfAPaeGuestAreSaved) {
    VmxMachine m = pae_guest();
    exit(m.c, {.reason = BasicReason::hlt});
    EXPECT_EQ(m.get(F::guest_pdpte0), 0x1001u);
    EXPECT_EQ(m.get(F::guest_pdpte1), 0x2001u);
    EXPECT_EQ(m.get(F::guest_pdpte2), 0u);
    EXPECT_EQ(m.get(F::guest_pdpte3), 0x4001u);
    EXPECT_TRUE(m.c.cr4.has(Cr4::pae)) << "the host is of 64 bits";
}

/// A host of 32 bits, by PAE.
void want_narrow_host(VmxMachine& m) {
    m.turn_off(F::vm_exit_controls, 1u << 9);
    m.set(F::host_ia32_efer, 0);
    m.set(F::host_cr4, 0x2'20a0);  // PCIDE, which goes
}

TEST(VmExit, APaeHostHasItsPdptesLoaded) {
    VmxMachine m = pae_guest();
    want_narrow_host(m);
    for (u64 n = 0; n < 4; ++n) write_physical(m.c, Hpa{0xd000 + 8 * n}, 8, 0x1'0001 + 0x1000 * n);
    exit(m.c, {.reason = BasicReason::hlt});
    EXPECT_EQ(m.c.pdpte, (std::array<u64, 4>{0x1'0001, 0x1'1001, 0x1'2001, 0x1'3001}));
    EXPECT_EQ(m.c.cr4.to_raw(), 0x20a0u);
    EXPECT_EQ(m.c.segment[cs].access_rights, 0xc09bu);
    EXPECT_FALSE(m.c.efer.has(Efer::lma));
    EXPECT_EQ(m.c.vmx.abort, 0u);
}

TEST(VmExit, ReservedBitsInAPaeHostsPdptesAbort) {
    VmxMachine m = pae_guest();
    want_narrow_host(m);
    write_physical(m.c, Hpa{0xd000}, 8, 0x1'0003);
    exit(m.c, {.reason = BasicReason::hlt});
    EXPECT_EQ(m.c.vmx.abort, 2u);
}

TEST(VmExit, FromIa32eModeToANarrowHostAborts) {
    VmxMachine m = VmxMachine::with_guest();
    m.run();
    want_narrow_host(m);
    exit(m.c, {.reason = BasicReason::hlt});
    EXPECT_EQ(m.c.vmx.abort, 6u);
    EXPECT_EQ(read_physical(m.c, Hpa{vmcs_at + 4}, 4), 6u);
}

// MWAIT in a guest whose hypervisor waits to inject.

TEST(Mwait, WithMaskedInterruptsDoesNotWaitForAnInterruptWindow) {
    for (const bool window : {false, true}) {
        G g{{.primary = hlt_exiting | (window ? 1u << 2 : 0)}};
        g.c.gpr[rax] = guest_at::data;
        // xor ecx, ecx; monitor; inc ecx; mwait; hlt
        const Code code{0x31, 0xc9, 0x0f, 0x01, 0xc8, 0xff, 0xc1, 0x0f, 0x01, 0xc9, 0xf4};
        EXPECT_EQ(g.run(code), window ? RunOutcome::vm_exit : RunOutcome::stop_requested);
        EXPECT_EQ(g.c.monitor.waiting, !window);
    }
}

}  // namespace
}  // namespace postern::cpu::vmx
