// SPDX-License-Identifier: Apache-2.0
// Events: exceptions that exit, deliveries that exit, injection. Checklist G, vectors T5, T6, T8,
// T9, T24, with what happens without the type and without telling deliveries apart.
#include "hv/inject.h"

#include "tests/support/fake_port.h"

namespace postern::hv::test {
namespace {

using Info = InterruptionInformation;

constexpr Info external = Info::external(0x40);
constexpr Info bp = Info::hardware_exception(Vector::breakpoint);
constexpr Info pf = Info::hardware_exception(Vector::page_fault);
constexpr Info df = Info::hardware_exception(Vector::double_fault);

constexpr Event event_of(Info information, u32 error_code = 0) { return {information, error_code}; }

// Two events at once, by SDM 3A's table.
static_assert(merge({}, event_of(pf, 2)).event.information == pf);
static_assert(merge(event_of(pf), event_of(pf)).event.information == df);
static_assert(merge(event_of(pf), event_of(Info::hardware_exception(Vector::general_protection)))
                  .event.information == df);
static_assert(merge(event_of(Info::hardware_exception(Vector::general_protection)), event_of(pf))
                  .event.information == pf);
static_assert(merge(event_of(df), event_of(pf)).triple_fault);
static_assert(!merge(event_of(pf), event_of(bp)).triple_fault);
static_assert(merge(event_of(pf), event_of(bp)).event.information == bp);
static_assert(merge(event_of(external), event_of(pf)).event.information == pf);
static_assert(merge(event_of(external), event_of(pf)).first_waits);
static_assert(merge(event_of(Info::nmi()), event_of(pf)).first_waits);
static_assert(!merge(event_of(Info::software_interrupt(0x80)), event_of(pf)).first_waits);

// The type travels with the event; only without the protection it is made from the vector.
constexpr Protections no_type = all_protections.with(Protection::bp_type, false);
constexpr Info soft_bp = Info::software_exception(Vector::breakpoint);
static_assert(entry_information(event_of(bp), all_protections) == bp);
static_assert(entry_information(event_of(soft_bp), all_protections) == soft_bp);
static_assert(entry_information(event_of(bp), no_type) == soft_bp);
static_assert(entry_information(event_of(pf), no_type) == pf);
static_assert(entry_information(event_of(external), no_type) == external);

// What only an exit defines is not injected.
static_assert(event_from_exit(pf.with_nmi_unblocking(), 6, 0).information == pf);
static_assert(event_from_exit(pf, 6, 0).error_code == 6);
static_assert(event_from_exit(bp, 6, 0).error_code == 0);

// What VM entry takes.
static_assert(is_injectable(event_of(pf, 0x8007)));
static_assert(is_injectable(event_of(external)) && is_injectable(event_of(Info::nmi())));
static_assert(is_injectable({Info::software_interrupt(0x80), 0, 2}));
static_assert(!is_injectable({Info::software_interrupt(0x80), 0, 0}));
static_assert(!is_injectable({Info::software_interrupt(0x80), 0, 16}));
static_assert(!is_injectable(event_of(pf, 0x1'0000)));
static_assert(!is_injectable(event_of(Info::hardware_exception(Vector::page_fault, false))));
static_assert(!is_injectable(event_of(Info::hardware_exception(Vector::invalid_opcode, true))));
static_assert(!is_injectable(event_of(Info::of(InterruptionType::hardware_exception, 32))));
static_assert(!is_injectable(event_of(Info::of(InterruptionType::nmi, 3))));
static_assert(!is_injectable(event_of(Info::from_raw(0x8000'0100))));
static_assert(!is_injectable(event_of(Info::pending_mtf())));
static_assert(!is_injectable(event_of(external.with_nmi_unblocking())));
static_assert(is_injectable(event_of(Info::hardware_exception(Vector::page_fault, false)), false));
static_assert(merge(event_of(external), {}).event.information == external);

TEST(EnclaveEvents, T8_AnInterceptedUdIsInjectedAgainAndTheAepIsNotLookedAt) {
    Machine machine;
    const Info ud = Info::hardware_exception(Vector::invalid_opcode);
    // UD2, "kvm", CPUID: what KVM takes for an order to emulate.
    machine.write_bytes(aep, {0x0f, 0x0b, 0x6b, 0x76, 0x6d, 0x0f, 0xa2});
    EXPECT_EQ(machine.enclave_exits(BasicReason::exception_or_nmi, {.interruption = ud}),
              Next::resume);
    EXPECT_EQ(machine.processor.page_uses[guest_ram_host + aep], 0u);
    EXPECT_EQ(machine.processor.decodes, 0u);
    EXPECT_FALSE(machine.processor.rip_was_written());
    EXPECT_EQ(machine.vcpu.counters().reinjected, 1u);
    EXPECT_EQ(machine.vcpu.counters().injected_ud, 0u);
    expect_exception(machine.injected(), Vector::invalid_opcode);
}

TEST(EnclaveEvents, T23_AnInterceptedUdUnderTheTrapFlagIsOnlyUd) {
    Machine machine;
    const Info ud = Info::hardware_exception(Vector::invalid_opcode);
    machine.enclave_exits(BasicReason::exception_or_nmi, {.interruption = ud, .rflags = 0x102});
    EXPECT_EQ(machine.processor.writes_of(VmcsField::guest_pending_debug_exceptions), 0u);
    expect_exception(machine.injected(), Vector::invalid_opcode);
    EXPECT_FALSE(machine.injected().has_value());
}

TEST(EnclaveEvents, T9_G4_AnEnclavesBpStaysOfType3WithoutALength) {
    Machine machine;
    EXPECT_EQ(machine.enclave_exits(BasicReason::exception_or_nmi, {.interruption = bp}),
              Next::resume);
    const auto event = machine.injected();
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event.information.to_raw(), 0x8000'0303u);
    EXPECT_EQ(machine.processor.writes_of(VmcsField::vm_entry_instruction_length), 0u);
}

TEST(EnclaveEvents, Int1OfADebugEnclaveIsInjectedAsAHardwareExceptionWithoutALength) {
    Machine machine;
    const Info int1 = Info::from_raw(0x8000'0501);
    EXPECT_EQ(machine.enclave_exits(BasicReason::exception_or_nmi, {.interruption = int1}),
              Next::resume);
    const auto event = machine.injected();
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event.information.to_raw(), 0x8000'0301u);
    EXPECT_EQ(machine.processor.writes_of(VmcsField::vm_entry_instruction_length), 0u);
}

TEST(EnclaveEvents, T9_G4_WithoutTheTypeTheBpBecomesType6AndTheEntryFails) {
    Machine machine{without(Protection::bp_type)};
    machine.enclave_exits(BasicReason::exception_or_nmi, {.interruption = bp});
    EXPECT_EQ(machine.record().injected, 0x8000'0603u);
    EXPECT_EQ(machine.vcpu.run_once(), Next::stop);
    EXPECT_EQ(machine.vcpu.stop_report().reason, StopReason::vmfail);
    EXPECT_EQ(machine.vcpu.stop_report().detail, 7u);
}

TEST(EnclaveEvents, G4_ABpWhoseDeliveryWasInterruptedIsDeliveredAgainWithItsType) {
    Machine machine;
    machine.enclave_exits(BasicReason::ept_violation, {.gpa = Gpa{0x7fff8}, .idt_vectoring = bp});
    const auto event = machine.injected();
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event.information, bp);
}

TEST(EnclaveEvents, ABpOutsideAnEnclaveKeepsType6AndItsLength) {
    Machine machine;
    machine.normal_exit(BasicReason::exception_or_nmi, {.length = 1, .interruption = soft_bp});
    const auto event = machine.injected();
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event.information, soft_bp);
    EXPECT_EQ(event.instruction_length, 1u);
}

TEST(EnclaveEvents, APageFaultIsInjectedWithItsErrorCodeAndCr2) {
    Machine machine;
    machine.enclave_exits(
        BasicReason::exception_or_nmi,
        {.qualification = 0x7f00'0000'5000, .interruption = pf, .error_code = 0x8007});
    EXPECT_EQ(machine.vcpu.registers().cr2, 0x7f00'0000'5000u);
    expect_exception(machine.injected(), Vector::page_fault, 0x8007);
}

TEST(EnclaveEvents, ADbIsInjectedAndDr6SaysWhy) {
    Machine machine;
    machine.processor.dr[6] = 0xffff'0ff2;
    const Info db = Info::hardware_exception(Vector::debug);
    machine.enclave_exits(BasicReason::exception_or_nmi,
                          {.qualification = 0x4001, .interruption = db});
    EXPECT_EQ(machine.processor.dr[6], 0xffff'4ff1u);
    expect_exception(machine.injected(), Vector::debug);
}

TEST(EnclaveEvents, AnNmiIsTheHostsOutsideAndDuringADeliveryToo) {
    Machine machine;
    machine.normal_exit(BasicReason::exception_or_nmi, {.interruption = Info::nmi()});
    EXPECT_EQ(machine.record().action, Action::acknowledged);
    EXPECT_FALSE(machine.injected().has_value());
    machine.enclave_exits(BasicReason::exception_or_nmi,
                          {.interruption = Info::nmi(), .idt_vectoring = external});
    const auto event = machine.injected();
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event.information, external);
}

TEST(EnclaveEvents, AnNmiIsTheHosts) {
    Machine machine;
    EXPECT_EQ(machine.enclave_exits(BasicReason::exception_or_nmi, {.interruption = Info::nmi()}),
              Next::resume);
    EXPECT_EQ(machine.record().action, Action::retried);
    EXPECT_FALSE(machine.injected().has_value());
}

TEST(Delivery, T5_AMissingStackPageIsMappedAndTheInterruptDeliveredAgain) {
    Machine machine;
    EXPECT_EQ(machine.enclave_exits(BasicReason::ept_violation,
                                    {.gpa = Gpa{0x7fff8}, .idt_vectoring = external}),
              Next::resume);
    EXPECT_TRUE(machine.vm.ept().is_mapped(Gpa{0x7f000}));
    EXPECT_EQ(machine.record().kind, ExitKind::delivery);
    EXPECT_EQ(machine.record().action, Action::redelivered);
    EXPECT_EQ(machine.vcpu.counters().delivery_incidents, 1u);
    const auto event = machine.injected();
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event.information, external);
}

TEST(Delivery, T5_WithoutTellingDeliveriesApartTheInterruptIsLost) {
    Machine machine{without(Protection::delivery)};
    EXPECT_EQ(machine.enclave_exits(BasicReason::ept_violation,
                                    {.gpa = Gpa{0x7f000}, .idt_vectoring = external}),
              Next::resume);
    EXPECT_FALSE(machine.injected().has_value());
}

TEST(Delivery, T6_OntoADeviceStopsTheGuestWithTheOriginalEventReported) {
    for (const auto reason : {BasicReason::ept_misconfiguration, BasicReason::ept_violation}) {
        Machine machine;
        EXPECT_EQ(
            machine.enclave_exits(reason, {.gpa = doorbell + 0xff8, .idt_vectoring = external}),
            Next::stop);
        ASSERT_EQ(machine.watcher.stops.size(), 1u);
        const StopReport& report = machine.watcher.stops[0];
        EXPECT_EQ(report.reason, StopReason::delivery_onto_device);
        EXPECT_EQ(report.exit.idt_vectoring, external.to_raw());
        EXPECT_EQ(report.exit.guest_physical, doorbell.raw() + 0xff8);
        EXPECT_TRUE(machine.devices.touches.empty());
        EXPECT_EQ(machine.processor.decodes, 0u);
    }
}

TEST(Delivery, T6_WithoutTellingDeliveriesApartUdReplacesTheInterrupt) {
    Machine machine{without(Protection::delivery)};
    EXPECT_EQ(machine.enclave_exits(BasicReason::ept_misconfiguration,
                                    {.gpa = doorbell, .idt_vectoring = external}),
              Next::resume);
    expect_exception(machine.injected(), Vector::invalid_opcode);
    EXPECT_FALSE(machine.injected().has_value()) << "the interrupt is gone";
}

TEST(Delivery, G1_ADoubleFaultThatExitsCarriesTheFlagAndIsInjected) {
    Machine machine;
    EXPECT_EQ(machine.enclave_exits(BasicReason::exception_or_nmi, {.interruption = df}),
              Next::resume);
    EXPECT_EQ(machine.record().kind, ExitKind::delivery);
    expect_exception(machine.injected(), Vector::double_fault, 0);
}

TEST(Delivery, G1_T24_ATripleFaultStopsTheGuestAndIsRecordedWithTheFlag) {
    Machine machine;
    EXPECT_EQ(machine.enclave_exits(BasicReason::triple_fault), Next::stop);
    EXPECT_EQ(machine.record().raw_reason, 0x0800'0002u);
    EXPECT_EQ(machine.record().kind, ExitKind::delivery);
    EXPECT_EQ(machine.vcpu.stop_report().reason, StopReason::triple_fault);
    EXPECT_EQ(machine.vcpu.counters().triple_faults, 1u);
    EXPECT_EQ(machine.vcpu.run_once(), Next::stop) << "it stays stopped";
}

TEST(Delivery, AnExceptionMetByAnInterruptGoesFirstAndTheInterruptWaits) {
    Machine machine;
    machine.enclave_exits(
        BasicReason::exception_or_nmi,
        {.qualification = 0x5008, .interruption = pf, .error_code = 2, .idt_vectoring = external});
    expect_exception(machine.injected(), Vector::page_fault, 2);
    // Interrupts are off in the handler: a window is asked for, nothing is injected.
    EXPECT_FALSE(machine.injected().has_value());
    const auto window = PrimaryControl::interrupt_window_exiting;
    const auto primary = [&] {
        return PrimaryControls::from_raw(
            static_cast<u32>(machine.processor.at(VmcsField::primary_processor_based_controls)));
    };
    EXPECT_TRUE(primary().has(window));
    machine.normal_exit(BasicReason::interrupt_window, {.rflags = 0x202});
    EXPECT_FALSE(primary().has(window));
    const auto event = machine.injected();
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event.information, external);
}

TEST(Delivery, APageFaultMetByAPageFaultBecomesADoubleFault) {
    Machine machine;
    machine.enclave_exits(BasicReason::exception_or_nmi,
                          {.interruption = pf, .error_code = 2, .idt_vectoring = pf});
    expect_exception(machine.injected(), Vector::double_fault, 0);
}

TEST(Delivery, APageFaultMetByADoubleFaultIsATripleFault) {
    Machine machine;
    EXPECT_EQ(machine.enclave_exits(BasicReason::exception_or_nmi,
                                    {.interruption = pf, .error_code = 2, .idt_vectoring = df}),
              Next::stop);
    EXPECT_EQ(machine.vcpu.stop_report().reason, StopReason::triple_fault);
}

TEST(Delivery, AnInterruptedNmiIsDeliveredAgainWithNmisUnblocked) {
    Machine machine;
    machine.enclave_exits(
        BasicReason::ept_violation,
        {.gpa = Gpa{0x7f010}, .idt_vectoring = Info::nmi(), .interruptibility = 0x18});
    EXPECT_EQ(machine.processor.at(VmcsField::guest_interruptibility_state), 0x10u);
    const auto event = machine.injected();
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event.information, Info::nmi());
}

TEST(Delivery, OutsideEnclavesTheEventIsDeliveredAgainToo) {
    Machine machine;
    machine.normal_exit(
        BasicReason::ept_violation,
        {.gpa = Gpa{0x7fff8}, .length = 2, .idt_vectoring = Info::software_interrupt(0x80)});
    const auto event = machine.injected();
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event.information, Info::software_interrupt(0x80));
    EXPECT_EQ(event.instruction_length, 2u);
}

TEST(Delivery, OutsideEnclavesADeviceUnderTheStackStopsTheGuestToo) {
    Machine machine;
    EXPECT_EQ(machine.normal_exit(BasicReason::ept_misconfiguration,
                                  {.gpa = doorbell, .idt_vectoring = external}),
              Next::stop);
    EXPECT_EQ(machine.vcpu.stop_report().reason, StopReason::delivery_onto_device);
    EXPECT_TRUE(machine.devices.touches.empty());
}

TEST(Delivery, AnEventThatNoEntryTakesStopsTheGuest) {
    for (const Info event : {Info::from_raw(0x8000'0120), Info::of(InterruptionType::nmi, 9),
                             Info::software_interrupt(0x80)}) {
        Machine machine;
        EXPECT_EQ(machine.enclave_exits(BasicReason::ept_violation,
                                        {.gpa = Gpa{0x7fff8}, .idt_vectoring = event}),
                  Next::stop);
        EXPECT_EQ(machine.vcpu.stop_report().reason, StopReason::delivery_failed);
        EXPECT_EQ(machine.vcpu.stop_report().detail, event.to_raw());
        EXPECT_EQ(machine.record().action, Action::stopped);
    }
}

TEST(Delivery, AnInterruptThatTheGuestCannotTakeWaits) {
    Machine machine;
    EXPECT_EQ(
        machine.enclave_exits(BasicReason::ept_violation,
                              {.gpa = Gpa{0x7fff8}, .idt_vectoring = external, .rflags = 0x2}),
        Next::resume);
    EXPECT_EQ(machine.record().injected, 0u);
    EXPECT_FALSE(machine.injected().has_value());
    machine.normal_exit(BasicReason::interrupt_window, {.rflags = 0x202});
    const auto event = machine.injected();
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event.information, external);
}

TEST(Delivery, AnNmiWaitsBehindBlockingByMovSs) {
    Machine machine;
    machine.normal_exit(
        BasicReason::ept_violation,
        {.gpa = Gpa{0x7fff8}, .idt_vectoring = Info::nmi(), .interruptibility = 0xa});
    EXPECT_EQ(machine.record().injected, 0u);
    machine.normal_exit(BasicReason::external_interrupt);
    const auto event = machine.injected();
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event.information, Info::nmi());
}

TEST(Injection, ASingleStepTrapBehindStiIsInjectedWithBsAsTheEntryInsists) {
    Machine machine;
    const Info db = Info::hardware_exception(Vector::debug);
    machine.normal_exit(
        BasicReason::ept_violation,
        {.gpa = Gpa{0x2010}, .idt_vectoring = db, .interruptibility = 1, .rflags = 0x302});
    machine.processor.writes.clear();
    expect_exception(machine.injected(), Vector::debug);
    EXPECT_EQ(machine.processor.writes_of(VmcsField::guest_pending_debug_exceptions), 1u);
    EXPECT_EQ(machine.processor.at(VmcsField::guest_pending_debug_exceptions), 0x4000u);
}

TEST(Injection, InRealAddressModeNoExceptionHasAnErrorCode) {
    Machine machine;
    machine.processor.at(VmcsField::guest_cr0) = 0x20;
    machine.normal_exit(BasicReason::rdmsr, {.length = 2, .rcx = 0x480});
    const auto event = machine.injected();
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event.information.to_raw(), 0x8000'030du);

    const Info gp = Info::hardware_exception(Vector::general_protection, false);
    EXPECT_EQ(machine.normal_exit(BasicReason::exception_or_nmi, {.interruption = gp}),
              Next::resume);
    EXPECT_EQ(machine.record().injected, 0x8000'030du);
}

TEST(Injection, AnEventIsInjectedOnce) {
    Machine machine;
    machine.enclave_exits(BasicReason::ept_misconfiguration, {.gpa = doorbell});
    EXPECT_TRUE(machine.injected().has_value());
    EXPECT_FALSE(machine.injected().has_value());
}

TEST(Injection, AQueuedInterruptIsDeliveredWhenTheGuestCanTakeIt) {
    Machine machine;
    machine.normal_exit(BasicReason::external_interrupt, {.rflags = 0x202});
    EXPECT_TRUE(machine.vcpu.queue_interrupt(0x31));
    EXPECT_FALSE(machine.vcpu.queue_interrupt(0x32));
    const auto event = machine.injected();
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event.information, Info::external(0x31));
}

}  // namespace
}  // namespace postern::hv::test
