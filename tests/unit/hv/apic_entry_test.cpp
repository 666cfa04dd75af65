// SPDX-License-Identifier: Apache-2.0
// Interrupts and NMIs on their way into the guest: with the processor's APIC virtualization, with
// its TPR shadow alone, and with neither.
#include "arch/vmx/exit_qualification.h"
#include "arch/vmx/msr_bitmap.h"
#include "tests/unit/hv/apic_machine.h"

namespace postern::hv::test {
namespace {

using Info = InterruptionInformation;

constexpr Info pf = Info::hardware_exception(Vector::page_fault);

class Injecting : public ::testing::TestWithParam<Way> {};
INSTANTIATE_TEST_SUITE_P(ByUs, Injecting, ::testing::Values(Way::emulated, Way::shadow));

TEST_P(Injecting, AnInterruptIsTakenFromTheRequestsWhenItGoesIn) {
    ApicMachine machine{GetParam()};
    machine.expect_nothing();
    machine.message(0x41);
    machine.expect_interrupt(0x41);
    EXPECT_EQ(machine.vcpu->apic().in_service(), 0x41);
    EXPECT_EQ(machine.vcpu->apic().requested(), -1);
    machine.expect_nothing();
}

TEST_P(Injecting, WhereItCannotGoInItStaysRequestedAndAWindowIsAskedFor) {
    const ExitInfo blocked[] = {
        {.rflags = 0x2},
        {.interruptibility = 1, .rflags = interrupts_on},
        {.interruptibility = 2, .rflags = interrupts_on},
    };
    for (const ExitInfo& info : blocked) {
        ApicMachine machine{GetParam()};
        machine.exits(BasicReason::external_interrupt, info);
        machine.message(0x41);
        machine.expect_nothing(info);
        EXPECT_EQ(machine.vcpu->apic().requested(), 0x41);
        EXPECT_TRUE(machine.has(PrimaryControl::interrupt_window_exiting));
        machine.exits(BasicReason::interrupt_window, {.rflags = interrupts_on});
        machine.expect_interrupt(0x41);
        EXPECT_FALSE(machine.has(PrimaryControl::interrupt_window_exiting));
    }
}

TEST_P(Injecting, ManyThatWaitGoInByPriorityAndAfterOneAnother) {
    ApicMachine machine{GetParam()};
    machine.exits(BasicReason::external_interrupt, {.rflags = 0x2});
    for (const u8 vector : {u8{0x41}, u8{0x62}, u8{0x61}, u8{0x41}}) machine.message(vector);
    machine.expect_nothing({.rflags = 0x2});
    machine.exits(BasicReason::interrupt_window, {.rflags = interrupts_on});
    machine.expect_interrupt(0x62);
    machine.expect_nothing();  // 61H is of the class that is served
    machine.put(apic::reg_end_of_interrupt, 0);
    machine.exits(BasicReason::apic_write,
                  {.qualification = apic::reg_end_of_interrupt << 4, .rflags = interrupts_on});
    machine.expect_interrupt(0x61);
    EXPECT_EQ(machine.vcpu->apic().requested(), 0x41);
}

TEST(TaskPriority, WithoutAShadowCr8ExitsAndHoldsBack) {
    ApicMachine machine{Way::emulated};
    EXPECT_TRUE(machine.has(PrimaryControl::cr8_load_exiting));
    EXPECT_TRUE(machine.has(PrimaryControl::cr8_store_exiting));
    EXPECT_FALSE(machine.has(PrimaryControl::use_tpr_shadow));
    machine.set_cr8(4);
    machine.message(0x4f);
    machine.expect_nothing();
    EXPECT_FALSE(machine.has(PrimaryControl::interrupt_window_exiting));
    machine.exits(BasicReason::control_register_access,
                  {.qualification = CrAccess::mov_from(8, rsi).to_raw(),
                   .length = 4,
                   .rflags = interrupts_on});
    EXPECT_EQ(machine.vcpu->registers().gpr[rsi], 4u);
    machine.set_cr8(3);
    machine.expect_interrupt(0x4f);
    machine.set_cr8(16);
    EXPECT_EQ(machine.vcpu->last_exit().injected, 0x8000'0b0du);
}

TEST(TaskPriority, WithAShadowItsThresholdTellsWhenItFalls) {
    ApicMachine machine{Way::shadow};
    EXPECT_FALSE(machine.has(PrimaryControl::cr8_load_exiting));
    EXPECT_TRUE(machine.has(PrimaryControl::use_tpr_shadow));
    EXPECT_FALSE(machine.has(SecondaryControl::virtualize_apic_accesses));
    machine.put(apic::reg_task_priority, 0x60);
    machine.message(0x4f);
    machine.expect_nothing();
    EXPECT_EQ(machine.processor.at(VmcsField::tpr_threshold), 4u);
    EXPECT_EQ(machine.exits(BasicReason::tpr_below_threshold, {.rflags = interrupts_on}),
              Next::resume);
    machine.put(apic::reg_task_priority, 0x30);  // what made it exit
    machine.expect_interrupt(0x4f);
    EXPECT_EQ(machine.processor.at(VmcsField::tpr_threshold), 0u);
    machine.message(0x4e);  // what is in service holds it back, not the task
    machine.expect_nothing();
    EXPECT_EQ(machine.processor.at(VmcsField::tpr_threshold), 0u);
}

TEST(VirtualInterruptDelivery, IsLeftToTheProcessor) {
    ApicMachine machine{Way::whole};
    EXPECT_TRUE(machine.has(SecondaryControl::virtual_interrupt_delivery));
    EXPECT_TRUE(machine.has(SecondaryControl::apic_register_virtualization));
    EXPECT_TRUE(machine.has(SecondaryControl::virtualize_apic_accesses));
    EXPECT_FALSE(machine.has(SecondaryControl::virtualize_x2apic_mode));
    machine.message(0x41);
    machine.message(0x52);
    machine.expect_nothing({.rflags = 0x2});
    EXPECT_EQ(machine.processor.at(VmcsField::guest_interrupt_status), 0x52u);
    EXPECT_FALSE(machine.has(PrimaryControl::interrupt_window_exiting));
}

TEST(VirtualInterruptDelivery, TheEndOfALevelExitsAndReachesTheIoApics) {
    ApicMachine machine{Way::whole};
    machine.message(0x61, true);
    machine.message(0xa5, true);
    machine.message(0x62);
    machine.expect_nothing();
    EXPECT_EQ(machine.processor.at(VmcsField::eoi_exit_bitmap_0), 0u);
    EXPECT_EQ(machine.processor.at(VmcsField::eoi_exit_bitmap_1), u64{1} << 0x21);
    EXPECT_EQ(machine.processor.at(VmcsField::eoi_exit_bitmap_2), u64{1} << 0x25);
    machine.exits(BasicReason::virtualized_eoi, {.qualification = 0xa5});
    EXPECT_EQ(machine.devices.ends, std::vector<u8>{0xa5});
    machine.message(0xa5);  // an edge this time
    machine.expect_nothing();
    EXPECT_EQ(machine.processor.at(VmcsField::eoi_exit_bitmap_2), 0u);
}

TEST(VirtualInterruptDelivery, AnInterruptedOneIsInjectedAgainAndStaysInService) {
    ApicMachine machine{Way::whole};
    machine.message(0x41);
    machine.expect_nothing();
    // The processor has taken it, and met a page that is not mapped.
    machine.put(apic::reg_requested + 2, 0);
    machine.put(apic::reg_in_service + 2, 2);
    machine.exits(
        BasicReason::ept_violation,
        {.gpa = Gpa{0x7fff8}, .qualification = 0x182, .idt_vectoring = Info::external(0x41)});
    machine.expect_interrupt(0x41);
    EXPECT_EQ(machine.processor.at(VmcsField::guest_interrupt_status), 0x4100u);
}

class EveryWay : public ::testing::TestWithParam<Way> {};
INSTANTIATE_TEST_SUITE_P(Apic, EveryWay, ::testing::Values(Way::emulated, Way::shadow, Way::whole));

TEST_P(EveryWay, AnExceptionGoesBeforeAnInterruptedInterruptWhichIsRequestedAgain) {
    ApicMachine machine{GetParam()};
    machine.message(0x41);
    machine.injected();
    machine.put(apic::reg_requested + 2, 0);
    machine.put(apic::reg_in_service + 2, 2);
    machine.exits(BasicReason::exception_or_nmi, {.qualification = 0x5008,
                                                  .interruption = pf,
                                                  .error_code = 2,
                                                  .idt_vectoring = Info::external(0x41)});
    EXPECT_EQ(machine.vcpu->apic().requested(), 0x41);
    EXPECT_EQ(machine.vcpu->apic().in_service(), -1);
    const Injected event = machine.injected({.rflags = 0x2});
    EXPECT_EQ(event.information, pf);
    EXPECT_EQ(machine.vcpu->apic().requested(), 0x41);
}

TEST_P(EveryWay, The8259sVectorIsFetchedOnlyWhenItGoesIn) {
    ApicMachine machine{GetParam()};
    machine.devices.external_vector = 0x31;
    machine.exits(BasicReason::external_interrupt, {.rflags = 0x2});
    machine.vm->set_external(true);
    machine.expect_nothing({.rflags = 0x2});
    EXPECT_TRUE(machine.has(PrimaryControl::interrupt_window_exiting));
    machine.devices.external_vector = 0x32;
    machine.exits(BasicReason::interrupt_window, {.rflags = interrupts_on});
    const Injected event = [&] {
        machine.vm->set_external(true);
        machine.exits(BasicReason::external_interrupt, {.rflags = 0x2});
        return machine.processor.injections.back();
    }();
    EXPECT_EQ(event.information, Info::external(0x32));
    EXPECT_EQ(machine.vcpu->apic().in_service(), -1);
    machine.vm->set_external(false);
    machine.expect_nothing({.rflags = 0x2});
    EXPECT_FALSE(machine.has(PrimaryControl::interrupt_window_exiting));
}

TEST_P(EveryWay, AnNmiGoesInOnceAndBehindAnotherItWaitsForItsWindow) {
    ApicMachine machine{GetParam()};
    machine.message(0, false, DeliveryMode::nmi);
    EXPECT_EQ(machine.injected().information, Info::nmi());
    machine.expect_nothing();
    const ExitInfo in_handler{.interruptibility = 8, .rflags = interrupts_on};
    machine.exits(BasicReason::external_interrupt, in_handler);
    machine.message(0, false, DeliveryMode::nmi);
    machine.expect_nothing(in_handler);
    EXPECT_TRUE(machine.has(PrimaryControl::nmi_window_exiting));
    machine.exits(BasicReason::nmi_window, {.rflags = interrupts_on});
    EXPECT_EQ(machine.injected().information, Info::nmi());
    EXPECT_FALSE(machine.has(PrimaryControl::nmi_window_exiting));
}

/// Entry with an interrupt or an NMI would drop the trap.
TEST_P(EveryWay, ASingleStepTrapOfOursGoesBeforeWhatWaits) {
    constexpr u64 stepping = interrupts_on | 0x100;
    for (const bool nmi : {false, true}) {
        ApicMachine machine{GetParam()};
        machine.exits(BasicReason::cpuid, {.length = 2, .rflags = stepping});
        if (nmi)
            machine.message(0, false, DeliveryMode::nmi);
        else
            EXPECT_TRUE(machine.vcpu->queue_interrupt(0x41));
        const u64 pending = machine.processor.at(VmcsField::guest_pending_debug_exceptions);
        EXPECT_EQ(pending, PendingDebugExceptions{PendingDebug::bs}.to_raw());
        machine.expect_nothing({.rflags = interrupts_on});
        EXPECT_TRUE(machine.has(nmi ? PrimaryControl::nmi_window_exiting
                                    : PrimaryControl::interrupt_window_exiting));
        machine.processor.at(VmcsField::guest_pending_debug_exceptions) = 0;
        EXPECT_TRUE(machine.injected().has_value());
    }
}

TEST_P(EveryWay, NmisAreVirtualOnes) {
    ApicMachine machine{GetParam()};
    const auto pin = PinControls::from_raw(
        static_cast<u32>(machine.processor.at(VmcsField::pin_based_controls)));
    EXPECT_TRUE(pin.has_all({PinControl::nmi_exiting, PinControl::virtual_nmis}));
}

TEST_P(EveryWay, AnNmiAndAnInterruptThatWaitGoInInThatOrder) {
    ApicMachine machine{GetParam()};
    machine.exits(BasicReason::external_interrupt, {.rflags = interrupts_on});
    EXPECT_TRUE(machine.vcpu->queue_interrupt(0x41));
    machine.message(0, false, DeliveryMode::nmi);
    EXPECT_EQ(machine.injected().information, Info::nmi());
    machine.expect_interrupt(0x41);
}

TEST_P(EveryWay, AnIretThatRunsAgainFindsNmisBlockedAsBefore) {
    constexpr u64 unblocked = 1u << 12;
    ApicMachine machine{GetParam()};
    machine.exits(BasicReason::ept_violation,
                  {.gpa = Gpa{0x7fff8}, .qualification = 0x181 | unblocked});
    EXPECT_EQ(machine.processor.at(VmcsField::guest_interruptibility_state), 8u);
    // Its own fault is delivered with NMIs unblocked, as without a hypervisor.
    machine.exits(BasicReason::exception_or_nmi,
                  {.qualification = 0x5008, .interruption = pf.with_nmi_unblocking()});
    EXPECT_EQ(machine.processor.at(VmcsField::guest_interruptibility_state), 0u);
}

TEST_P(EveryWay, TheTimerIsThePortsAndItsInterruptArrives) {
    ApicMachine machine{GetParam()};
    ASSERT_TRUE(machine.wrmsr(0x1b, 0xfee0'0d00));
    ASSERT_TRUE(machine.wrmsr(0x832, 0x4'0044));
    EXPECT_EQ(machine.processor.timer, VirtualApic::never);
    const u64 due = machine.processor.now + 10'000;
    ASSERT_TRUE(machine.wrmsr(0x6e0, due));
    machine.expect_nothing();
    EXPECT_EQ(machine.processor.timer, due);
    machine.processor.now = due;
    machine.injected();
    const bool whole = GetParam() == Way::whole;
    EXPECT_EQ(whole ? machine.vcpu->apic().requested() : machine.vcpu->apic().in_service(), 0x44);
}

TEST_P(EveryWay, AHaltEndsWithWhatTheGuestWouldTake) {
    ApicMachine machine{GetParam()};
    const ExitInfo halt{.length = 1, .rflags = interrupts_on};
    EXPECT_EQ(machine.exits(BasicReason::hlt, halt), Next::halt);
    EXPECT_FALSE(machine.vcpu->wants_to_run());
    EXPECT_EQ(machine.vcpu->run_once(), Next::halt);
    EXPECT_TRUE(machine.processor.kicks.empty());
    machine.message(0x41);
    EXPECT_EQ(machine.processor.kicks, std::vector<unsigned>{0});
    EXPECT_TRUE(machine.vcpu->wants_to_run());
    machine.injected();
    EXPECT_EQ(machine.exits(BasicReason::hlt, {.length = 1, .rflags = 0x2}), Next::halt);
    machine.message(0x91);
    EXPECT_FALSE(machine.vcpu->wants_to_run());
    machine.message(0, false, DeliveryMode::nmi);
    EXPECT_TRUE(machine.vcpu->wants_to_run());
    EXPECT_EQ(machine.injected().information, Info::nmi());
}

TEST_P(EveryWay, AHaltWithAnInterruptOnItsWayIsNone) {
    ApicMachine machine{GetParam()};
    machine.exits(BasicReason::external_interrupt, {.rflags = 0x2});
    machine.message(0x41);
    EXPECT_EQ(machine.exits(BasicReason::hlt,
                            {.length = 1, .interruptibility = 1, .rflags = interrupts_on}),
              Next::resume);
}

TEST_P(EveryWay, AHaltedOneHasItsTimerArmed) {
    ApicMachine machine{GetParam()};
    ASSERT_TRUE(machine.wrmsr(0x1b, 0xfee0'0d00));
    ASSERT_TRUE(machine.wrmsr(0x832, 0x4'0044));
    const u64 due = machine.processor.now + 50'000;
    ASSERT_TRUE(machine.wrmsr(0x6e0, due));
    EXPECT_EQ(machine.exits(BasicReason::hlt, {.length = 1, .rflags = interrupts_on}), Next::halt);
    EXPECT_EQ(machine.processor.timer, due);
    EXPECT_FALSE(machine.vcpu->wants_to_run());
    machine.processor.now = due;
    EXPECT_TRUE(machine.vcpu->wants_to_run());
}

TEST_P(EveryWay, OnlyAProcessorThatWouldNotLookByItselfIsCalled) {
    ApicMachine machine{GetParam()};
    machine.message(0x41);
    EXPECT_TRUE(machine.processor.kicks.empty());
    machine.processor.entry_fails(EntryOutcome::running);
    EXPECT_EQ(machine.vcpu->run_once(), Next::paused);
    machine.processor.writes.clear();
    machine.message(0x42);
    EXPECT_EQ(machine.processor.kicks, std::vector<unsigned>{0});
    EXPECT_TRUE(machine.processor.writes.empty()) << "the VMCS is the running guest's";
}

TEST_P(EveryWay, AnEnclavesAccessToTheApicEndsInTheGuardAndNothingIsEnded) {
    ApicMachine machine{GetParam()};
    machine.message(0x41);
    machine.injected();
    machine.put(apic::reg_requested + 2, 0);
    machine.put(apic::reg_in_service + 2, 2);
    const auto write = ApicAccess::of(ApicAccessType::linear_write, 0);
    machine.exits(ExitReason{BasicReason::apic_access}.in_enclave(),
                  {.qualification = write.to_raw()});
    EXPECT_EQ(machine.vcpu->last_exit().action, Action::guarded);
    EXPECT_EQ(machine.vcpu->apic().in_service(), 0x41);
    expect_exception(machine.injected(), Vector::invalid_opcode);
    machine.exits(ExitReason{BasicReason::ept_violation}.in_enclave(),
                  {.gpa = Gpa{0xfee0'0000}, .qualification = 0x182});
    EXPECT_EQ(machine.vcpu->last_exit().action, Action::guarded);
    EXPECT_EQ(machine.vcpu->apic().in_service(), 0x41);
    EXPECT_EQ(machine.processor.decodes, 0u);
}

TEST_P(EveryWay, ExitsOfTheVirtualApicThatNoEnclaveCausesAreAnomalies) {
    for (const auto reason : {BasicReason::tpr_below_threshold, BasicReason::virtualized_eoi,
                              BasicReason::apic_write}) {
        ApicMachine machine{GetParam()};
        machine.message(0x61, true);
        machine.injected();
        machine.exits(ExitReason{reason}.in_enclave(), {.qualification = 0x61});
        EXPECT_EQ(machine.watcher.anomalies.size(), 1u);
        EXPECT_TRUE(machine.devices.ends.empty());
        EXPECT_EQ(
            machine.exits(ExitReason{reason}.in_enclave(), {.idt_vectoring = Info::external(0x61)}),
            Next::resume);
        EXPECT_EQ(machine.vcpu->last_exit().action, Action::redelivered);
    }
}

TEST_P(EveryWay, ADeliveryOntoTheApicStopsTheGuest) {
    ApicMachine machine{GetParam()};
    const auto access = ApicAccess::of(ApicAccessType::linear_during_delivery, 0x80);
    EXPECT_EQ(machine.exits(BasicReason::apic_access, {.qualification = access.to_raw(),
                                                       .idt_vectoring = Info::external(0x41)}),
              Next::stop);
    EXPECT_EQ(machine.vcpu->stop_report().reason, StopReason::delivery_onto_device);
}

TEST(ApicMode, TheAccessPageIsThereOnlyWhereItCanBe) {
    constexpr Gpa page{0xfee0'0000};
    ApicMachine machine{Way::whole};
    EXPECT_TRUE(machine.vm->ept().is_mapped(page));
    const u64 bitmap = machine.processor.at(VmcsField::msr_bitmap);
    const auto exits_on = [&](u32 msr, bool write) {
        const BitmapBit where = msr_bitmap_bit(msr, write);
        return (machine.processor.ram.at(bitmap + where.byte) >> where.bit & 1) != 0;
    };
    EXPECT_TRUE(exits_on(0x808, false) && exits_on(0x80b, true));
    ASSERT_TRUE(machine.wrmsr(0x1b, 0xfee0'0d00));
    EXPECT_FALSE(machine.vm->ept().is_mapped(page));
    EXPECT_FALSE(machine.has(SecondaryControl::virtualize_apic_accesses));
    EXPECT_TRUE(machine.has(SecondaryControl::virtualize_x2apic_mode));
    EXPECT_FALSE(exits_on(0x808, false) || exits_on(0x808, true) || exits_on(0x80b, true));
    EXPECT_FALSE(exits_on(0x802, false) || exits_on(0x83f, true));
    EXPECT_TRUE(exits_on(0x839, false)) << "the current count is none of the page's";
    EXPECT_TRUE(exits_on(0x830, true) && exits_on(0x80e, false) && exits_on(0x832, true));
    ASSERT_TRUE(machine.wrmsr(0x1b, 0xfee0'0100));
    EXPECT_FALSE(machine.has(SecondaryControl::virtualize_x2apic_mode));
    EXPECT_TRUE(exits_on(0x808, false));
    ASSERT_TRUE(machine.wrmsr(0x1b, 0xfee0'0900));
    EXPECT_TRUE(machine.vm->ept().is_mapped(page));
    EXPECT_TRUE(machine.has(SecondaryControl::virtualize_apic_accesses));
    EXPECT_FALSE(machine.wrmsr(0x1b, 0xfee0'0500));
}

TEST(ApicMode, WithoutApicVirtualizationTheMsrsExitAndThePageIsADevice) {
    for (const Way way : {Way::emulated, Way::shadow}) {
        ApicMachine machine{way};
        EXPECT_FALSE(machine.vm->ept().is_mapped(Gpa{0xfee0'0000}));
        ASSERT_TRUE(machine.wrmsr(0x1b, 0xfee0'0d00));
        EXPECT_FALSE(machine.has(SecondaryControl::virtualize_x2apic_mode));
        ASSERT_TRUE(machine.wrmsr(0x83f, 0x55));
        machine.expect_interrupt(0x55);
        ASSERT_TRUE(machine.wrmsr(0x80b, 0));
        EXPECT_EQ(machine.vcpu->apic().in_service(), -1);
        EXPECT_FALSE(machine.wrmsr(0x80b, 1));
    }
}

TEST(ApicMode, ARegistersMoveOverMemoryStopsTheGuest) {
    ApicMachine machine;
    machine.vcpu->registers().gpr[rax] = 0x0010'0900;
    machine.vcpu->registers().gpr[rdx] = 0;
    EXPECT_EQ(machine.exits(BasicReason::wrmsr, {.length = 2, .rcx = 0x1b}), Next::stop);
    EXPECT_EQ(machine.vcpu->stop_report().reason, StopReason::not_implemented);
    EXPECT_EQ(machine.watcher.stops.size(), 1u);
}

}  // namespace
}  // namespace postern::hv::test
