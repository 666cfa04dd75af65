// SPDX-License-Identifier: Apache-2.0
// Events that interrupt an enclave: AEX first, then the exit or the delivery.
#include <gtest/gtest.h>

#include "cpu/exec/system.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "unit/cpu/event/inside.h"

namespace postern::cpu {
namespace {

TEST(EnclaveEvent, PageFaultThatExitsLosesItsPageOffset) {
    Inside m;
    m.set(VmcsField::exception_bitmap, 1u << 14);
    m.c.cr2 = 0x77;
    (void)raise_page_fault(m.c, sgx::elrange + 0x5123, 0x8007);
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    m.expect_synthetic(0);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), sgx::elrange + 0x5000);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_error_code), 0x8007u);
    EXPECT_EQ(m.c.cr2, 0x77u);
    EXPECT_EQ(m.exinfo().maddr, sgx::elrange + 0x5123);
    EXPECT_EQ(m.gprsgx().rflags & 0x10000, 0x10000u);
}

TEST(EnclaveEvent, DebugExitKeepsItsQualification) {
    Inside m{true};
    m.set(VmcsField::exception_bitmap, 1u << 1);
    m.c.event.trap_pending = true;
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    m.expect_synthetic(0);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 0x4000u);
}

TEST(EnclaveEvent, DeliveredPageFaultPushesTheAepAndHidesTheOffset) {
    Inside m;
    (void)raise_page_fault(m.c, sgx::elrange + 0x5123, 0x8007);
    EXPECT_EQ(take_pending(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.cr2, sgx::elrange + 0x5000);
    EXPECT_EQ(m.c.rip, 0x1000e0u);
    EXPECT_EQ(m.at<u64>(rsp0 - 0x30), 0x8007u);
    EXPECT_EQ(m.at<u64>(rsp0 - 0x28), sgx::aep);
    EXPECT_EQ(m.at<u64>(rsp0 - 0x18) & 0x10000, 0u);
    EXPECT_EQ(m.at<u64>(rsp0 - 0x10), outer_rsp);
    EXPECT_FALSE(m.c.enclave.active);
    EXPECT_FALSE(m.c.event.delivering.valid);
}

TEST(EnclaveEvent, AlignmentCheckInsideIsReportedInExitinfo) {
    Inside m;
    m.c.cr0.set(Cr0::am);
    m.c.flags.set(Rflag::ac);
    select_tlb(m.c);
    const Gva data{sgx::elrange + sgx::data_offset};
    EXPECT_TRUE(load(m.c, data + 4, 4).ok());
    EXPECT_TRUE(store(m.c, data + 6, 2, 0x1234).ok());
    EXPECT_FALSE(load(m.c, data + 2, 4).ok());
    EXPECT_EQ(take_pending(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, 0x100000u + 16 * 17);
    EXPECT_EQ(m.at<u64>(rsp0 - 0x30), 0u);  // the error code
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0x8000'0311u);
    EXPECT_FALSE(m.c.tlbs[tlb_checked].translates(data.raw(), tlb_reads));
}

TEST(EnclaveEvent, ExitWhileDeliveringHasBit27AndIdtVectoringAndWholeAddresses) {
    Inside m;
    m.set(VmcsField::exception_bitmap, 1u << 11);
    m.at<u64>(idt + 16 * 6) &= ~(u64{1} << 47);  // #UD's gate is not present
    (void)raise(m.c, Vector::invalid_opcode);
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0x0800'0000u);
    EXPECT_EQ(m.vmcs(VmcsField::idt_vectoring_information), 0x8000'0306u);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), 0x8000'0b0bu);
    EXPECT_EQ(m.vmcs(VmcsField::guest_interruptibility_state), 0x10u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), sgx::aep);
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0x8000'0306u);  // the first event only
}

TEST(EnclaveEvent, TripleFaultHasBit27WithoutIdtVectoring) {
    Inside m;
    m.c.idtr.limit = 0;
    (void)raise(m.c, Vector::invalid_opcode);
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0x0800'0002u);
    EXPECT_EQ(m.vmcs(VmcsField::idt_vectoring_information), 0u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_interruptibility_state), 0x10u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), sgx::aep);
}

TEST(EnclaveEvent, DoubleFaultThatExitsHasBit27WithoutIdtVectoring) {
    Inside m;
    m.set(VmcsField::exception_bitmap, 1u << 8);
    m.at<u64>(idt + 16 * 13) &= ~(u64{1} << 47);
    (void)general_protection(m.c);
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0x0800'0000u);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), 0x8000'0b08u);
    EXPECT_EQ(m.vmcs(VmcsField::idt_vectoring_information), 0u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_interruptibility_state), 0x10u);
}

TEST(EnclaveEvent, BreakpointAfterAnOptInEntryIsAHardwareExceptionWithoutLength) {
    Inside m{true};
    m.set(VmcsField::exception_bitmap, 1u << 3);
    m.c.next_rip = inside_rip + 1;
    EXPECT_FALSE(exec_int3(m.c, register_insn(0, 0)).ok());
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    m.expect_synthetic(0);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), 0x8000'0303u);
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0x8000'0603u);
}

