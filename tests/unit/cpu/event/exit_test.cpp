// SPDX-License-Identifier: Apache-2.0
// Events in a guest: the exception bitmap, exits met during delivery, injection.
#include <gtest/gtest.h>

#include "cpu/event/event.h"
#include "cpu/exec/system.h"
#include "cpu/flags.h"
#include "cpu/run.h"
#include "unit/cpu/event/machine.h"

namespace postern::cpu {
namespace {

constexpr u32 bit_of(Vector v) { return 1u << static_cast<unsigned>(v); }

// VM-exit interruption information of some events, as the manual's table gives them.
constexpr u64 ud_information = 0x8000'0306, gp_information = 0x8000'0b0d,
              pf_information = 0x8000'0b0e, df_information = 0x8000'0b08;

TEST(ExceptionBitmap, ExitHasTheVectorAndTheErrorCode) {
    Machine m;
    m.as_guest();
    m.set(VmcsField::exception_bitmap, bit_of(Vector::general_protection));
    (void)general_protection(m.c, 0x1232);
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0u);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), gp_information);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_error_code), 0x1232u);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 0u);
    EXPECT_EQ(m.vmcs(VmcsField::idt_vectoring_information), 0u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), code_rip);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rflags), 0x10202u);
    EXPECT_EQ(m.c.rip, host_rip);
    EXPECT_FALSE(m.c.vmx.non_root);
}

TEST(ExceptionBitmap, WithoutTheBitTheGuestHandlesItItself) {
    Machine m;
    m.as_guest();
    m.set(VmcsField::exception_bitmap, ~bit_of(Vector::invalid_opcode));
    (void)raise(m.c, Vector::invalid_opcode);
    EXPECT_EQ(take_pending(m.c), Delivery::delivered);
    EXPECT_TRUE(m.c.vmx.non_root);
}

TEST(ExceptionBitmap, PageFaultExitLeavesCr2AndGivesTheWholeAddress) {
    Machine m;
    m.as_guest();
    m.set(VmcsField::exception_bitmap, bit_of(Vector::page_fault));
    m.c.cr2 = 0x1111;
    (void)raise_page_fault(m.c, 0xabc123, 4);
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 0xabc123u);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), pf_information);
    EXPECT_EQ(m.c.cr2, 0x1111u);
}

TEST(ExceptionBitmap, PageFaultMaskAndMatchDecideWithTheBit) {
    Machine m;
    m.as_guest();
    m.set(VmcsField::page_fault_error_code_mask, 1);
    m.set(VmcsField::page_fault_error_code_match, 1);
    m.set(VmcsField::exception_bitmap, bit_of(Vector::page_fault));
    (void)raise_page_fault(m.c, 0x1000, 2);  // not present: no match
    EXPECT_EQ(take_pending(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.cr2, 0x1000u);
    (void)raise_page_fault(m.c, 0x1000, 3);
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
}

TEST(ExceptionBitmap, BreakpointIsASoftwareExceptionWithItsLength) {
    Machine m;
    m.as_guest();
    m.set(VmcsField::exception_bitmap, bit_of(Vector::breakpoint));
    EXPECT_FALSE(execute(m.c, exec_int3, register_insn(0, 0), 1));
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), 0x8000'0603u);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_instruction_length), 1u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), code_rip);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rflags), 0x202u);
}

TEST(ExceptionBitmap, Int1IsAPrivilegedSoftwareException) {
    Machine m;
    m.as_guest();
    m.set(VmcsField::exception_bitmap, bit_of(Vector::debug));
    EXPECT_FALSE(execute(m.c, exec_int1, register_insn(0, 0), 1));
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), 0x8000'0501u);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 0u);
}

TEST(ExceptionBitmap, IntNIsNoException) {
    Machine m;
    m.as_guest();
    m.set(VmcsField::exception_bitmap, ~u32{0});
    Insn i = register_insn(0, 0);
    i.imm = 3;
    EXPECT_FALSE(execute(m.c, exec_int_n, i, 2));
    EXPECT_EQ(take_pending(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, handler_of(3));
}

TEST(ExitInDelivery, NestedExceptionExitsWithTheOriginalEventAsIdtVectoring) {
    Machine m;
    m.as_guest();
    m.set(VmcsField::exception_bitmap, bit_of(Vector::segment_not_present));
    m.gate(13, GateKind::absent);
    (void)general_protection(m.c, 0x44);
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), 0x8000'0b0bu);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_error_code), 13u * 8 + 3);
    EXPECT_EQ(m.vmcs(VmcsField::idt_vectoring_information), gp_information);
    EXPECT_EQ(m.vmcs(VmcsField::idt_vectoring_error_code), 0x44u);
    EXPECT_FALSE(m.c.event.delivering.valid);
}

