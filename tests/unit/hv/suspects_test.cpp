// SPDX-License-Identifier: Apache-2.0
// What hypervisors are suspected of getting wrong (docs/suspects.md), K3 to K16, and the answer
// that the architecture gives.
#include "hv/exit/exit.h"
#include "tests/support/fake_port.h"

namespace postern::hv::test {
namespace {

constexpr auto interrupt = InterruptionInformation::external(0x40);
constexpr auto ud = InterruptionInformation::hardware_exception(Vector::invalid_opcode);
constexpr auto gp = InterruptionInformation::hardware_exception(Vector::general_protection);

/// MOV [memory], EAX, as the decoder would say.
constexpr DecodedAccess store{.kind = DecodedAccess::Kind::store_register,
                              .length = 3,
                              .memory_size = 4,
                              .register_size = 4,
                              .gpr = rax};

Config faulting(EnclaveFault fault) {
    Config config = default_config();
    config.enclave_fault = fault;
    return config;
}

void expect_untouched(Machine& machine) {
    EXPECT_TRUE(machine.devices.touches.empty());
    EXPECT_TRUE(machine.devices.port_touches.empty());
    EXPECT_EQ(machine.processor.decodes, 0u);
    EXPECT_FALSE(machine.processor.rip_was_written());
}

// K2: a store to memory that the hypervisor had taken away for a while.

TEST(Suspects, K2_T4_AStoreToMemoryThatWasTakenBackRunsAgainWithoutAFault) {
    constexpr u64 write = 2;
    Machine machine;
    machine.enclave_exits(BasicReason::ept_violation, {.gpa = Gpa{0x5000}, .qualification = write});
    ASSERT_TRUE(machine.vcpu.forget(Gpa{0x5000}));
    EXPECT_EQ(machine.enclave_exits(BasicReason::ept_violation,
                                    {.gpa = Gpa{0x5000}, .qualification = write}),
              Next::resume);
    EXPECT_EQ(machine.record().action, Action::mapped);
    EXPECT_FALSE(machine.injected().has_value());
    expect_untouched(machine);
}

// K3: the flag together with IDT-vectoring information.

TEST(Suspects, K3_ADeliveryIsNoInstructionAndItsEventIsInjectedOnceMoreAndNoUd) {
    for (const BasicReason reason :
         {BasicReason::ept_violation, BasicReason::ept_misconfiguration}) {
        Machine machine;
        EXPECT_EQ(machine.enclave_exits(
                      reason, {.gpa = Gpa{0x5008}, .idt_vectoring = interrupt, .rflags = 0x202}),
                  Next::resume);
        EXPECT_EQ(machine.record().kind, ExitKind::delivery);
        EXPECT_EQ(machine.vcpu.counters().delivery_incidents, 1u);
        EXPECT_EQ(machine.vcpu.counters().injected_ud, 0u);
        EXPECT_EQ(machine.injected().information, interrupt);
    }
}

TEST(Suspects, K3_ADeliveryOntoADeviceEndsWithTheOriginalEventOnRecordAndNothingInjected) {
    constexpr auto page_fault = InterruptionInformation::hardware_exception(Vector::page_fault);
    for (const BasicReason reason :
         {BasicReason::ept_violation, BasicReason::ept_misconfiguration}) {
        Machine machine;
        EXPECT_EQ(machine.enclave_exits(reason, {.gpa = doorbell + 0x18,
                                                 .qualification = 2,
                                                 .idt_vectoring = page_fault,
                                                 .idt_error_code = 6}),
                  Next::stop);
        const StopReport& report = machine.vcpu.stop_report();
        EXPECT_EQ(report.reason, StopReason::delivery_onto_device);
        EXPECT_EQ(report.exit.idt_vectoring, page_fault.to_raw());
        EXPECT_EQ(report.exit.idt_vectoring_error_code, 6u);
        EXPECT_EQ(report.exit.guest_physical, doorbell.raw() + 0x18)
            << "exact: no enclave's access";
        EXPECT_EQ(report.exit.injected, 0u);
        expect_untouched(machine);
    }
}

TEST(Suspects, K3_AnEventInjectedForAnEnclaveIsInjectedAgainWithItsOwnLength) {
    constexpr auto int3 = InterruptionInformation::software_exception(Vector::breakpoint);
    Machine machine;
    EXPECT_EQ(machine.enclave_exits(BasicReason::ept_violation,
                                    {.gpa = Gpa{0x5008}, .length = 1, .idt_vectoring = int3}),
              Next::resume);
    const Injected event = machine.injected();
    EXPECT_EQ(event.information, int3);
    EXPECT_EQ(event.instruction_length, 1u);
}

// K4: an intercepted #GP of an enclave.

TEST(Suspects, K4_AGpThatIsInterceptedStaysGpWithItsErrorCode) {
    Config config = default_config();
    config.exception_bitmap = 1u << static_cast<unsigned>(Vector::general_protection);
    for (const u32 code : {0u, 0x18u}) {
        Machine machine{config};
        EXPECT_EQ(machine.enclave_exits(BasicReason::exception_or_nmi,
                                        {.interruption = gp, .error_code = code}),
                  Next::resume);
        EXPECT_EQ(machine.record().action, Action::reinjected);
        EXPECT_EQ(machine.vcpu.counters().injected_ud, 0u);
        EXPECT_EQ(machine.vcpu.counters().guard_hits, 0u);
        expect_untouched(machine);
        expect_exception(machine.injected(), Vector::general_protection, code);
    }
}

TEST(Suspects, K4_EveryExceptionOfAnEnclaveStaysWhatItWas) {
    for (const Vector vector :
         {Vector::divide_error, Vector::invalid_opcode, Vector::stack_fault,
          Vector::general_protection, Vector::page_fault, Vector::alignment_check}) {
        Machine machine;
        const auto event = InterruptionInformation::hardware_exception(vector);
        EXPECT_EQ(machine.enclave_exits(BasicReason::exception_or_nmi, {.interruption = event}),
                  Next::resume);
        EXPECT_EQ(machine.injected().information, event);
    }
}

// K5: skipping.

TEST(Suspects, K5_NoLengthMovesRipAfterAnExitOfAnEnclave) {
    for (u32 length = 0; length <= 15; ++length) {
        Machine machine;
        machine.enclave_exits(BasicReason::ept_misconfiguration,
                              {.gpa = doorbell, .length = length});
        EXPECT_FALSE(machine.processor.rip_was_written()) << length;
        EXPECT_EQ(machine.processor.at(VmcsField::guest_rip), aep) << length;
        EXPECT_EQ(machine.count(Anomaly::rip_write_refused), length == 0 ? 0u : 1u) << length;
    }
}

TEST(Suspects, K5_LengthZeroOutsideAnEnclaveIsAnErrorAndNoSilentSuccess) {
    for (const BasicReason reason :
         {BasicReason::cpuid, BasicReason::hlt, BasicReason::io_instruction}) {
        Machine machine;
        EXPECT_EQ(machine.normal_exit(reason), Next::stop);
        EXPECT_EQ(machine.vcpu.stop_report().reason, StopReason::no_instruction_length);
        EXPECT_EQ(machine.count(Anomaly::zero_length_instruction), 1u);
        EXPECT_FALSE(machine.processor.rip_was_written());
    }
}

// K8: blocking by MOV SS beside enclave interruption fails the next entry.

TEST(Suspects, K8_NoHandlerOfAnEnclavesExitSetsBlockingByMovSs) {
    for (u16 number = 0; number < reason_limit; ++number) {
        Machine machine;
        const Next next =
            machine.enclave_exits(static_cast<BasicReason>(number), {.gpa = doorbell});
        const u64 after = machine.processor.at(VmcsField::guest_interruptibility_state);
        EXPECT_NE(after & 0x12, 0x12u) << number;
        if (next != Next::resume) continue;
        machine.processor.exits_with(ExitReason{BasicReason::external_interrupt});
        EXPECT_EQ(machine.vcpu.run_once(), Next::resume) << number;
        EXPECT_EQ(machine.vcpu.counters().entry_failures, 0u) << number;
    }
}

TEST(Suspects, K8_T22_BothFromOutsideAreRefusedAndEachAloneIsNot) {
    Machine machine;
    machine.enclave_exits(BasicReason::external_interrupt);
    const auto state = [](u32 raw) { return InterruptibilityState::from_raw(raw); };
    EXPECT_FALSE(machine.vcpu.set_interruptibility(state(0x12)));
    EXPECT_EQ(machine.count(Anomaly::mov_ss_shadow_refused), 1u);
    EXPECT_TRUE(machine.vcpu.set_interruptibility(state(0x02)));
    EXPECT_TRUE(machine.vcpu.set_interruptibility(state(0x10)));
    EXPECT_EQ(machine.count(Anomaly::mov_ss_shadow_refused), 1u);
}

// K9: exits that nobody expects.

/// Events, not instructions: no program brings them about, and what they mean is the host's.
bool is_an_event(BasicReason reason) {
    switch (reason) {
        case BasicReason::triple_fault:
        case BasicReason::init_signal:
        case BasicReason::startup_ipi:
        case BasicReason::io_smi:
        case BasicReason::other_smi:
        case BasicReason::tpr_below_threshold:
        case BasicReason::virtualized_eoi:
        case BasicReason::apic_write:
        case BasicReason::task_switch: return true;
        default: return false;
    }
}

TEST(Suspects, K9_NoInstructionOfAnEnclaveStopsTheGuest) {
    for (u16 number = 0; number < reason_limit; ++number) {
        const auto reason = static_cast<BasicReason>(number);
        if (is_an_event(reason)) continue;
        Machine machine;
        EXPECT_EQ(machine.enclave_exits(reason, {.gpa = doorbell, .interruption = ud}),
                  Next::resume)
            << number;
        EXPECT_EQ(machine.vcpu.counters().by_reason[number][static_cast<size_t>(ExitKind::enclave)],
                  1u);
    }
}

TEST(Suspects, K9_NoInstructionOfAProgramStopsTheGuest) {
    for (u16 number = 0; number < reason_limit; ++number) {
        const auto reason = static_cast<BasicReason>(number);
        if (is_an_event(reason) || reason == BasicReason::hlt) continue;
        Machine machine;
        machine.processor.access = store;
        EXPECT_EQ(machine.normal_exit(reason,
                                      {.gpa = doorbell, .length = 2, .interruption = ud, .cpl = 3}),
                  Next::resume)
            << number;
    }
}

TEST(Suspects, K9_AFetchFromTheLocalApicsPageStopsAKernelOnly) {
    constexpr u64 fetch = static_cast<u64>(ApicAccessType::linear_fetch) << 12;
    Machine program;
    EXPECT_EQ(program.normal_exit(BasicReason::apic_access, {.qualification = fetch, .cpl = 3}),
              Next::resume);
    expect_exception(program.injected(), Vector::invalid_opcode);
    Machine kernel;
    EXPECT_EQ(kernel.normal_exit(BasicReason::apic_access, {.qualification = fetch, .cpl = 0}),
              Next::stop);
}

// K10: addresses without an offset.

template <class View>
constexpr bool gives_an_offset = requires(View& exit) { exit.guest_physical().offset(); };
static_assert(gives_an_offset<NormalExit>);
static_assert(gives_an_offset<EnclaveDelivery>);
static_assert(!gives_an_offset<EnclaveExit>, "K10");

TEST(Suspects, K10_AnOffsetThatALiarReportsIsAnAnomalyAndReachesNoDevice) {
    Machine machine;
    EXPECT_EQ(machine.enclave_exits(BasicReason::ept_misconfiguration, {.gpa = doorbell + 0x40}),
              Next::resume);
    EXPECT_EQ(machine.count(Anomaly::page_offset_not_zero), 1u);
    expect_untouched(machine);
    expect_exception(machine.injected(), Vector::invalid_opcode);
}

// K11: instruction information.

template <class View>
constexpr bool gives_information = requires(View& exit) { exit.instruction_information(); };
static_assert(gives_information<NormalExit>);
static_assert(!gives_information<EnclaveExit> && !gives_information<EnclaveDelivery>, "K11");

TEST(Suspects, K11_InstructionInformationOfAnEnclavesExitChoosesNoRegisterAndNoMemory) {
    for (const BasicReason reason :
         {BasicReason::invpcid, BasicReason::invept, BasicReason::invvpid, BasicReason::vmread,
          BasicReason::vmwrite, BasicReason::vmptrld, BasicReason::vmclear, BasicReason::vmxon,
          BasicReason::access_to_gdtr_or_idtr, BasicReason::access_to_ldtr_or_tr}) {
        Machine machine;
        const GuestRegisters before{.gpr = {3, aep, 0, tcs}, .cr2 = 0};
        EXPECT_EQ(machine.enclave_exits(reason, {.qualification = 0x1000,
                                                 .length = 4,
                                                 .instruction_information = 0xffff'ffff}),
                  Next::resume);
        EXPECT_EQ(machine.vcpu.registers().gpr, before.gpr);
        expect_untouched(machine);
        const Injected event = machine.injected();
        EXPECT_TRUE(event.information.is_exception(Vector::invalid_opcode) ||
                    event.information.is_exception(Vector::general_protection));
    }
}

// K12: what a record says of an enclave.

TEST(Suspects, K12_ARecordSaysByItsKindWhetherItHasARipOrAnAepAndWhichThread) {
    Machine machine;
    machine.enclave_exits(BasicReason::ept_violation, {.gpa = epc_base});
    EXPECT_EQ(machine.record().kind, ExitKind::enclave);
    EXPECT_EQ(machine.record().rip_or_aep, aep);
    EXPECT_EQ(machine.record().tcs, tcs);
    EXPECT_EQ(machine.record().raw_reason, 0x0800'0030u) << "all 32 bits";
    machine.normal_exit(BasicReason::ept_violation, {.gpa = Gpa{0x5000}});
    EXPECT_EQ(machine.record().kind, ExitKind::normal);
    EXPECT_EQ(machine.record().rip_or_aep, kernel_rip);
    EXPECT_EQ(machine.record().tcs, 0u);
    EXPECT_EQ(machine.record().raw_reason, 0x30u);
}

// K13: statistics.

TEST(Suspects, K13_EachVirtualProcessorCountsWhatItsEnclavesExitedByAndWhatWasDone) {
    Machine machine;
    machine.enclave_exits(BasicReason::ept_violation, {.gpa = epc_base});
    machine.enclave_exits(BasicReason::ept_misconfiguration, {.gpa = doorbell});
    machine.enclave_exits(BasicReason::cpuid, {.length = 2});
    machine.enclave_exits(BasicReason::ept_violation,
                          {.gpa = Gpa{0x5008}, .idt_vectoring = interrupt, .rflags = 0x202});
    const Counters& counters = machine.vcpu.counters();
    EXPECT_EQ(counters.exits, 4u);
    EXPECT_EQ(counters.of(BasicReason::ept_violation, ExitKind::enclave), 1u);
    EXPECT_EQ(counters.of(BasicReason::ept_violation, ExitKind::delivery), 1u);
    EXPECT_EQ(counters.of(BasicReason::ept_violation, ExitKind::normal), 0u);
    EXPECT_EQ(counters.ept_maps_from_enclave, 1u);
    EXPECT_EQ(counters.guard_hits, 2u);
    EXPECT_EQ(counters.injected_ud, 2u);
    EXPECT_EQ(counters.zero_length_skips, 1u);
    EXPECT_EQ(counters.skip_anomalies, 1u);
    EXPECT_EQ(counters.delivery_incidents, 1u);
    EXPECT_EQ(counters.redelivered, 1u);
}

// K14: whoever owns the machine decides, and is told what was done.

TEST(Suspects, K14_UnderUdTheRecordSaysThatUdWasInjected) {
    Machine machine{faulting(EnclaveFault::ud)};
    machine.enclave_exits(BasicReason::ept_misconfiguration, {.gpa = doorbell});
    EXPECT_EQ(machine.record().action, Action::guarded);
    EXPECT_EQ(machine.record().injected, ud.to_raw());
    EXPECT_EQ(machine.record().guest_physical, doorbell.raw());
    EXPECT_EQ(machine.record().rip_after, aep);
}

TEST(Suspects, K14_UnderGpTheRecordSaysThatGpWithErrorCode0WasInjected) {
    Machine machine{faulting(EnclaveFault::gp)};
    machine.enclave_exits(BasicReason::ept_misconfiguration, {.gpa = doorbell});
    EXPECT_EQ(machine.record().action, Action::guarded);
    EXPECT_EQ(machine.record().injected, gp.to_raw());
    EXPECT_EQ(machine.record().injected_error_code, 0u);
    EXPECT_EQ(machine.vcpu.counters().injected_ud, 0u);
    EXPECT_EQ(machine.vcpu.counters().injected_gp, 1u);
}

TEST(Suspects, K14_UnderStopTheReportHasTheWholeExitAndNothingIsInjected) {
    Machine machine{faulting(EnclaveFault::stop)};
    EXPECT_EQ(machine.enclave_exits(BasicReason::ept_misconfiguration, {.gpa = doorbell}),
              Next::stop);
    const StopReport& report = machine.vcpu.stop_report();
    EXPECT_EQ(report.reason, StopReason::enclave_fault);
    EXPECT_EQ(report.exit.action, Action::stopped);
    EXPECT_EQ(report.exit.kind, ExitKind::enclave);
    EXPECT_EQ(report.exit.raw_reason, 0x0800'0031u);
    EXPECT_EQ(report.exit.guest_physical, doorbell.raw());
    EXPECT_EQ(report.exit.tcs, tcs);
    EXPECT_EQ(report.exit.injected, 0u);
    expect_untouched(machine);
}

TEST(Suspects, K14_MemoryIsMappedWhateverThePolicy) {
    for (const EnclaveFault fault : {EnclaveFault::ud, EnclaveFault::gp, EnclaveFault::stop}) {
        Machine machine{faulting(fault)};
        EXPECT_EQ(machine.enclave_exits(BasicReason::ept_violation, {.gpa = epc_base}),
                  Next::resume);
        EXPECT_EQ(machine.record().action, Action::mapped);
        EXPECT_FALSE(machine.injected().has_value());
    }
}

// K16: intercepted exceptions cost an AEX each.

TEST(Suspects, K16_NoExceptionIsInterceptedUnlessSomebodyAsks) {
    for (u32 hidden = 0; hidden < 128; ++hidden) {
        Config config = default_config();
        config.hidden = HiddenFeatures::from_raw(hidden);
        Machine machine{config};
        EXPECT_EQ(machine.processor.at(VmcsField::exception_bitmap), 0u) << hidden;
    }
    Config config = default_config();
    config.exception_bitmap = 1u << static_cast<unsigned>(Vector::invalid_opcode);
    Machine machine{config};
    EXPECT_EQ(machine.processor.at(VmcsField::exception_bitmap), config.exception_bitmap);
}

TEST(Suspects, K16_ThatPageFaultsDoNotExitIsNoAccidentOfTheirErrorCodes) {
    Machine machine;
    // With bit 14 of the bitmap 0, a fault exits where its code does not match. SDM 3C,
    // "Exceptions".
    EXPECT_EQ(machine.processor.at(VmcsField::page_fault_error_code_mask), 0u);
    EXPECT_EQ(machine.processor.at(VmcsField::page_fault_error_code_match), 0u);
}

}  // namespace
}  // namespace postern::hv::test
