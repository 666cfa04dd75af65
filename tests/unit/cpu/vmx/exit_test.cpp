// SPDX-License-Identifier: Apache-2.0
// What a VM exit records, saves and loads; bit 27, interruptibility bit 4, lengths and addresses
// of every kind of exit that has to do with an enclave.
#include "unit/cpu/vmx/vmx_machine.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using M = VmxMachine;

constexpr u64 aep = 0x40'2000;

/// In the guest, as the asynchronous enclave exit left it: RIP = AEP, RFLAGS.RF = 0.
M after_aex() {
    M m = M::with_guest();
    m.run();
    m.c.rip = aep;
    m.c.gpr[rax] = 3;
    return m;
}

EventInProgress event(u32 information, u32 error_code = 0, u32 length = 0) {
    EventInProgress e{};
    e.valid = true;
    e.information = information;
    e.error_code = error_code;
    e.instruction_length = length;
    return e;
}

/// One that interrupted an enclave.
EventInProgress enclave_event(u32 information, u32 error_code = 0) {
    EventInProgress e = event(information, error_code);
    e.enclave = true;
    return e;
}

TEST(VmExit, SavesTheGuestAndLoadsTheHost) {
    M m = M::with_guest();
    m.turn_on(F::vm_exit_controls, 0x4'0000);  // save IA32_PAT
    m.run();
    Cpu& c = m.c;
    c.rip = 0x40'1234;
    c.next_rip = 0x40'1236;
    c.gpr[rsp] = 0x7'fff0;
    set_rflags(c, 0x8d7);
    c.cr0 = Cr0Word::from_raw(0x8001'003b);
    c.cr3 = 0x1'1000;
    c.cr4 = Cr4Word::from_raw(0x26f0);
    c.dr7 = 0x402;
    c.msr.debugctl = 2;
    c.msr.pat = 0x0606'0606'0606'0600;
    c.msr.sysenter_eip = 0x5555;
    c.efer = EferWord::from_raw(0xd00);
    c.segment[ds] = {0x2b, 0, 0xc0f3, 0xffff'ffff, 0, 0};
    c.segment[fs].base = 0x1000'0000;
    c.gdtr = {0x1'b000, 0x57};

    exit(c, {.reason = BasicReason::hlt, .instruction_length = 1});

    EXPECT_EQ(m.get(F::exit_reason), 12u);
    EXPECT_EQ(m.get(F::exit_qualification), 0u);
    EXPECT_EQ(m.get(F::vm_exit_instruction_length), 1u);
    EXPECT_EQ(m.get(F::idt_vectoring_information), 0u);
    EXPECT_EQ(m.get(F::guest_rip), 0x40'1234u);
    EXPECT_EQ(m.get(F::guest_rsp), 0x7'fff0u);
    EXPECT_EQ(m.get(F::guest_rflags), 0x8d7u);
    EXPECT_EQ(m.get(F::guest_cr0), 0x8001'003bu);
    EXPECT_EQ(m.get(F::guest_cr3), 0x1'1000u);
    EXPECT_EQ(m.get(F::guest_cr4), 0x26f0u);
    EXPECT_EQ(m.get(F::guest_dr7), 0x402u);
    EXPECT_EQ(m.get(F::guest_ia32_debugctl), 2u);
    EXPECT_EQ(m.get(F::guest_ia32_pat), 0x0606'0606'0606'0600u);
    EXPECT_EQ(m.get(F::guest_ia32_efer), 0xd00u);
    EXPECT_EQ(m.get(F::guest_ia32_sysenter_eip), 0x5555u);
    EXPECT_EQ(m.get(F::guest_ds_selector), 0x2bu);
    EXPECT_EQ(m.get(F::guest_ds_access_rights), 0xc0f3u);
    EXPECT_EQ(m.get(F::guest_fs_base), 0x1000'0000u);
    EXPECT_EQ(m.get(F::guest_gdtr_base), 0x1'b000u);
    EXPECT_EQ(m.get(F::guest_gdtr_limit), 0x57u);
    EXPECT_EQ(m.get(F::guest_interruptibility_state), 0u);
    EXPECT_EQ(m.get(F::guest_activity_state), 0u);

    EXPECT_FALSE(c.vmx.non_root);
    EXPECT_TRUE(c.vmx.vmcs.launched);
    EXPECT_EQ(c.rip, host_rip_value);
    EXPECT_EQ(c.gpr[rsp], 0xffff'8000'0000'2000u);
    EXPECT_EQ(rflags(c), 2u);
    EXPECT_EQ(c.cr0.to_raw(), 0x8001'0031u);
    EXPECT_EQ(c.cr3, 0xd000u);
    EXPECT_EQ(c.cr4.to_raw(), 0x20a0u);
    EXPECT_EQ(c.efer.to_raw(), 0x500u);
    EXPECT_EQ(c.msr.pat, 0x0606'0606'0606'0606u);
    EXPECT_EQ(c.dr7, 0x400u);
    EXPECT_EQ(c.msr.debugctl, 0u);
    EXPECT_EQ(c.msr.sysenter_cs, 0x40u);
    EXPECT_EQ(c.segment[cs], (Segment{0x08, 0, 0xa09b, 0xffff'ffff, 0, 0}));
    EXPECT_EQ(c.segment[ss], (Segment{0x10, 0, 0xc093, 0xffff'ffff, 0, 0}));
    EXPECT_EQ(c.segment[ds], (Segment{0, 0, 0x1'c093, 0xffff'ffff, 0, 0}));
    EXPECT_EQ(c.segment[fs].base, 0xf500u);
    EXPECT_EQ(c.gpr[row_fs_base], 0xf500u);
    EXPECT_EQ(c.gpr[row_gs_base], 0xf600u);
    EXPECT_TRUE(c.segment[gs].unusable());
    EXPECT_EQ(c.segment[tr], (Segment{0x18, 0, 0x8b, 0x67, 0, 0xf700}));
    EXPECT_TRUE(c.segment[ldtr].unusable());
    EXPECT_EQ(c.gdtr.base, 0xf800u);
    EXPECT_EQ(c.gdtr.limit, 0xffffu);
    EXPECT_EQ(c.idtr.base, 0xf900u);
    EXPECT_EQ(c.cpl, 0u);
    EXPECT_EQ(c.vmx.ept_pointer, 0u);
    EXPECT_EQ(c.vmx.preemption_deadline, ~u64{0});
}

TEST(VmExit, WithoutTheirSaveControlsFieldsStayAsTheyWere) {
    M m = M::with_guest();
    m.turn_off(F::vm_exit_controls, 0x10'0004);  // save EFER, save debug controls
    m.run();
    m.c.dr7 = 0x402;
    m.c.msr.pat = 0;
    m.c.efer = EferWord::from_raw(0x500);
    exit(m.c, {.reason = BasicReason::hlt});
    EXPECT_EQ(m.get(F::guest_dr7), 0x401u);
    EXPECT_EQ(m.get(F::guest_ia32_pat), 0x0007'0406'0007'0406u);
    EXPECT_EQ(m.get(F::guest_ia32_efer), 0xd01u);
}

TEST(VmExit, TheEntryEventIsNoLongerValidAndLmaIsStored) {
    M m = M::with_guest();
    m.set(F::vm_entry_interruption_information, 0x8000'0020);
    m.run();
    m.c.efer = EferWord{};
    exit(m.c, {.reason = BasicReason::hlt});
    EXPECT_EQ(m.get(F::vm_entry_interruption_information), 0x20u);
    EXPECT_EQ(m.get(F::vm_entry_controls), 0xd1ffu);
}

TEST(VmExit, ThePreemptionTimerIsSavedIfAsked) {
    M m = M::with_guest();
    m.turn_on(F::pin_based_controls, 0x40);
    m.turn_on(F::vm_exit_controls, 0x40'0000);
    m.set(F::vmx_preemption_timer_value, 1000);
    m.run();
    m.c.budget -= 400;
    exit(m.c, {.reason = BasicReason::hlt});
    EXPECT_EQ(m.get(F::vmx_preemption_timer_value), 600u);
    m.run();
    m.c.budget -= 700;
    exit(m.c, {.reason = BasicReason::vmx_preemption_timer_expired});
    EXPECT_EQ(m.get(F::vmx_preemption_timer_value), 0u);

    M unsaved = M::with_guest();
    unsaved.turn_on(F::pin_based_controls, 0x40);
    unsaved.set(F::vmx_preemption_timer_value, 1000);
    unsaved.run();
    unsaved.c.budget -= 400;
    exit(unsaved.c, {.reason = BasicReason::hlt});
    EXPECT_EQ(unsaved.get(F::vmx_preemption_timer_value), 1000u);
}

TEST(VmExit, MsrListsAreStoredAndLoaded) {
    M m = M::with_guest();
    m.put_msr_entry(store_list_at, 0, 0xc000'0102, 0);
    m.put_msr_entry(exit_list_at, 0, 0xc000'0102, 0x9999);
    m.set(F::vm_exit_msr_store_address, store_list_at);
    m.set(F::vm_exit_msr_store_count, 1);
    m.set(F::vm_exit_msr_load_address, exit_list_at);
    m.set(F::vm_exit_msr_load_count, 1);
    m.run();
    m.c.msr.kernel_gs_base = 0x7777;
    exit(m.c, {.reason = BasicReason::hlt});
    EXPECT_EQ(read_physical(m.c, Hpa{store_list_at + 8}, 8), 0x7777u);
    EXPECT_EQ(m.c.msr.kernel_gs_base, 0x9999u);
    EXPECT_EQ(m.c.vmx.abort, 0u);
}

TEST(VmExit, TheTimeStampCounterIsStoredAsItIs) {
    M m = M::with_guest();
    m.turn_on(F::primary_processor_based_controls, 8);  // TSC offsetting
    m.put_msr_entry(store_list_at, 0, 0x10, 0);
    m.set(F::vm_exit_msr_store_address, store_list_at);
    m.set(F::vm_exit_msr_store_count, 1);
    m.run();
    exit(m.c, {.reason = BasicReason::hlt});
    EXPECT_EQ(read_physical(m.c, Hpa{store_list_at + 8}, 8), start_time);
}

TEST(VmExit, HostCr0KeepsWhatTheManualSays) {
    M m = M::with_guest();
    m.set(F::host_cr0, 0xe005'0021);  // CD and NW set, ET clear
    m.run();
    exit(m.c, {.reason = BasicReason::hlt});
    EXPECT_EQ(m.c.cr0.to_raw(), 0x8005'0031u);
}

TEST(VmExit, AnNmiThatWaitsGoesOnWaiting) {
    M m = M::with_guest();
    m.run();
    m.c.event.nmi_pending = true;
    m.c.event.mtf_pending = true;
    exit(m.c, {.reason = BasicReason::hlt});
    EXPECT_TRUE(m.c.event.nmi_pending);
    EXPECT_FALSE(m.c.event.mtf_pending);
}

TEST(VmExit, AVmxAbortShutsTheProcessorDown) {
    M m = M::with_guest();
    m.put_msr_entry(exit_list_at, 0, 0xc000'0100, 0);
    m.set(F::vm_exit_msr_load_address, exit_list_at);
    m.set(F::vm_exit_msr_load_count, 1);
    m.run();
    exit(m.c, {.reason = BasicReason::hlt});
    EXPECT_EQ(m.c.vmx.abort, 4u);
    EXPECT_EQ(m.c.event.activity, ActivityState::shutdown);
    EXPECT_EQ(read_physical(m.c, Hpa{vmcs_at + 4}, 4), 4u);
    bool entered = true;
    EXPECT_EQ(m.enter(entered, false).kind, Status::Kind::fail_invalid);

    M store = M::with_guest();
    store.put_msr_entry(store_list_at, 0, 0x800, 0);
    store.set(F::vm_exit_msr_store_address, store_list_at);
    store.set(F::vm_exit_msr_store_count, 1);
    store.run();
    exit(store.c, {.reason = BasicReason::hlt});
    EXPECT_EQ(store.c.vmx.abort, 1u);
    EXPECT_EQ(store.c.event.activity, ActivityState::shutdown);
    EXPECT_EQ(read_physical(store.c, Hpa{vmcs_at + 4}, 4), 1u);
}

TEST(VmExit, AnMsrListBeyondTheRecommendedMaximumIsAVmxAbort) {
    for (const bool stores : {true, false}) {
        M m = M::with_guest();
        for (unsigned n = 0; n <= 512; ++n) m.put_msr_entry(long_list_at, n, 0xc000'0102, n);
        m.set(F::vm_exit_msr_store_address, long_list_at);
        m.set(F::vm_exit_msr_load_address, long_list_at);
        m.set(stores ? F::vm_exit_msr_store_count : F::vm_exit_msr_load_count, 513);
        m.run();
        exit(m.c, {.reason = BasicReason::hlt});
        EXPECT_EQ(m.c.vmx.abort, stores ? 1u : 4u);
    }
}

TEST(VmExit, BlockingIsSavedAndClearedForTheHost) {
    M m = M::with_guest();
    m.run();
    m.c.event.blocking = InterruptibilityState::from_raw(0x9);
    m.c.event.activity = ActivityState::hlt;
    exit(m.c, {.reason = BasicReason::external_interrupt});
    EXPECT_EQ(m.get(F::guest_interruptibility_state), 0x9u);
    EXPECT_EQ(m.get(F::guest_activity_state), 1u) << "an event that exits directly wakes nobody";
    EXPECT_EQ(m.c.event.blocking.to_raw(), 0x8u) << "NMIs stay blocked without virtual NMIs";
    EXPECT_EQ(m.c.event.activity, ActivityState::active);
}

TEST(VmExit, AnNmiThatExitsBlocksNmisInRoot) {
    M m = M::with_guest();
    m.turn_on(F::pin_based_controls, 0x28);
    m.run();
    exit(m.c, {.reason = BasicReason::exception_or_nmi, .interruption_information = 0x8000'0202});
    EXPECT_EQ(m.get(F::guest_interruptibility_state), 0u);
    EXPECT_EQ(m.c.event.blocking.to_raw(), 0x8u);

    // What virtual NMIs block is the guest's alone.
    M other = M::with_guest();
    other.turn_on(F::pin_based_controls, 0x28);
    other.run();
    other.c.event.blocking.set(Interruptibility::nmi);
    exit(other.c, {.reason = BasicReason::hlt});
    EXPECT_EQ(other.get(F::guest_interruptibility_state), 0x8u);
    EXPECT_EQ(other.c.event.blocking.to_raw(), 0u);
}

struct PendingDebugCase {
    Exit exit;
    u32 blocking;
    u64 saved;
};

TEST(VmExit, PendingDebugExceptionsAreSavedOnlyWhereTheManualSaysSo) {
    const PendingDebugCase cases[]{
        {{.reason = BasicReason::hlt}, 0, 0},
        {{.reason = BasicReason::hlt}, 2, 0x5001},
        {{.reason = BasicReason::monitor_trap_flag}, 0, 0x5001},
        {{.reason = BasicReason::init_signal}, 0, 0x5001},
        {{.reason = BasicReason::external_interrupt}, 0, 0},
        {{.reason = BasicReason::exception_or_nmi, .interruption_information = 0x8000'0301}, 2, 0},
        {{.reason = BasicReason::exception_or_nmi, .interruption_information = 0x8000'0312},
         0,
         0x5001},
        {{.reason = BasicReason::exception_or_nmi, .interruption_information = 0x8000'0b0d},
         2,
         0x5001},
    };
    for (const PendingDebugCase& row : cases) {
        SCOPED_TRACE(name_of(row.exit.reason));
        M m = M::with_guest();
        m.run();
        m.c.event.blocking = InterruptibilityState::from_raw(row.blocking);
        m.c.event.pending_debug = 0x1001;
        m.c.event.trap_pending = true;
        exit(m.c, row.exit);
        EXPECT_EQ(m.get(F::guest_pending_debug_exceptions), row.saved);
        EXPECT_EQ(m.c.event.pending_debug, 0u);
        EXPECT_FALSE(m.c.event.trap_pending);
    }
}

struct ResumeFlagCase {
    Exit exit;
    u32 vectoring;  // of the event being delivered, or 0
    bool before;
    bool saved;
};

TEST(VmExit, SavesTheResumeFlagByTheKindOfExit) {
    const ResumeFlagCase cases[]{
        {{.reason = BasicReason::cpuid}, 0, true, false},
        {{.reason = BasicReason::rdmsr}, 0, false, false},
        {{.reason = BasicReason::ept_violation}, 0, false, true},
        {{.reason = BasicReason::ept_misconfiguration}, 0, false, true},
        {{.reason = BasicReason::apic_access}, 0, false, true},
        {{.reason = BasicReason::ept_violation}, 0x8000'0030, false, false},  // an interrupt
        {{.reason = BasicReason::ept_violation}, 0x8000'0030, true, true},
        {{.reason = BasicReason::ept_violation}, 0x8000'0b0e, false, true},   // a fault
        {{.reason = BasicReason::ept_violation}, 0x8000'0301, false, false},  // #DB
        {{.reason = BasicReason::external_interrupt}, 0, true, true},
        {{.reason = BasicReason::external_interrupt}, 0, false, false},
        {{.reason = BasicReason::exception_or_nmi,
          .interruption_information = 0x8000'0b0d,
          .sets_rf = true},
         0,
         false,
         true},
    };
    for (const ResumeFlagCase& row : cases) {
        SCOPED_TRACE(name_of(row.exit.reason));
        M m = M::with_guest();
        m.run();
        m.c.flags.set(Rflag::rf, row.before);
        if (row.vectoring != 0) m.c.event.delivering = event(row.vectoring);
        exit(m.c, row.exit);
        EXPECT_EQ((m.get(F::guest_rflags) >> 16 & 1) != 0, row.saved);
    }
}

// What was being delivered.

TEST(VmExit, MetDuringDeliveryReportsTheOriginalEvent) {
    M m = M::with_guest();
    m.run();
    m.c.event.activity = ActivityState::hlt;
    m.c.event.delivering = event(0x8000'0b0e, 6);
    exit(m.c, {.reason = BasicReason::ept_violation,
               .qualification = 0x182,
               .guest_linear = 0x7'fff8,
               .guest_physical = 0x9'fff8});
    EXPECT_EQ(m.get(F::exit_reason), 48u);
    EXPECT_EQ(m.get(F::idt_vectoring_information), 0x8000'0b0eu);
    EXPECT_EQ(m.get(F::idt_vectoring_error_code), 6u);
    EXPECT_EQ(m.get(F::exit_qualification), 0x182u);
    EXPECT_EQ(m.get(F::guest_linear_address), 0x7'fff8u);
    EXPECT_EQ(m.get(F::guest_physical_address), 0x9'fff8u);
    EXPECT_EQ(m.get(F::guest_activity_state), 0u) << "delivery wakes the processor first";
    EXPECT_FALSE(m.c.event.delivering.valid);
}

TEST(VmExit, MetDuringDeliveryOfIntNReportsItsLength) {
    M m = M::with_guest();
    m.run();
    m.c.event.delivering = event(0x8000'0480, 0, 2);
    exit(m.c, {.reason = BasicReason::ept_violation});
    EXPECT_EQ(m.get(F::vm_exit_instruction_length), 2u);
    EXPECT_EQ(m.get(F::idt_vectoring_information), 0x8000'0480u);
}

TEST(VmExit, ATripleFaultAndADoubleFaultThatExitsCarryNoOriginalEvent) {
    M m = M::with_guest();
    m.run();
    m.c.event.delivering = event(0x8000'0b0e);
    exit(m.c, {.reason = BasicReason::exception_or_nmi, .interruption_information = 0x8000'0b08});
    EXPECT_EQ(m.get(F::exit_reason), 0u);
    EXPECT_EQ(m.get(F::vm_exit_interruption_information), 0x8000'0b08u);
    EXPECT_EQ(m.get(F::idt_vectoring_information), 0u);

    M triple = M::with_guest();
    triple.run();
    triple.c.event.delivering = event(0x8000'0b08);
    exit(triple.c, {.reason = BasicReason::triple_fault});
    EXPECT_EQ(triple.get(F::exit_reason), 2u);
    EXPECT_EQ(triple.get(F::idt_vectoring_information), 0u);
}

TEST(VmExit, ADoubleFaultInDeliveryIsAnOriginalEventItself) {
    M m = M::with_guest();
    m.run();
    m.c.event.delivering = event(0x8000'0b08);
    exit(m.c, {.reason = BasicReason::ept_violation});
    EXPECT_EQ(m.get(F::idt_vectoring_information), 0x8000'0b08u);
}

TEST(VmExit, ASecondExceptionThatExitsReportsBoth) {
    M m = M::with_guest();
    m.run();
    m.c.event.delivering = event(0x8000'0b0d, 0x10);
    exit(m.c, {.reason = BasicReason::exception_or_nmi,
               .qualification = 0x7'f123,
               .interruption_information = 0x8000'0b0e,
               .interruption_error_code = 2});
    EXPECT_EQ(m.get(F::vm_exit_interruption_information), 0x8000'0b0eu);
    EXPECT_EQ(m.get(F::vm_exit_interruption_error_code), 2u);
    EXPECT_EQ(m.get(F::idt_vectoring_information), 0x8000'0b0du);
    EXPECT_EQ(m.get(F::idt_vectoring_error_code), 0x10u);
    EXPECT_EQ(m.get(F::exit_qualification), 0x7'f123u);
}

// Enclaves.

TEST(EnclaveExit, AnEptViolationOfAnEnclaveInstruction) {
    M m = after_aex();
    exit(m.c, {.reason = BasicReason::ept_violation,
               .qualification = 0x181,
               .guest_linear = 0x7000'0abc,
               .guest_physical = 0x8'0abc,
               .instruction_length = 3,
               .instruction_information = 0x1234,
               .enclave = true,
               .sets_rf = true});
    EXPECT_EQ(m.get(F::exit_reason), 0x0800'0030u);
    EXPECT_EQ(m.get(F::guest_interruptibility_state), 0x10u);
    EXPECT_EQ(m.get(F::guest_rip), aep);
    EXPECT_EQ(m.get(F::exit_qualification), 0x181u);
    EXPECT_EQ(m.get(F::guest_linear_address), 0x7000'0000u);
    EXPECT_EQ(m.get(F::guest_physical_address), 0x8'0000u);
    EXPECT_EQ(m.get(F::vm_exit_instruction_length), 0u);
    EXPECT_EQ(m.get(F::vm_exit_instruction_information), 0u);
    EXPECT_EQ(m.get(F::guest_rflags) >> 16 & 1, 0u);
    EXPECT_EQ(m.get(F::idt_vectoring_information), 0u);
    EXPECT_EQ(m.get(F::guest_activity_state), 0u);
}

TEST(EnclaveExit, AnEptMisconfigurationLosesThePageOffset) {
    M m = after_aex();
    exit(m.c, {.reason = BasicReason::ept_misconfiguration,
               .guest_physical = 0xfe00'0040,
               .enclave = true});
    EXPECT_EQ(m.get(F::exit_reason), 0x0800'0031u);
    EXPECT_EQ(m.get(F::guest_physical_address), 0xfe00'0000u);
}

TEST(EnclaveExit, APageFaultThatExitsHasNoPageOffsetAndItsWholeErrorCode) {
    M m = after_aex();
    exit(m.c, {.reason = BasicReason::exception_or_nmi,
               .qualification = 0x7000'0fff,
               .interruption_information = 0x8000'0b0e,
               .interruption_error_code = 0x8007,
               .enclave = true,
               .sets_rf = true});
    EXPECT_EQ(m.get(F::exit_reason), 0x0800'0000u);
    EXPECT_EQ(m.get(F::exit_qualification), 0x7000'0000u);
    EXPECT_EQ(m.get(F::vm_exit_interruption_error_code), 0x8007u);
    EXPECT_EQ(m.get(F::guest_rflags) >> 16 & 1, 0u);
}

TEST(EnclaveExit, AnApicAccessKeepsItsTypeAndLosesTheOffset) {
    M m = after_aex();
    exit(m.c, {.reason = BasicReason::apic_access, .qualification = 0x10b0, .enclave = true});
    EXPECT_EQ(m.get(F::exit_reason), 0x0800'002cu);
    EXPECT_EQ(m.get(F::exit_qualification), 0x1000u);
}

TEST(EnclaveExit, ADebugExceptionKeepsItsQualification) {
    M m = after_aex();
    exit(m.c, {.reason = BasicReason::exception_or_nmi,
               .qualification = 0x4001,
               .interruption_information = 0x8000'0301,
               .enclave = true});
    EXPECT_EQ(m.get(F::exit_qualification), 0x4001u);
}

TEST(EnclaveExit, Int3IsAHardwareException) {
    M m = after_aex();
    exit(m.c, {.reason = BasicReason::exception_or_nmi,
               .interruption_information = 0x8000'0603,
               .instruction_length = 1,
               .enclave = true});
    EXPECT_EQ(m.get(F::exit_reason), 0x0800'0000u);
    EXPECT_EQ(m.get(F::vm_exit_interruption_information), 0x8000'0303u);
    EXPECT_EQ(m.get(F::vm_exit_instruction_length), 0u);
}

struct DirectCase {
    BasicReason reason;
    u32 word;
};

TEST(EnclaveExit, EveryCauseSetsBit27AndBit4) {
    constexpr DirectCase cases[]{
        {BasicReason::external_interrupt, 0x0800'0001},
        {BasicReason::init_signal, 0x0800'0003},
        {BasicReason::interrupt_window, 0x0800'0007},
        {BasicReason::nmi_window, 0x0800'0008},
        {BasicReason::rdtsc, 0x0800'0010},
        {BasicReason::mov_dr, 0x0800'001d},
        {BasicReason::pause, 0x0800'0028},
        {BasicReason::rdtscp, 0x0800'0033},
        {BasicReason::vmx_preemption_timer_expired, 0x0800'0034},
        {BasicReason::rdrand, 0x0800'0039},
        {BasicReason::rdseed, 0x0800'003d},
    };
    for (const DirectCase& row : cases) {
        SCOPED_TRACE(name_of(row.reason));
        M m = after_aex();
        exit(m.c, {.reason = row.reason,
                   .instruction_length = 2,
                   .instruction_information = 0x55,
                   .enclave = true});
        EXPECT_EQ(m.get(F::exit_reason), row.word);
        EXPECT_EQ(m.get(F::guest_interruptibility_state), 0x10u);
        EXPECT_EQ(m.get(F::vm_exit_instruction_length), 0u);
        EXPECT_EQ(m.get(F::vm_exit_instruction_information), 0u);
        EXPECT_EQ(m.get(F::guest_rip), aep);
    }
}

TEST(EnclaveExit, TheNextExitFromOutsideHasNeitherBit) {
    M m = after_aex();
    exit(m.c, {.reason = BasicReason::pause, .enclave = true});
    EXPECT_EQ(m.get(F::guest_interruptibility_state), 0x10u);
    m.run();  // bit 4 as the hypervisor found it
    exit(m.c, {.reason = BasicReason::cpuid, .instruction_length = 2});
    EXPECT_EQ(m.get(F::exit_reason), 10u);
    EXPECT_EQ(m.get(F::guest_interruptibility_state), 0u);
    EXPECT_EQ(m.get(F::vm_exit_instruction_length), 2u);
}

TEST(EnclaveDelivery, ABadStackMetAfterAnEnclaveWasInterrupted) {
    M m = after_aex();
    m.c.event.delivering = enclave_event(0x8000'0b0e, 0x8004);
    exit(m.c, {.reason = BasicReason::ept_violation,
               .qualification = 0x182,
               .guest_linear = 0x7'fff8,
               .guest_physical = 0x9'fff8,
               .sets_rf = true});
    EXPECT_EQ(m.get(F::exit_reason), 0x0800'0030u);
    EXPECT_EQ(m.get(F::guest_interruptibility_state), 0x10u);
    EXPECT_EQ(m.get(F::idt_vectoring_information), 0x8000'0b0eu);
    EXPECT_EQ(m.get(F::idt_vectoring_error_code), 0x8004u);
    EXPECT_EQ(m.get(F::guest_linear_address), 0x7'fff8u) << "the access was not the enclave's";
    EXPECT_EQ(m.get(F::guest_physical_address), 0x9'fff8u);
    EXPECT_EQ(m.get(F::vm_exit_instruction_length), 0u);
    EXPECT_EQ(m.get(F::guest_rflags) >> 16 & 1, 0u);
}

TEST(EnclaveDelivery, APageFaultInDeliveryThatExitsKeepsItsAddress) {
    M m = after_aex();
    m.c.event.delivering = enclave_event(0x8000'0030);
    exit(m.c, {.reason = BasicReason::exception_or_nmi,
               .qualification = 0x7'fff8,
               .interruption_information = 0x8000'0b0e,
               .interruption_error_code = 2});
    EXPECT_EQ(m.get(F::exit_reason), 0x0800'0000u);
    EXPECT_EQ(m.get(F::exit_qualification), 0x7'fff8u);
    EXPECT_EQ(m.get(F::idt_vectoring_information), 0x8000'0030u);
}

TEST(EnclaveDelivery, Int3InDeliveryIsAHardwareExceptionToo) {
    M m = after_aex();
    m.c.event.delivering = enclave_event(0x8000'0603);
    exit(m.c, {.reason = BasicReason::ept_violation});
    EXPECT_EQ(m.get(F::idt_vectoring_information), 0x8000'0303u);
    EXPECT_EQ(m.get(F::vm_exit_instruction_length), 0u);
}

TEST(EnclaveDelivery, ATripleFaultHasBit27AndNoOriginalEvent) {
    M m = after_aex();
    m.c.event.delivering = enclave_event(0x8000'0b08);
    exit(m.c, {.reason = BasicReason::triple_fault});
    EXPECT_EQ(m.get(F::exit_reason), 0x0800'0002u);
    EXPECT_EQ(m.get(F::guest_interruptibility_state), 0x10u);
    EXPECT_EQ(m.get(F::idt_vectoring_information), 0u);
}

TEST(EnclaveDelivery, ADoubleFaultThatExitsHasBit27AndNoOriginalEvent) {
    M m = after_aex();
    m.c.event.delivering = enclave_event(0x8000'0b0e);
    exit(m.c, {.reason = BasicReason::exception_or_nmi, .interruption_information = 0x8000'0b08});
    EXPECT_EQ(m.get(F::exit_reason), 0x0800'0000u);
    EXPECT_EQ(m.get(F::vm_exit_interruption_information), 0x8000'0b08u);
    EXPECT_EQ(m.get(F::idt_vectoring_information), 0u);
}

/// Enters with an INT3 of length 1 injected and bit 4 as given; delivery then meets a violation.
M violation_in_injected_delivery(u32 interruptibility) {
    M m = M::with_guest();
    m.set(F::guest_interruptibility_state, interruptibility);
    m.set(F::vm_entry_interruption_information, 0x8000'0603);
    m.set(F::vm_entry_instruction_length, 1);
    m.run();
    m.c.event.delivering = m.c.event.injection;
    m.c.event.injection = {};
    exit(m.c, {.reason = BasicReason::ept_violation, .guest_physical = 0x9'fff8});
    return m;
}

TEST(EnclaveDelivery, AnInjectedEventKeepsBit4AndHasBit27WithIt) {
    M with = violation_in_injected_delivery(0x10);
    EXPECT_EQ(with.get(F::exit_reason), 0x0800'0030u);
    EXPECT_EQ(with.get(F::guest_interruptibility_state), 0x10u);
    EXPECT_EQ(with.get(F::idt_vectoring_information), 0x8000'0603u) << "as it was injected";
    EXPECT_EQ(with.get(F::vm_exit_instruction_length), 1u) << "the entry's";
    EXPECT_EQ(with.get(F::guest_physical_address), 0x9'fff8u);
    EXPECT_EQ(with.get(F::vm_entry_interruption_information), 0x603u);

    M without = violation_in_injected_delivery(0);
    EXPECT_EQ(without.get(F::exit_reason), 0x30u);
    EXPECT_EQ(without.get(F::guest_interruptibility_state), 0u);
}

TEST(RaiseExit, LeavesTheReasonPendingWithTheInstructionsLength) {
    M m = M::with_guest();
    m.run();
    m.c.next_rip = m.c.rip + 2;
    const Result<> result = raise_exit(m.c, BasicReason::cpuid, 5, 7);
    EXPECT_FALSE(result.ok());
    EXPECT_EQ(m.c.pending.kind, PendingKind::vm_exit);
    EXPECT_EQ(m.c.pending.reason, BasicReason::cpuid);
    EXPECT_EQ(m.c.pending.instruction_length, 2u);
    EXPECT_EQ(m.c.pending.qualification, 5u);
    EXPECT_EQ(m.c.pending.instruction_information, 7u);
    EXPECT_TRUE(m.c.vmx.non_root);
}

}  // namespace
}  // namespace postern::cpu::vmx