TEST(ExitInDelivery, NestedPageFaultExitLeavesCr2) {
    Machine m;
    m.as_guest();
    m.set(VmcsField::exception_bitmap, bit_of(Vector::page_fault));
    m.put<u64>(tss_at + 36, page_end_hole);
    m.map(page_end_hole - 8, 0);
    m.gate(6, GateKind::interrupt, 1);
    (void)raise(m.c, Vector::invalid_opcode);
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), page_end_hole - 8);
    EXPECT_EQ(m.vmcs(VmcsField::idt_vectoring_information), ud_information);
    EXPECT_EQ(m.c.cr2, 0u);
}

TEST(ExitInDelivery, DoubleFaultThatExitsHasNoIdtVectoring) {
    Machine m;
    m.as_guest();
    m.set(VmcsField::exception_bitmap, bit_of(Vector::double_fault));
    m.gate(13, GateKind::absent);
    (void)general_protection(m.c, 0x44);
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), df_information);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_error_code), 0u);
    EXPECT_EQ(m.vmcs(VmcsField::idt_vectoring_information), 0u);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0u);
}

TEST(ExitInDelivery, TripleFaultExitsWithReason2AndNoIdtVectoring) {
    Machine m;
    m.as_guest();
    m.c.idtr.limit = 0;
    (void)raise(m.c, Vector::invalid_opcode);
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 2u);
    EXPECT_EQ(m.vmcs(VmcsField::idt_vectoring_information), 0u);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), 0u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), code_rip);
}

TEST(ExitInDelivery, EptViolationOfTheStackKeepsTheWholeAddress) {
    Machine m;
    m.as_guest(0, 0, 1u << 1);
    m.with_ept(kernel_stack - 0x100);
    (void)raise(m.c, Vector::invalid_opcode);
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 48u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_physical_address), 0x1fef8u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_linear_address), 0x1fef8u);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification) & 0x187, 0x182u);
    EXPECT_EQ(m.vmcs(VmcsField::idt_vectoring_information), ud_information);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), code_rip);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rsp), 0x1ff00u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rflags) & 0x10000, 0x10000u);
}

TEST(ExitInDelivery, SoftwareInterruptGivesItsLength) {
    Machine m;
    m.as_guest(0, 0, 1u << 1);
    m.with_ept(idt_at);
    Insn i = register_insn(0, 0);
    i.imm = 0x80;
    EXPECT_FALSE(execute(m.c, exec_int_n, i, 2));
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::idt_vectoring_information), 0x8000'0480u);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_instruction_length), 2u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), code_rip);
    EXPECT_EQ(m.vmcs(VmcsField::guest_physical_address), idt_at + 0x800);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rflags) & 0x10000, 0u);
}

TEST(Injection, HardwareExceptionPushesRfAsLoadedAndLeavesCr2) {
    Machine m;
    m.as_guest();
    m.set(VmcsField::exception_bitmap, ~u32{0});
    m.c.cr2 = 0x4242;
    m.c.event.injection = injection(0x8000'0b0e, 0, 6);
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, handler_of(14));
    EXPECT_EQ(m.word(m.c.gpr[rsp]), 6u);
    EXPECT_EQ(m.word(m.c.gpr[rsp] + 24), 0x202u);
    EXPECT_EQ(m.c.cr2, 0x4242u);
}

TEST(Injection, SoftwareInterruptReturnsAfterTheEntrysLength) {
    Machine m;
    m.as_guest();
    const u64 before = now(m.c);
    m.c.event.injection = injection(0x8000'0480, 2);
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    EXPECT_EQ(m.word(m.c.gpr[rsp]), code_rip + 2);
    EXPECT_EQ(now(m.c), before);
}

TEST(Injection, SoftwareInterruptIsSubjectToTheGatesDpl) {
    Machine m;
    m.as_guest();
    m.as_user();
    m.c.event.injection = injection(0x8000'0480, 2);
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, handler_of(13));
    EXPECT_EQ(m.word(m.c.gpr[rsp]), 0x402u);
    EXPECT_EQ(m.word(m.c.gpr[rsp] + 8), code_rip);
}

TEST(Injection, PendingMtfBecomesAnExitBeforeTheFirstInstruction) {
    Machine m;
    m.as_guest();
    m.c.event.injection = injection(0x8000'0700);
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 37u);
}

TEST(Injection, ExitWhileDeliveringForAnEnclaveHasBit27AndKeepsBit4) {
    Machine m;
    m.as_guest(0, 0, 1u << 1);
    m.with_ept(kernel_stack - 0x100);
    m.set(VmcsField::guest_interruptibility_state, 0x10);
    m.c.event.injection = injection(0x8000'0480, 2, 0, true);
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0x0800'0030u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_interruptibility_state), 0x10u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_physical_address), 0x1fef8u);  // whole
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_instruction_length), 2u);
    EXPECT_EQ(m.vmcs(VmcsField::idt_vectoring_information), 0x8000'0480u);
}

TEST(Injection, TripleFaultForAnEnclaveHasBit27) {
    Machine m;
    m.as_guest();
    m.c.idtr.limit = 0;
    m.set(VmcsField::guest_interruptibility_state, 0x10);
    m.c.event.injection = injection(0x8000'0306, 0, 0, true);
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0x0800'0002u);
    EXPECT_EQ(m.vmcs(VmcsField::idt_vectoring_information), 0u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_interruptibility_state), 0x10u);
}

TEST(Injection, NmiBlocksNmisEvenIfItsDeliveryExits) {
    Machine m;
    m.as_guest(0, 0, 1u << 1);
    m.with_ept(kernel_stack - 0x100);
    m.c.event.injection = injection(0x8000'0202);
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::guest_interruptibility_state), 0x8u);
}

