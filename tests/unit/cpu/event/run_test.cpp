// SPDX-License-Identifier: Apache-2.0
// Events with the run loop around them: real instructions, exact times.
#include <gtest/gtest.h>

#include <initializer_list>

#include "cpu/flags.h"
#include "cpu/run.h"
#include "unit/cpu/event/machine.h"

namespace postern::cpu {
namespace {

void code(Machine& m, u64 at, std::initializer_list<u8> bytes) {
    for (const u8 byte : bytes) m.put<u8>(at++, byte);
}

/// INC RBX; IRETQ.
void counting_handler(Machine& m, unsigned vector) {
    code(m, handler_of(vector), {0x48, 0xff, 0xc3, 0x48, 0xcf});
}

RunOutcome run_for(Machine& m, u64 instructions) { return run(m.c, now(m.c) + instructions); }

TEST(Run, SoftwareInterruptCountsAsOneInstruction) {
    Machine m;
    const u64 start = now(m.c);
    counting_handler(m, 0x80);
    code(m, code_rip, {0xcd, 0x80, 0xf4});  // INT 80H; HLT
    EXPECT_EQ(run_for(m, 100), RunOutcome::halted);
    EXPECT_EQ(m.c.gpr[rbx], 1u);
    EXPECT_EQ(m.c.rip, code_rip + 3);
    EXPECT_EQ(now(m.c), start + 100);

    Machine exact;
    counting_handler(exact, 0x80);
    code(exact, code_rip, {0xcd, 0x80, 0xf4});
    EXPECT_EQ(run_for(exact, 3), RunOutcome::time);  // INT, INC, IRET
    EXPECT_EQ(exact.c.rip, code_rip + 2);
}

TEST(Run, HaltedProcessorSleepsUntilItsTimer) {
    Machine m;
    const u64 start = now(m.c);
    m.controller.event_at = start + 50;
    code(m, code_rip, {0xf4});
    EXPECT_EQ(run(m.c, start + 20), RunOutcome::halted);
    EXPECT_EQ(now(m.c), start + 20);
}

TEST(Run, SingleStepTrapsAfterEveryInstruction) {
    Machine m;
    counting_handler(m, 1);
    set_rflags(m.c, 0x102);
    code(m, code_rip, {0x90, 0x90, 0x90});
    EXPECT_EQ(run_for(m, 9), RunOutcome::time);  // three times NOP, INC, IRET
    EXPECT_EQ(m.c.gpr[rbx], 3u);
    EXPECT_EQ(m.c.rip, code_rip + 3);
    EXPECT_EQ(m.word(kernel_stack - 0x100 - 0x28), code_rip + 3);
}

TEST(Run, SingleStepOnBranchesTrapsAfterATakenBranchOnceAndClearsBtf) {
    Machine m;
    counting_handler(m, 1);
    set_rflags(m.c, 0x102);
    m.c.msr.debugctl = 2;
    // nop; jnz +2 (taken); 2 bytes not run; nop; nop
    code(m, code_rip, {0x90, 0x75, 0x02, 0xf4, 0xf4, 0x90, 0x90});
    EXPECT_EQ(run_for(m, 2), RunOutcome::time);
    EXPECT_EQ(m.c.gpr[rbx], 0u);
    EXPECT_EQ(run_for(m, 2), RunOutcome::time);  // INC, IRET
    EXPECT_EQ(m.c.gpr[rbx], 1u);
    EXPECT_EQ(m.c.rip, code_rip + 5);
    EXPECT_EQ(m.word(kernel_stack - 0x100 - 0x28), code_rip + 5);
    EXPECT_EQ(m.c.dr6 & 0x4000, 0x4000u) << "BS";
    EXPECT_EQ(m.c.msr.debugctl, 0u);
    EXPECT_EQ(run_for(m, 2), RunOutcome::time);  // NOP, and INC of the step that follows
    EXPECT_EQ(m.c.gpr[rbx], 2u) << "without BTF every instruction traps";
}

TEST(Run, SingleStepOnBranchesLetsBranchesThatAreNotTakenAndIterationsPass) {
    Machine m;
    counting_handler(m, 1);
    set_rflags(m.c, 0x102);
    m.c.msr.debugctl = 2;
    m.c.gpr[rdi] = data_at;
    m.c.gpr[rcx] = 3;
    code(m, code_rip, {0xf3, 0xaa, 0x74, 0x10, 0x90, 0x90});  // REP STOSB; JZ; NOP; NOP
    EXPECT_EQ(run_for(m, 6), RunOutcome::time);
    EXPECT_EQ(m.c.rip, code_rip + 6);
    EXPECT_EQ(m.c.gpr[rbx], 0u);
    EXPECT_EQ(m.c.msr.debugctl, 2u);
}

TEST(Run, ADebugExceptionThatExitsLeavesBtf) {
    Machine m;
    m.as_guest();
    m.set(VmcsField::exception_bitmap, 2);
    m.set(VmcsField::vm_exit_controls, m.vmcs(VmcsField::vm_exit_controls) | 4);
    set_rflags(m.c, 0x102);
    m.c.msr.debugctl = 2;
    code(m, code_rip, {0x90, 0xeb, 0x02, 0xf4, 0xf4, 0x90});
    EXPECT_EQ(run_for(m, 10), RunOutcome::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 0x4000u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), code_rip + 5);
    EXPECT_EQ(m.vmcs(VmcsField::guest_ia32_debugctl), 2u);
}

TEST(Run, StiShadowCoversExactlyOneInstruction) {
    Machine m;
    counting_handler(m, 0x40);
    set_rflags(m.c, 2);
    m.controller.vector = 0x40;
    code(m, code_rip, {0xfb, 0x90, 0x90});  // STI; NOP; NOP
    EXPECT_EQ(run_for(m, 1), RunOutcome::time);
    EXPECT_EQ(m.c.rip, code_rip + 1);
    EXPECT_EQ(m.controller.acknowledged, -1);
    EXPECT_EQ(run_for(m, 1), RunOutcome::time);
    EXPECT_EQ(m.controller.acknowledged, 0x40);
    EXPECT_EQ(m.c.rip, handler_of(0x40));
    EXPECT_EQ(m.word(kernel_stack - 0x100 - 0x28), code_rip + 2);
}

/// REP STOSB of 100 bytes.
void repeated_string(Machine& m) {
    m.c.gpr[rdi] = data_at;
    m.c.gpr[rcx] = 100;
    code(m, code_rip, {0xf3, 0xaa, 0xf4});
}

TEST(Run, AnInterruptBetweenIterationsPushesRfAndResumesThem) {
    Machine m;
    repeated_string(m);
    EXPECT_EQ(run_for(m, 7), RunOutcome::time);
    m.controller.vector = 0x41;
    code(m, handler_of(0x41), {0xf4});
    EXPECT_EQ(run_for(m, 5), RunOutcome::halted);
    EXPECT_EQ(m.c.gpr[rcx], 93u);
    EXPECT_EQ(m.word(kernel_stack - 0x100 - 0x28), code_rip);
    EXPECT_EQ(m.word(kernel_stack - 0x100 - 0x18) & 0x10000, 0x10000u);

    Machine before;
    repeated_string(before);
    before.controller.vector = 0x41;
    code(before, handler_of(0x41), {0xf4});
    EXPECT_EQ(run_for(before, 5), RunOutcome::halted);
    EXPECT_EQ(before.word(kernel_stack - 0x100 - 0x18) & 0x10000, 0u);
}

/// What an interrupt would have pushed is saved by its exit; a timer has nothing to push.
TEST(Run, AnExitBetweenIterationsSavesRfIfItIsAnInterrupts) {
    for (const bool interrupt : {true, false}) {
        Machine m;
        repeated_string(m);
        m.as_guest(1);
        EXPECT_EQ(run_for(m, 7), RunOutcome::time);
        if (interrupt)
            m.controller.vector = 0x41;
        else
            m.c.vmx.preemption_deadline = now(m.c);
        EXPECT_EQ(run_for(m, 5), RunOutcome::vm_exit);
        EXPECT_EQ(m.vmcs(VmcsField::exit_reason), interrupt ? 1u : 52u);
        EXPECT_EQ(m.vmcs(VmcsField::guest_rip), code_rip);
        EXPECT_EQ(m.vmcs(VmcsField::guest_rflags) & 0x10000, interrupt ? 0x10000u : 0u);
    }
}

TEST(Run, PreemptionTimerExitsAtItsInstruction) {
    Machine m;
    m.as_guest();
    m.c.vmx.preemption_deadline = now(m.c) + 3;
    code(m, code_rip, {0x90, 0x90, 0x90, 0x90, 0x90});
    EXPECT_EQ(run_for(m, 100), RunOutcome::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 52u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), code_rip + 3);
}

