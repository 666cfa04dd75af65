// SPDX-License-Identifier: Apache-2.0
// Which controls are set, and what becomes of exits by controls that are not ours: checklist F,
// vectors T1 and T10 to T13, the livelock detector, counters.
#include "tests/support/fake_port.h"

namespace postern::hv::test {
namespace {

PrimaryControls primary(Machine& machine) {
    return PrimaryControls::from_raw(
        static_cast<u32>(machine.processor.at(VmcsField::primary_processor_based_controls)));
}
SecondaryControls secondary(Machine& machine) {
    return SecondaryControls::from_raw(
        static_cast<u32>(machine.processor.at(VmcsField::secondary_processor_based_controls)));
}

Config forced(PrimaryControl control, Config config = default_config()) {
    config.forced_primary_controls = PrimaryControls{control}.to_raw();
    return config;
}
Config forced(SecondaryControl control) {
    Config config = default_config();
    config.forced_secondary_controls = SecondaryControls{control}.to_raw();
    return config;
}
Config hiding(HiddenFeature feature) {
    Config config = default_config();
    config.hidden.set(feature);
    return config;
}

void expect_our_controls(const Config& config, PrimaryControls first, SecondaryControls second) {
    EXPECT_FALSE(first.has_any({PrimaryControl::pause_exiting, PrimaryControl::rdtsc_exiting,
                                PrimaryControl::mov_dr_exiting}));
    EXPECT_FALSE(second.has(SecondaryControl::pause_loop_exiting));
    EXPECT_EQ(second.has(SecondaryControl::rdrand_exiting),
              config.hidden.has(HiddenFeature::rdrand));
    EXPECT_EQ(second.has(SecondaryControl::rdseed_exiting),
              config.hidden.has(HiddenFeature::rdseed));
    EXPECT_EQ(second.has(SecondaryControl::enable_user_wait_and_pause),
              !config.hidden.has(HiddenFeature::waitpkg));
    EXPECT_TRUE(second.has(SecondaryControl::enable_encls_exiting));
    EXPECT_TRUE(second.has_all({SecondaryControl::enable_ept, SecondaryControl::enable_vpid,
                                SecondaryControl::unrestricted_guest}));
}

TEST(Controls, F1_F2_F3_NoConfigurationSetsPauseOrRdtscExitingAndRdrandExitsExactlyIfHidden) {
    FakeProcessor processor;
    FakeDevices devices;
    FakeWatcher watcher;
    for (u32 hidden = 0; hidden < 64; ++hidden) {
        for (u32 others = 0; others < 24; ++others) {
            Config config = default_config();
            config.hidden = HiddenFeatures::from_raw(hidden);
            config.preemption_timer = (others & 1) != 0 ? 1000 : 0;
            config.mmio_marking = static_cast<MmioMarking>(others >> 1 & 1);
            config.epc.size = (others & 4) != 0 ? 0 : 1u << 20;
            config.enclave_fault = static_cast<EnclaveFault>(others >> 3);
            Vm vm{processor, devices, watcher, config};
            Vcpu vcpu{processor, vm};
            ASSERT_TRUE(vcpu.start({}));
            const auto word = [&](VmcsField field) {
                return static_cast<u32>(processor.at(field));
            };
            expect_our_controls(
                config,
                PrimaryControls::from_raw(word(VmcsField::primary_processor_based_controls)),
                SecondaryControls::from_raw(word(VmcsField::secondary_processor_based_controls)));
            processor.writes.clear();
        }
    }
}

TEST(Controls, WhatTheProcessorRequiresIsAddedAndWhatItLacksIsNamed) {
    Machine machine;
    EXPECT_EQ(machine.processor.at(VmcsField::pin_based_controls) & 0x16, 0x16u);

    FakeProcessor processor;
    processor.msrs[static_cast<u32>(Msr::vmx_procbased_ctls2)] = u64{0xffff'fffd} << 32;  // no EPT
    FakeDevices devices;
    FakeWatcher watcher;
    Vm vm{processor, devices, watcher, default_config()};
    Vcpu vcpu{processor, vm};
    EXPECT_FALSE(vcpu.start({}));
    EXPECT_EQ(vcpu.stop_report().reason, StopReason::processor_lacks_control);
    EXPECT_STREQ(vcpu.stop_report().what, "secondary processor-based controls");
    EXPECT_EQ(watcher.stops.size(), 1u);
}

TEST(Controls, AnEmptyPoolIsReported) {
    FakeProcessor processor;
    FakeDevices devices;
    FakeWatcher watcher;
    Vm vm{processor, devices, watcher, {}};
    Vcpu vcpu{processor, vm};
    EXPECT_FALSE(vcpu.start({}));
    EXPECT_EQ(vcpu.stop_report().reason, StopReason::out_of_table_pages);
    EXPECT_EQ(vcpu.run_once(), Next::stop);
    EXPECT_TRUE(processor.entries.empty());
}

TEST(EnclavePolicy, T1_AMissingEpcPageIsMappedAndTheEnclaveGoesOn) {
    Machine machine;
    EXPECT_EQ(machine.enclave_exits(BasicReason::ept_violation, {.gpa = epc_base + 0x3000}),
              Next::resume);
    EXPECT_EQ(machine.record().raw_reason, 0x0800'0030u);
    EXPECT_EQ(machine.record().action, Action::mapped);
    EXPECT_TRUE(machine.vm.ept().is_mapped(epc_base + 0x3000));
    EXPECT_FALSE(machine.processor.rip_was_written());
    EXPECT_EQ(machine.vcpu.counters().ept_maps_from_enclave, 1u);
    EXPECT_FALSE(machine.injected().has_value());
}

TEST(EnclavePolicy, APageTakenBackIsMappedOnTheNextTouch) {
    Machine machine;
    machine.normal_exit(BasicReason::ept_violation, {.gpa = epc_base});
    EXPECT_TRUE(machine.vcpu.forget(epc_base));
    EXPECT_EQ(machine.processor.invepts, 1u);
    EXPECT_FALSE(machine.vm.ept().is_mapped(epc_base));
    EXPECT_FALSE(machine.vcpu.forget(epc_base));
    EXPECT_EQ(machine.enclave_exits(BasicReason::ept_violation, {.gpa = epc_base}), Next::resume);
    EXPECT_TRUE(machine.vm.ept().is_mapped(epc_base));
    EXPECT_EQ(machine.vcpu.counters().ept_maps, 2u);
    EXPECT_EQ(machine.vcpu.counters().ept_maps_from_enclave, 1u);
    EXPECT_EQ(machine.vcpu.counters().ept_forgets, 1u);
}

TEST(EnclavePolicy, T10_F5_MovDrGivesGpAndRipStays) {
    Machine machine{forced(PrimaryControl::mov_dr_exiting)};
    EXPECT_EQ(machine.enclave_exits(BasicReason::mov_dr, {.qualification = 7}), Next::resume);
    EXPECT_FALSE(machine.processor.rip_was_written());
    EXPECT_EQ(machine.processor.writes_of(VmcsField::guest_dr7), 0u);
    EXPECT_EQ(machine.anomalies(), 0u) << "the processor can do that";
    expect_exception(machine.injected(), Vector::general_protection, 0);
}

TEST(EnclavePolicy, F5_MovDrAtCpl3OutsideAnEnclaveGivesGpToo) {
    Machine machine{forced(PrimaryControl::mov_dr_exiting)};
    machine.normal_exit(BasicReason::mov_dr, {.qualification = 7, .length = 3, .cpl = 3});
    expect_exception(machine.injected(), Vector::general_protection, 0);
}

TEST(EnclavePolicy, T11_F2_RdrandThatIsHiddenGivesUd) {
    for (const auto& [feature, reason] : {std::pair{HiddenFeature::rdrand, BasicReason::rdrand},
                                          std::pair{HiddenFeature::rdseed, BasicReason::rdseed},
                                          std::pair{HiddenFeature::rdtscp, BasicReason::rdtscp},
                                          std::pair{HiddenFeature::waitpkg, BasicReason::umwait},
                                          std::pair{HiddenFeature::waitpkg, BasicReason::tpause}}) {
        Machine machine{hiding(feature)};
        EXPECT_EQ(machine.enclave_exits(reason), Next::resume);
        EXPECT_FALSE(machine.processor.rip_was_written());
        EXPECT_EQ(machine.anomalies(), 0u);
        expect_exception(machine.injected(), Vector::invalid_opcode);
    }
}

TEST(EnclavePolicy, T11_F2_RdrandThatIsShownIsNoLongerIntercepted) {
    for (const auto& [control, reason] :
         {std::pair{SecondaryControl::rdrand_exiting, BasicReason::rdrand},
          std::pair{SecondaryControl::rdseed_exiting, BasicReason::rdseed}}) {
        Machine machine{forced(control)};
        EXPECT_EQ(machine.enclave_exits(reason), Next::resume);
        EXPECT_FALSE(secondary(machine).has(control));
        EXPECT_FALSE(machine.processor.rip_was_written());
        EXPECT_EQ(machine.record().action, Action::control_dropped);
        EXPECT_FALSE(machine.injected().has_value());
    }
}

TEST(EnclavePolicy, T12_F1_PauseIsNoLongerInterceptedAndRunsAgain) {
    Machine machine{forced(PrimaryControl::pause_exiting)};
    EXPECT_TRUE(primary(machine).has(PrimaryControl::pause_exiting));
    EXPECT_EQ(machine.enclave_exits(BasicReason::pause), Next::resume);
    EXPECT_FALSE(primary(machine).has(PrimaryControl::pause_exiting));
    EXPECT_FALSE(machine.processor.rip_was_written());
    EXPECT_EQ(machine.vcpu.counters().controls_dropped, 1u);
    EXPECT_EQ(machine.count(Anomaly::control_never_set), 1u);
    EXPECT_FALSE(machine.injected().has_value());
}

TEST(EnclavePolicy, T12_WithoutTheRetryPolicyPauseExitsForEverAndTheLivelockIsReported) {
    Config config = forced(PrimaryControl::pause_exiting, without(Protection::retry));
    config.livelock_limit = 10;
    Machine machine{config};
    for (int i = 0; i < 20; ++i) machine.enclave_exits(BasicReason::pause, {.ticks = 1});
    EXPECT_TRUE(primary(machine).has(PrimaryControl::pause_exiting));
    EXPECT_EQ(machine.vcpu.counters().controls_dropped, 0u);
    EXPECT_EQ(machine.count(Anomaly::livelock), 1u);
}

TEST(EnclavePolicy, T13_F3_F4_RdtscIsNoLongerInterceptedAndRunsAgain) {
    for (const BasicReason reason :
         {BasicReason::rdtsc, BasicReason::rdtscp, BasicReason::umwait, BasicReason::tpause}) {
        Machine machine{forced(PrimaryControl::rdtsc_exiting)};
        EXPECT_EQ(machine.enclave_exits(reason), Next::resume);
        EXPECT_FALSE(primary(machine).has(PrimaryControl::rdtsc_exiting));
        EXPECT_EQ(machine.record().action, Action::control_dropped);
        EXPECT_FALSE(machine.injected().has_value());
    }
}

TEST(EnclavePolicy, PauseLoopExitingIsDroppedWithTheFirstLoopThatExits) {
    Machine machine{forced(SecondaryControl::pause_loop_exiting)};
    EXPECT_EQ(machine.normal_exit(BasicReason::pause, {.length = 2}), Next::resume);
    EXPECT_FALSE(secondary(machine).has(SecondaryControl::pause_loop_exiting));
    EXPECT_EQ(machine.record().action, Action::control_dropped);
    EXPECT_FALSE(machine.processor.rip_was_written());
}

TEST(EnclavePolicy, APauseExitThatNoControlBringsIsOnlyRetried) {
    Machine machine;
    EXPECT_EQ(machine.enclave_exits(BasicReason::pause), Next::resume);
    EXPECT_EQ(machine.record().action, Action::retried);
    EXPECT_EQ(machine.count(Anomaly::control_never_set), 1u);
}

TEST(Livelock, ManyExitsWithProgressBetweenThemAreNone) {
    Config config = default_config();
    config.preemption_timer = 1000;
    config.livelock_limit = 10;
    Machine machine{config};
    for (int i = 0; i < 100; ++i)
        machine.enclave_exits(BasicReason::vmx_preemption_timer_expired, {.ticks = 1000});
    EXPECT_EQ(machine.count(Anomaly::livelock), 0u);
}

TEST(Livelock, TheSameExitWithoutProgressIsReportedOnceAtTheLimit) {
    Config config = default_config();
    config.livelock_limit = 10;
    Machine machine{config};
    for (int i = 0; i < 9; ++i)
        machine.enclave_exits(BasicReason::vmx_preemption_timer_expired, {.ticks = 1});
    EXPECT_EQ(machine.count(Anomaly::livelock), 0u);
    machine.enclave_exits(BasicReason::vmx_preemption_timer_expired, {.ticks = 1});
    EXPECT_EQ(machine.count(Anomaly::livelock), 1u);
    for (int i = 0; i < 9; ++i)
        machine.enclave_exits(BasicReason::vmx_preemption_timer_expired, {.ticks = 1});
    EXPECT_EQ(machine.count(Anomaly::livelock), 1u);
}

TEST(Livelock, DifferentPagesAreNone) {
    Config config = default_config();
    config.livelock_limit = 4;
    Machine machine{config};
    for (u64 i = 0; i < 8; ++i)
        machine.enclave_exits(BasicReason::ept_violation,
                              {.gpa = epc_base + i * page_size, .ticks = 1});
    EXPECT_EQ(machine.count(Anomaly::livelock), 0u);
}

TEST(Timer, StartsAgainWhenItHasFiredAndOnlyThen) {
    Config config = default_config();
    config.preemption_timer = 1000;
    Machine machine{config};
    EXPECT_EQ(machine.processor.at(VmcsField::vmx_preemption_timer_value), 1000u);
    machine.processor.at(VmcsField::vmx_preemption_timer_value) = 400;
    machine.normal_exit(BasicReason::external_interrupt);
    EXPECT_EQ(machine.processor.at(VmcsField::vmx_preemption_timer_value), 400u);
    machine.processor.at(VmcsField::vmx_preemption_timer_value) = 0;
    machine.enclave_exits(BasicReason::vmx_preemption_timer_expired);
    EXPECT_EQ(machine.processor.at(VmcsField::vmx_preemption_timer_value), 1000u);
    machine.processor.at(VmcsField::vmx_preemption_timer_value) = 0;
    machine.normal_exit(BasicReason::vmx_preemption_timer_expired);
    EXPECT_EQ(machine.processor.at(VmcsField::vmx_preemption_timer_value), 1000u);
}

TEST(Timer, WhatIsLeftOfThePeriodIsSavedByOtherExits) {
    Config config = default_config();
    config.preemption_timer = 1000;
    Machine machine{config};
    const auto exit =
        ExitControls::from_raw(static_cast<u32>(machine.processor.at(VmcsField::vm_exit_controls)));
    const auto pin = PinControls::from_raw(
        static_cast<u32>(machine.processor.at(VmcsField::pin_based_controls)));
    EXPECT_TRUE(exit.has(ExitControl::save_vmx_preemption_timer_value));
    EXPECT_TRUE(pin.has(PinControl::activate_vmx_preemption_timer));
}

TEST(Counting, ExitsAreCountedByReasonAndKind) {
    Machine machine;
    machine.enclave_exits(BasicReason::external_interrupt);
    machine.enclave_exits(BasicReason::external_interrupt);
    machine.normal_exit(BasicReason::external_interrupt);
    const Counters& counters = machine.vcpu.counters();
    EXPECT_EQ(counters.of(BasicReason::external_interrupt, ExitKind::enclave), 2u);
    EXPECT_EQ(counters.of(BasicReason::external_interrupt, ExitKind::normal), 1u);
    EXPECT_EQ(counters.of(BasicReason::external_interrupt, ExitKind::delivery), 0u);
    EXPECT_EQ(counters.exits, 3u);
    EXPECT_EQ(counters.retries, 2u);
    EXPECT_EQ(machine.watcher.records.at(2).sequence, 2u);
}

}  // namespace
}  // namespace postern::hv::test