TEST(NmiUnblocking, IretThatExitsReportsIt) {
    Machine m;
    m.as_guest(0, 0, 1u << 1);
    m.with_ept(kernel_stack - 0x100);
    m.c.event.blocking.set(Interruptibility::nmi);
    EXPECT_FALSE(execute(m.c, exec_iret, register_insn(0, 0), 2));
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 48u);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification) & 0x1000, 0x1000u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_interruptibility_state), 0u);
}

TEST(NmiUnblocking, FaultingIretReportsItInTheInterruptionInformation) {
    Machine m;
    m.as_guest();
    m.set(VmcsField::exception_bitmap, bit_of(Vector::general_protection));
    m.c.event.blocking.set(Interruptibility::nmi);
    m.put<u64>(m.c.gpr[rsp] + 8, 0);  // null CS
    EXPECT_FALSE(execute(m.c, exec_iret, register_insn(0, 0), 2));
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), gp_information | 0x1000);
    EXPECT_EQ(m.vmcs(VmcsField::guest_interruptibility_state), 0u);
}

Machine& with_an_abort(Machine& m) {
    m.as_guest();
    m.put<u64>(data_at, 0x800);  // an x2APIC register may not be loaded
    m.set(VmcsField::vm_exit_msr_load_address, data_at);
    m.set(VmcsField::vm_exit_msr_load_count, 1);
    EXPECT_FALSE(execute(m.c, exec_cpuid, register_insn(0, 0), 2));
    return m;
}

TEST(VmxAbort, IsAShutdownAndNotAnExit) {
    Machine m;
    EXPECT_EQ(take_pending(with_an_abort(m).c), Delivery::shutdown);
    EXPECT_EQ(m.c.vmx.abort, 4u);
    EXPECT_EQ(m.c.event.activity, ActivityState::shutdown);
}

TEST(VmxAbort, OnlyAResetEndsIt) {
    Machine m;
    ASSERT_EQ(take_pending(with_an_abort(m).c), Delivery::shutdown);
    m.c.event.nmi_pending = true;
    m.c.event.init_pending = true;
    m.c.event.sipi_pending = true;
    m.c.vmx.on = false;  // INIT is not blocked by VMX operation either
    m.controller.vector = 0x40;
    m.c.flags.set(Rflag::if_);
    EXPECT_FALSE(wakes(m.c));
    EXPECT_EQ(poll(m.c), Delivery::shutdown);
    const u64 rip = m.c.rip;
    EXPECT_EQ(run(m.c, now(m.c) + 10), RunOutcome::shutdown);
    EXPECT_EQ(m.c.rip, rip);
    EXPECT_EQ(m.controller.acknowledged, -1);
    EXPECT_TRUE(m.c.event.nmi_pending);
}

/// IA32_APIC_BASE: the local APIC elsewhere.
TEST(MsrListExit, AnMsrValueThatIsNotImplementedStopsByName) {
    Machine m;
    m.as_guest();
    m.put<u64>(data_at, 0x1b);
    m.put<u64>(data_at + 8, 0xfec0'0900);
    m.set(VmcsField::vm_exit_msr_load_address, data_at);
    m.set(VmcsField::vm_exit_msr_load_count, 1);
    EXPECT_FALSE(execute(m.c, exec_cpuid, register_insn(0, 0), 2));
    EXPECT_EQ(take_pending(m.c), Delivery::unimplemented);
    EXPECT_STREQ(m.c.pending.what, "a local APIC that is moved over memory");
    EXPECT_EQ(m.c.vmx.abort, 0u);
}

TEST(InstructionExit, SavesRfClear) {
    Machine m;
    m.as_guest();
    set_rflags(m.c, 0x10202);
    EXPECT_FALSE(execute(m.c, exec_cpuid, register_insn(0, 0), 2));
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 10u);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_instruction_length), 2u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), code_rip);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rflags), 0x202u);
}

}  // namespace
}  // namespace postern::cpu