TEST(EnclaveEvent, DeliveredBreakpointAsksNoDplAndPushesTheAep) {
    Inside m{true};  // the gate's DPL is 0, the enclave's CPL 3
    EXPECT_FALSE(exec_int3(m.c, register_insn(0, 0)).ok());
    EXPECT_EQ(take_pending(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, 0x100030u);
    EXPECT_EQ(m.at<u64>(rsp0 - 0x28), sgx::aep);
}

TEST(EnclaveEvent, BreakpointAfterAnOptOutEntryIsUndefined) {
    Inside m;
    EXPECT_FALSE(exec_int3(m.c, register_insn(0, 0)).ok());
    EXPECT_EQ(m.c.pending.vector, Vector::invalid_opcode);
}

TEST(EnclaveEvent, InstructionExitLosesLengthAndInformation) {
    Inside m;
    m.set(VmcsField::primary_processor_based_controls, 1u << 31);
    m.set(VmcsField::secondary_processor_based_controls, 1u << 11);
    EXPECT_FALSE(exec_rdrand(m.c, register_insn(rdx, 0)).ok());
    EXPECT_EQ(m.c.pending.instruction_length, 3u);
    EXPECT_EQ(m.c.pending.instruction_information, 0x1010u);  // RDX, 64 bits
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    m.expect_synthetic(57);
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0u);
}

TEST(EnclaveEvent, EptViolationLosesPageOffsets) {
    Inside m;
    m.c.pending = {};
    m.c.pending.kind = PendingKind::vm_exit;
    m.c.pending.reason = BasicReason::ept_violation;
    m.c.pending.qualification = 0x181;
    m.c.pending.guest_linear = 0x9'1234;
    m.c.pending.guest_physical = 0x8'1234;
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    m.expect_synthetic(48);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 0x181u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_linear_address), 0x9'1000u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_physical_address), 0x8'1000u);
    EXPECT_EQ(m.gprsgx().rflags & 0x10000, 0x10000u);
}

struct Boundary {
    const char* name;
    void (*arrange)(Inside&);
    u64 reason;
    u64 information;
};

const Boundary boundaries[] = {
    {"preemption timer", [](Inside& m) { m.c.vmx.preemption_deadline = now(m.c); }, 52, 0},
    {"NMI",
     [](Inside& m) {
         m.set(VmcsField::pin_based_controls, 1u << 3);
         m.c.event.nmi_pending = true;
     },
     0, 0x8000'0202},
    {"NMI window", [](Inside& m) { m.set(VmcsField::primary_processor_based_controls, 1u << 22); },
     8, 0},
    {"interrupt window",
     [](Inside& m) {
         set_rflags(m.c, 0x202);
         m.set(VmcsField::primary_processor_based_controls, 1u << 2);
     },
     7, 0},
    {"monitor trap flag", [](Inside& m) { m.c.event.mtf_pending = true; }, 37, 0},
};

TEST(EnclaveEvent, EveryBoundaryExitIsPrecededByAnAex) {
    for (const Boundary& b : boundaries) {
        SCOPED_TRACE(b.name);
        Inside m;
        b.arrange(m);
        EXPECT_EQ(poll(m.c), Delivery::vm_exit);
        m.expect_synthetic(b.reason);
        EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), b.information);
        EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0u);
        EXPECT_EQ(m.gprsgx().rflags & 0x10000, 0u);
    }
}

TEST(EnclaveEvent, ExternalInterruptExitsWithItsVectorOnlyIfAcknowledged) {
    for (const bool acknowledge : {false, true}) {
        Inside m;
        FakeController controller;
        m.c.interrupts = &controller;
        controller.vector = 0x41;
        set_rflags(m.c, 2);  // IF does not count
        m.set(VmcsField::pin_based_controls, 1);
        m.set(VmcsField::vm_exit_controls, 1u << 9 | u32{acknowledge} << 15);
        EXPECT_EQ(poll(m.c), Delivery::vm_exit);
        m.expect_synthetic(1);
        EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information),
                  acknowledge ? 0x8000'0041 : 0u);
        EXPECT_EQ(controller.acknowledged, acknowledge ? 0x41 : -1);
        EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0u);
    }
}

TEST(EnclaveEvent, VirtualNmiBlockingHoldsBackTheWindowAndNotTheNmi) {
    Inside m;
    m.set(VmcsField::pin_based_controls, 1u << 3 | 1u << 5);
    m.set(VmcsField::primary_processor_based_controls, 1u << 22);
    m.c.event.blocking.set(Interruptibility::nmi);
    EXPECT_EQ(poll(m.c), Delivery::nothing);
    EXPECT_TRUE(m.c.enclave.active);
    m.c.event.nmi_pending = true;
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0x0800'0000u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_interruptibility_state), 0x18u);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), 0x8000'0202u);
}

TEST(EnclaveEvent, ExternalInterruptIsDeliveredFromTheAep) {
    Inside m;
    FakeController controller;
    m.c.interrupts = &controller;
    controller.vector = 0x41;
    set_rflags(m.c, 0x202);
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, 0x100410u);
    EXPECT_EQ(m.at<u64>(rsp0 - 0x28), sgx::aep);
    EXPECT_EQ(m.gprsgx().rip, inside_rip);
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0u);
}

}  // namespace
}  // namespace postern::cpu