TEST(Run, MonitorTrapFlagExitsAfterOneInstruction) {
    Machine m;
    m.as_guest(0, 1u << 27);
    code(m, code_rip, {0x90, 0x90});
    EXPECT_EQ(run_for(m, 100), RunOutcome::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 37u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), code_rip + 1);
}

TEST(Run, FaultInTheMiddleOfABlockNamesItsInstruction) {
    Machine m;
    counting_handler(m, 14);
    // XOR EAX, EAX; INC EAX; MOV RAX, [50000000H]
    code(m, code_rip, {0x31, 0xc0, 0xff, 0xc0, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0x50});
    EXPECT_EQ(run_for(m, 3), RunOutcome::time);  // XOR, INC, the handler's INC
    EXPECT_EQ(m.c.cr2, 0x5000'0000u);
    EXPECT_EQ(m.c.gpr[rax], 1u);
    EXPECT_EQ(m.word(kernel_stack - 0x100 - 0x30), 0u);
    EXPECT_EQ(m.word(kernel_stack - 0x100 - 0x28), code_rip + 4);
    EXPECT_EQ(m.word(kernel_stack - 0x100 - 0x18), 0x1'0202u);
}

TEST(Run, TripleFaultShutsDown) {
    Machine m;
    m.c.idtr.limit = 0;
    code(m, code_rip, {0x0f, 0x0b});
    EXPECT_EQ(run_for(m, 100), RunOutcome::shutdown);
    EXPECT_EQ(m.c.rip, code_rip);
}

TEST(Run, EventsAreLookedForBeforeAHandlersFirstInstruction) {
    Machine m;
    m.gate(2, GateKind::trap);  // leaves IF set
    m.gate(0x40, GateKind::interrupt);
    code(m, handler_of(2), {0xf4});
    code(m, handler_of(0x40), {0x90, 0xf4});
    set_rflags(m.c, 0x202);
    m.c.event.nmi_pending = true;
    m.controller.vector = 0x40;
    EXPECT_EQ(run_for(m, 100), RunOutcome::halted);
    EXPECT_EQ(m.c.rip, handler_of(0x40) + 2);
    EXPECT_EQ(m.word(m.c.gpr[rsp]), handler_of(2));
}

// SDM 3C, "NMI-Window Exiting": right after the injection, too.
TEST(Run, AnNmiWindowIsFoundRightAfterAnInjection) {
    constexpr u32 nmi_exiting_virtual = 1u << 3 | 1u << 5, nmi_window = 1u << 22;
    Machine m;
    m.as_guest(nmi_exiting_virtual, nmi_window);
    m.gate(1, GateKind::interrupt);
    m.c.event.injection = injection(0x8000'0301);
    EXPECT_EQ(run_for(m, 100), RunOutcome::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 8u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), handler_of(1));
}

TEST(Run, CpuidExitsFromAGuest) {
    Machine m;
    m.as_guest();
    code(m, code_rip, {0x90, 0x0f, 0xa2});
    EXPECT_EQ(run_for(m, 100), RunOutcome::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 10u);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_instruction_length), 2u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), code_rip + 1);
}

}  // namespace
}  // namespace postern::cpu
