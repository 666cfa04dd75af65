// SPDX-License-Identifier: Apache-2.0
// Reading an exit and typing it: checklist A and B, vectors T15 to T17 and T25.
#include "hv/exit/capture.h"

#include "tests/support/fake_port.h"

namespace postern::hv::test {
namespace {

using Info = InterruptionInformation;

constexpr Info external = Info::external(0x40);
constexpr Info ud = Info::hardware_exception(Vector::invalid_opcode);
constexpr Info df = Info::hardware_exception(Vector::double_fault);
constexpr ExitReason violation{BasicReason::ept_violation};
constexpr ExitReason exception{BasicReason::exception_or_nmi};
constexpr ExitReason triple{BasicReason::triple_fault};

// A1, A2, A3.
static_assert(ExitReason{BasicReason::exception_or_nmi}.in_enclave().to_vmcs() == 0x0800'0000);
static_assert(InterruptibilityState{Interruptibility::enclave}.to_raw() == 0x10);
static_assert(ExitReason::from_vmcs(0x0800'0030).basic() == BasicReason::ept_violation);
static_assert(ExitReason::from_vmcs(0x0800'0030).from_enclave());
static_assert(ExitReason::from_vmcs(0x0c00'0030).basic() == BasicReason::ept_violation);
static_assert(ExitReason::from_vmcs(0x0c00'0030).from_enclave());
static_assert(ExitReason::from_vmcs(0x0c00'0030).bus_lock());
static_assert(ExitReason::from_vmcs(0x8000'0021).entry_failed());
static_assert(!ExitReason::from_vmcs(0x8000'0021).from_enclave());

// An instruction of an enclave, or the delivery of an event.
static_assert(!is_enclave_delivery(violation.in_enclave(), {}, {}));
static_assert(is_enclave_delivery(violation.in_enclave(), {}, external));
static_assert(!is_enclave_delivery(violation, {}, external));
static_assert(is_enclave_delivery(triple.in_enclave(), {}, {}));
static_assert(!is_enclave_delivery(triple, {}, {}));
static_assert(is_enclave_delivery(exception.in_enclave(), df, {}));
static_assert(!is_enclave_delivery(exception.in_enclave(), ud, {}));
static_assert(kind_of(violation, {}, {}, all_protections) == ExitKind::normal);
static_assert(kind_of(violation.in_enclave(), {}, {}, all_protections) == ExitKind::enclave);
static_assert(kind_of(violation.in_enclave(), {}, external, all_protections) == ExitKind::delivery);
static_assert(kind_of(violation.in_enclave(), {}, {},
                      all_protections.with(Protection::guard, false)) == ExitKind::normal);
static_assert(kind_of(violation.in_enclave(), {}, external,
                      all_protections.with(Protection::delivery, false)) == ExitKind::enclave);

TEST(Capture, A4_AnUnknownNumberStopsTheGuestAndReportsAll32Bits) {
    Machine machine;
    EXPECT_EQ(machine.exits_with(ExitReason::from_vmcs(0x0800'1234)), Next::stop);

    ASSERT_EQ(machine.watcher.stops.size(), 1u);
    const StopReport& report = machine.watcher.stops[0];
    EXPECT_EQ(report.reason, StopReason::unknown_exit_reason);
    EXPECT_EQ(report.exit.raw_reason, 0x0800'1234u);
    EXPECT_EQ(machine.vcpu.counters().unknown_reasons, 1u);
}

TEST(Capture, ReservedReasonsAreCountedOfWhateverKind) {
    for (const u16 number : {u16{35}, u16{38}, u16{42}, u16{82}, u16{83}}) {
        Machine machine;
        machine.enclave_exits(static_cast<BasicReason>(number));
        EXPECT_EQ(machine.count(Anomaly::reserved_reason), 1u) << number;
        EXPECT_EQ(machine.normal_exit(static_cast<BasicReason>(number), {.cpl = 3}), Next::resume);
        EXPECT_EQ(machine.count(Anomaly::reserved_reason), 2u) << number;
        expect_exception(machine.injected(), Vector::invalid_opcode);
        EXPECT_EQ(machine.normal_exit(static_cast<BasicReason>(number)), Next::stop);
        EXPECT_EQ(machine.vcpu.stop_report().reason, StopReason::reserved_exit_reason);
    }
}

TEST(Capture, A4_OnlyTheBasicReasonChoosesTheRow) {
    Machine machine;
    const ExitInfo info{.gpa = Gpa{0x5000}};
    EXPECT_EQ(machine.exits_with(ExitReason::from_vmcs(0x0c00'0030), info), Next::resume);
    EXPECT_EQ(machine.record().action, Action::mapped);
}

TEST(Capture, ReadsTheExitReasonOncePerExit) {
    Machine machine;
    machine.processor.reads.clear();
    machine.enclave_exits(BasicReason::ept_violation, {.gpa = Gpa{0x5000}});
    EXPECT_EQ(machine.processor.reads[VmcsField::exit_reason], 1u);
}

TEST(Capture, B1_TheFlagDoesNotOutliveItsExit) {
    Machine machine;
    machine.enclave_exits(BasicReason::external_interrupt);
    EXPECT_EQ(machine.record().kind, ExitKind::enclave);
    machine.normal_exit(BasicReason::external_interrupt);
    EXPECT_EQ(machine.record().kind, ExitKind::normal);
    EXPECT_EQ(machine.record().tcs, 0u);
    EXPECT_EQ(machine.anomalies(), 0u);
}

TEST(Capture, B2_T16_AFailedVmresumeAfterAnEnclaveExitHasNoReasonAndNoFlag) {
    Machine machine;
    machine.enclave_exits(BasicReason::external_interrupt);
    machine.processor.reads.clear();
    machine.processor.at(VmcsField::vm_instruction_error) = 7;
    machine.processor.entry_fails(EntryOutcome::vmfail_valid);
    EXPECT_EQ(machine.vcpu.run_once(), Next::stop);

    EXPECT_EQ(machine.processor.reads[VmcsField::exit_reason], 0u);
    EXPECT_EQ(machine.record().raw_reason, 0xdeadu);
    EXPECT_EQ(machine.record().kind, ExitKind::failed);
    EXPECT_FALSE(ExitReason::from_vmcs(machine.record().raw_reason).from_enclave());
    EXPECT_EQ(machine.vcpu.stop_report().reason, StopReason::vmfail);
    EXPECT_EQ(machine.vcpu.stop_report().detail, 7u);
    EXPECT_EQ(machine.vcpu.counters().vmfails, 1u);
}

TEST(Capture, B2_AFailedVmlaunchDoesNotCountAsLaunched) {
    Machine machine;
    machine.processor.entry_fails(EntryOutcome::vmfail_invalid);
    EXPECT_EQ(machine.vcpu.run_once(), Next::stop);
    EXPECT_EQ(machine.processor.entries, std::vector{EntryKind::launch});
    EXPECT_EQ(machine.processor.reads[VmcsField::vm_instruction_error], 0u);
}

TEST(Capture, TheFirstEntryLaunchesAndTheOthersResume) {
    Machine machine;
    machine.normal_exit(BasicReason::external_interrupt);
    machine.normal_exit(BasicReason::external_interrupt);
    EXPECT_EQ(machine.processor.entries, (std::vector{EntryKind::launch, EntryKind::resume}));
}

TEST(Capture, B3_B4_T17_AnEntryThatFailsHasNoFlagAndDeliversNothing) {
    Machine machine;
    machine.enclave_exits(BasicReason::external_interrupt);
    // What an earlier exit left there must not be taken for this one's.
    machine.processor.at(VmcsField::idt_vectoring_information) = external.to_raw();
    machine.processor.at(VmcsField::guest_interruptibility_state) = 0x10;
    EXPECT_EQ(machine.exits_with(ExitReason::from_vmcs(0x8000'0021)), Next::stop);

    EXPECT_EQ(machine.record().kind, ExitKind::failed);
    EXPECT_EQ(machine.record().raw_reason, 0x8000'0021u);
    EXPECT_EQ(machine.record().idt_vectoring, 0u);
    EXPECT_EQ(machine.record().injected, 0u);
    EXPECT_EQ(machine.vcpu.stop_report().reason, StopReason::entry_failed);
    EXPECT_EQ(machine.processor.decodes, 0u);
    EXPECT_EQ(machine.anomalies(), 0u);
}

TEST(Capture, B5_TheTypeOfAnExitHoldsUntilTheNextOne) {
    Machine machine;
    machine.enclave_exits(BasicReason::external_interrupt);
    EXPECT_FALSE(machine.vcpu.set_rip(RipCause::emulation, 0x1234));
    EXPECT_FALSE(machine.vcpu.set_rip(RipCause::skip, 0x1234));
    EXPECT_EQ(machine.processor.at(VmcsField::guest_rip), aep);
    EXPECT_EQ(machine.count(Anomaly::rip_write_refused), 2u);
    EXPECT_TRUE(machine.vcpu.set_rip(RipCause::reset, 0x1234));

    machine.normal_exit(BasicReason::external_interrupt);
    EXPECT_TRUE(machine.vcpu.set_rip(RipCause::emulation, 0x5678));
    EXPECT_EQ(machine.processor.at(VmcsField::guest_rip), 0x5678u);
}

TEST(Capture, T15_BusLockAndEnclaveAreBothRecordedAndTheGuestGoesOn) {
    Machine machine;
    EXPECT_EQ(machine.exits_with(ExitReason::from_vmcs(0x0c00'0030), {.gpa = epc_base}),
              Next::resume);
    EXPECT_EQ(machine.record().raw_reason, 0x0c00'0030u);
    EXPECT_EQ(machine.record().kind, ExitKind::enclave);
    EXPECT_EQ(machine.vcpu.counters().bus_locks, 1u);
}

TEST(Capture, T25_TheFlagWithoutInterruptibilityIsCountedAndTreatedAsAnEnclaves) {
    Machine machine;
    EXPECT_EQ(machine.enclave_exits(BasicReason::cpuid, {.interruptibility = 0}), Next::resume);
    EXPECT_EQ(machine.record().kind, ExitKind::enclave);
    EXPECT_EQ(machine.count(Anomaly::enclave_flag_without_interruptibility), 1u);
    EXPECT_FALSE(machine.processor.rip_was_written());
    expect_exception(machine.injected(), Vector::invalid_opcode);
}

TEST(Capture, InterruptibilityWithoutTheFlagIsCounted) {
    Machine machine;
    machine.normal_exit(BasicReason::external_interrupt, {.interruptibility = 0x10});
    EXPECT_EQ(machine.count(Anomaly::interruptibility_without_enclave_flag), 1u);
    EXPECT_EQ(machine.record().kind, ExitKind::normal);
}

TEST(Capture, AnInjectedDeliveryMayDisagreeAboutInterruptibilityAndHasALength) {
    Machine machine;
    machine.enclave_exits(BasicReason::exception_or_nmi, {.interruption = ud});
    // The re-injected #UD meets a missing stack page.
    machine.enclave_exits(
        BasicReason::ept_violation,
        {.gpa = Gpa{0x5008}, .length = 2, .idt_vectoring = ud, .interruptibility = 0});
    EXPECT_EQ(machine.record().kind, ExitKind::delivery);
    EXPECT_EQ(machine.anomalies(), 0u);
}

TEST(Capture, ALyingProcessorIsSeenThrough) {
    Machine machine;
    machine.enclave_exits(BasicReason::ept_violation,
                          {.gpa = Gpa{0x5123}, .length = 3, .cpl = 0, .rax = 7, .rcx = 0x1111});
    for (const Anomaly anomaly :
         {Anomaly::rax_is_not_eresume, Anomaly::rcx_is_not_rip, Anomaly::cpl_is_not_3,
          Anomaly::instruction_length_not_zero, Anomaly::page_offset_not_zero})
        EXPECT_EQ(machine.count(anomaly), 1u) << static_cast<int>(anomaly);
    EXPECT_EQ(machine.anomalies(), 5u);
}

TEST(Capture, AnHonestEnclaveExitIsNoAnomaly) {
    Machine machine;
    machine.enclave_exits(BasicReason::ept_violation, {.gpa = Gpa{0x5000}});
    EXPECT_EQ(machine.anomalies(), 0u);
}

TEST(Capture, WithoutCaptureTheRawNumberMatchesNoRowAndTheGuestIsStopped) {
    Machine machine{without(Protection::capture)};
    EXPECT_EQ(machine.enclave_exits(BasicReason::vmx_preemption_timer_expired), Next::stop);
    EXPECT_EQ(machine.vcpu.stop_report().reason, StopReason::unknown_exit_reason);
    EXPECT_EQ(machine.vcpu.stop_report().detail, 0x0800'0034u);
    EXPECT_EQ(machine.vcpu.stop_report().exit.raw_reason, 0x0800'0034u);
}

TEST(Capture, WithoutCaptureExitsOutsideEnclavesStillMatch) {
    Machine machine{without(Protection::capture)};
    EXPECT_EQ(machine.normal_exit(BasicReason::vmx_preemption_timer_expired), Next::resume);
}

TEST(Capture, TheRecordSaysAepAndTcs) {
    Machine machine;
    machine.enclave_exits(BasicReason::ept_violation,
                          {.gpa = epc_base, .gla = Gva{0x7f00'0000'5000}, .qualification = 0x181});
    const ExitRecord& record = machine.record();
    EXPECT_EQ(record.rip_or_aep, aep);
    EXPECT_EQ(record.rip_after, aep);
    EXPECT_EQ(record.tcs, tcs);
    EXPECT_EQ(record.rax, 3u);
    EXPECT_EQ(record.rcx, aep);
    EXPECT_EQ(record.qualification, 0x181u);
    EXPECT_EQ(record.guest_linear, 0x7f00'0000'5000u);
    EXPECT_EQ(record.guest_physical, epc_base.raw());
    EXPECT_EQ(record.interruptibility_before, 0x10u);
    EXPECT_EQ(record.interruptibility_after, 0x10u);
    EXPECT_EQ(record.action, Action::mapped);
    EXPECT_EQ(machine.watcher.records.size(), 1u);
    EXPECT_EQ(machine.watcher.records[0], record);
}

}  // namespace
}  // namespace postern::hv::test
