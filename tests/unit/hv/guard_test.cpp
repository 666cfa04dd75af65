// SPDX-License-Identifier: Apache-2.0
// The enclave guard and the one RIP setter: checklist C and D, vectors T2, T3, T7, T14, T23, with
// what happens without the guard and without the skip check.
#include "hv/rip.h"
#include "tests/support/fake_port.h"

namespace postern::hv::test {
namespace {

/// MOV [memory], EAX, as the decoder would say.
constexpr DecodedAccess store{.kind = DecodedAccess::Kind::store_register,
                              .length = 3,
                              .memory_size = 4,
                              .register_size = 4,
                              .gpr = rax};

static_assert(may_set_rip(RipCause::skip, ExitKind::normal));
static_assert(may_set_rip(RipCause::emulation, ExitKind::normal));
static_assert(!may_set_rip(RipCause::skip, ExitKind::enclave));
static_assert(!may_set_rip(RipCause::emulation, ExitKind::enclave));
static_assert(!may_set_rip(RipCause::entry, ExitKind::enclave));
static_assert(!may_set_rip(RipCause::skip, ExitKind::delivery));
static_assert(may_set_rip(RipCause::injection, ExitKind::enclave));
static_assert(may_set_rip(RipCause::reset, ExitKind::enclave));
static_assert(may_set_rip(RipCause::nesting_switch, ExitKind::enclave));

void expect_one_ud_and_nothing_else(Machine& machine) {
    EXPECT_EQ(machine.record().action, Action::guarded);
    EXPECT_TRUE(machine.devices.touches.empty());
    EXPECT_TRUE(machine.devices.port_touches.empty());
    EXPECT_EQ(machine.processor.decodes, 0u);
    EXPECT_FALSE(machine.processor.rip_was_written());
    EXPECT_EQ(machine.processor.at(VmcsField::guest_rip), aep);
    EXPECT_EQ(machine.vcpu.registers().gpr[rax], 3u);
    EXPECT_EQ(machine.vcpu.counters().injected_ud, 1u);
    expect_exception(machine.injected(), Vector::invalid_opcode);
    EXPECT_FALSE(machine.injected().has_value()) << "a second event";
}

TEST(EnclaveGuard, T2_MmioAtPageOffsetZeroGivesOneUdAndRingsNoDoorbell) {
    Machine machine;
    machine.processor.access = store;
    EXPECT_EQ(machine.enclave_exits(BasicReason::ept_misconfiguration, {.gpa = doorbell}),
              Next::resume);
    EXPECT_EQ(machine.vcpu.counters().guard_hits, 1u);
    EXPECT_EQ(machine.vcpu.counters().of(BasicReason::ept_misconfiguration, ExitKind::enclave), 1u);
    EXPECT_EQ(machine.record().raw_reason, 0x0800'0031u);
    expect_one_ud_and_nothing_else(machine);
}

TEST(EnclaveGuard, T2_WithoutTheGuardTheStoreAtTheAepRingsTheDoorbellAtOffsetZeroAndRipMoves) {
    Machine machine{without(Protection::guard)};
    machine.write_bytes(aep, {0x89, 0x07, 0x90});
    machine.processor.access = store;
    EXPECT_EQ(machine.enclave_exits(BasicReason::ept_misconfiguration, {.gpa = doorbell}),
              Next::resume);
    ASSERT_EQ(machine.devices.touches.size(), 1u);
    EXPECT_EQ(machine.devices.touches[0].address, doorbell.raw());
    EXPECT_TRUE(machine.devices.touches[0].write);
    EXPECT_EQ(machine.devices.touches[0].value, 3u) << "RAX as the enclave exit left it";
    ASSERT_GE(machine.processor.decoded_bytes.size(), 2u);
    EXPECT_EQ(machine.processor.decoded_bytes[0], 0x89) << "what hostile code put at the AEP";
    EXPECT_EQ(machine.processor.decoded_bytes[1], 0x07);
    EXPECT_EQ(machine.processor.at(VmcsField::guest_rip), aep + 3);
    EXPECT_EQ(machine.record().kind, ExitKind::normal);
    EXPECT_FALSE(machine.injected().has_value());
}

TEST(EnclaveGuard, T3_NoMemorySlotGivesTheConfiguredFault) {
    Machine machine;
    EXPECT_EQ(machine.enclave_exits(BasicReason::ept_violation, {.gpa = nowhere}), Next::resume);
    expect_one_ud_and_nothing_else(machine);
}

TEST(EnclaveGuard, TheConfiguredFaultMayBeGp) {
    Config config = default_config();
    config.enclave_fault = EnclaveFault::gp;
    Machine machine{config};
    EXPECT_EQ(machine.enclave_exits(BasicReason::ept_misconfiguration, {.gpa = doorbell}),
              Next::resume);
    EXPECT_EQ(machine.record().action, Action::guarded);
    EXPECT_EQ(machine.vcpu.counters().injected_gp, 1u);
    EXPECT_FALSE(machine.processor.rip_was_written());
    expect_exception(machine.injected(), Vector::general_protection, 0);
}

TEST(EnclaveGuard, TheConfiguredFaultMayBeToStop) {
    Config config = default_config();
    config.enclave_fault = EnclaveFault::stop;
    Machine machine{config};
    EXPECT_EQ(machine.enclave_exits(BasicReason::ept_misconfiguration, {.gpa = doorbell}),
              Next::stop);
    EXPECT_EQ(machine.vcpu.stop_report().reason, StopReason::enclave_fault);
    EXPECT_EQ(machine.vcpu.stop_report().exit.rip_or_aep, aep);
    EXPECT_TRUE(machine.devices.touches.empty());
}

TEST(EnclaveGuard, TheConfiguredFaultIsNotForWhatTheProcessorWouldHaveRaised) {
    Config config = default_config();
    config.enclave_fault = EnclaveFault::stop;
    Machine machine{config};
    EXPECT_EQ(machine.enclave_exits(BasicReason::cpuid), Next::resume);
    expect_exception(machine.injected(), Vector::invalid_opcode);
}

TEST(EnclaveGuard, MarkedByViolationTheDoorbellIsGuardedTheSame) {
    Config config = default_config();
    config.mmio_marking = MmioMarking::violation;
    Machine machine{config};
    machine.enclave_exits(BasicReason::ept_violation, {.gpa = doorbell, .qualification = 0x182});
    expect_one_ud_and_nothing_else(machine);
}

TEST(EnclaveGuard, AStoreToRomIsGuarded) {
    Machine machine;
    machine.enclave_exits(BasicReason::ept_violation, {.gpa = rom_base, .qualification = 0x182});
    expect_one_ud_and_nothing_else(machine);
}

TEST(EnclaveGuard, T7_AnApicAccessGivesUdAndNoEoi) {
    Machine machine;
    EXPECT_EQ(machine.enclave_exits(BasicReason::apic_access, {.qualification = 0x1000}),
              Next::resume);
    expect_one_ud_and_nothing_else(machine);
}

TEST(EnclaveGuard, T14_CpuidFromALyingProcessorGivesUdAndWritesNothing) {
    Machine machine;
    machine.processor.cpuid_leaves[{3, static_cast<u32>(aep)}] = {1, 2, 3, 4};
    EXPECT_EQ(machine.enclave_exits(BasicReason::cpuid, {.length = 2}), Next::resume);
    EXPECT_EQ(machine.count(Anomaly::reason_impossible_from_enclave), 1u);
    EXPECT_EQ(machine.count(Anomaly::instruction_length_not_zero), 1u);
    EXPECT_EQ(machine.count(Anomaly::rip_write_refused), 1u);
    EXPECT_EQ(machine.vcpu.registers().gpr[rbx], tcs);
    EXPECT_EQ(machine.vcpu.registers().gpr[rdx], 0u);
    expect_one_ud_and_nothing_else(machine);
}

TEST(EnclaveGuard, C1_NoReasonMakesAnEnclavesExitFetchDecodeOrTouchADevice) {
    for (u16 number = 0; number < reason_limit; ++number) {
        Machine machine;
        machine.processor.access = store;
        machine.enclave_exits(static_cast<BasicReason>(number), {.gpa = doorbell});
        EXPECT_EQ(machine.processor.decodes, 0u) << number;
        EXPECT_TRUE(machine.devices.touches.empty()) << number;
        EXPECT_TRUE(machine.devices.port_touches.empty()) << number;
        EXPECT_FALSE(machine.processor.rip_was_written()) << number;
        // Not even the page that RIP points into is looked at.
        EXPECT_EQ(machine.processor.page_uses[guest_ram_host + aep], 0u) << number;
        EXPECT_EQ(machine.vcpu.registers().gpr[rbx], tcs) << number;
    }
}

TEST(EnclaveGuard, C3_T23_WithTheTrapFlagOnlyUdIsDelivered) {
    Machine machine;
    EXPECT_EQ(machine.enclave_exits(BasicReason::ept_misconfiguration,
                                    {.gpa = doorbell, .rflags = 0x102}),
              Next::resume);
    EXPECT_EQ(machine.processor.writes_of(VmcsField::guest_pending_debug_exceptions), 0u);
    EXPECT_EQ(machine.processor.writes_of(VmcsField::guest_rflags), 0u);
    expect_one_ud_and_nothing_else(machine);
}

TEST(EnclaveGuard, C3_OutsideAnEnclaveTheTrapFlagTrapsAfterTheAccess) {
    Machine machine;
    machine.processor.access = store;
    machine.normal_exit(BasicReason::ept_misconfiguration, {.gpa = doorbell, .rflags = 0x102});
    EXPECT_EQ(machine.processor.at(VmcsField::guest_pending_debug_exceptions), 0x4000u);
}

TEST(EnclaveGuard, C4_OutsideAnEnclaveTheSameAccessIsEmulatedAndRings) {
    Machine machine;
    machine.processor.access = store;
    EXPECT_EQ(machine.normal_exit(BasicReason::ept_misconfiguration,
                                  {.gpa = doorbell + 0x40, .rax = 0x1'2345'6789}),
              Next::resume);
    ASSERT_EQ(machine.devices.touches.size(), 1u);
    EXPECT_EQ(machine.devices.touches[0].address, doorbell.raw() + 0x40);
    EXPECT_EQ(machine.devices.touches[0].value, 0x2345'6789u);
    EXPECT_EQ(machine.processor.at(VmcsField::guest_rip), kernel_rip + 3);
    EXPECT_EQ(machine.vcpu.counters().guard_hits, 0u);
    EXPECT_FALSE(machine.injected().has_value());
}

TEST(Skip, D1_LengthZeroLeavesRipAndEndsTheInterruptShadow) {
    Machine machine;
    EXPECT_EQ(machine.enclave_exits(BasicReason::ept_misconfiguration,
                                    {.gpa = doorbell, .interruptibility = 0x11}),
              Next::resume);
    EXPECT_EQ(machine.processor.at(VmcsField::guest_rip), aep);
    EXPECT_EQ(machine.processor.at(VmcsField::guest_interruptibility_state), 0x10u);
    EXPECT_EQ(machine.vcpu.counters().zero_length_skips, 1u);
    EXPECT_EQ(machine.vcpu.counters().skip_anomalies, 0u);
    EXPECT_EQ(machine.anomalies(), 0u);
}

TEST(Skip, D2_ALengthAfterAnEnclaveExitIsAnAnomalyAndRipStays) {
    Machine machine;
    machine.enclave_exits(BasicReason::ept_misconfiguration, {.gpa = doorbell, .length = 5});
    EXPECT_FALSE(machine.processor.rip_was_written());
    EXPECT_EQ(machine.processor.at(VmcsField::guest_rip), aep);
    EXPECT_EQ(machine.count(Anomaly::rip_write_refused), 1u);
    EXPECT_EQ(machine.vcpu.counters().skip_anomalies, 1u);
    EXPECT_EQ(machine.vcpu.counters().zero_length_skips, 0u);
    expect_exception(machine.injected(), Vector::invalid_opcode);
}

TEST(Skip, D2_WithoutTheSkipCheckRipMoves) {
    Machine machine{without(Protection::skip_check)};
    machine.enclave_exits(BasicReason::ept_misconfiguration, {.gpa = doorbell, .length = 5});
    EXPECT_EQ(machine.processor.at(VmcsField::guest_rip), aep + 5);
    EXPECT_EQ(machine.count(Anomaly::rip_write_refused), 0u);
    EXPECT_EQ(machine.vcpu.counters().skip_anomalies, 1u);
}

TEST(Skip, D3_LengthZeroOutsideAnEnclaveIsReportedAndNotALivelock) {
    Machine machine;
    EXPECT_EQ(machine.normal_exit(BasicReason::cpuid), Next::stop);
    EXPECT_EQ(machine.count(Anomaly::zero_length_instruction), 1u);
    EXPECT_EQ(machine.vcpu.stop_report().reason, StopReason::no_instruction_length);
    EXPECT_EQ(machine.processor.at(VmcsField::guest_rip), kernel_rip);
}

TEST(Skip, D4_DbOfAnEnclavesInt1IsInjectedAgainAndRipStaysAtTheAep) {
    Machine machine;
    const auto db = InterruptionInformation::hardware_exception(Vector::debug);
    EXPECT_EQ(machine.enclave_exits(BasicReason::exception_or_nmi, {.interruption = db}),
              Next::resume);
    EXPECT_FALSE(machine.processor.rip_was_written());
    expect_exception(machine.injected(), Vector::debug);
}

TEST(Skip, D5_Outside64BitModeRipIsCutTo32Bits) {
    Machine machine;
    machine.processor.at(VmcsField::guest_cs_access_rights) = 0xc09b;
    machine.normal_exit(BasicReason::cpuid, {.length = 2, .rip = 0xffff'ffff});
    EXPECT_EQ(machine.processor.at(VmcsField::guest_rip), 1u);
}

TEST(Skip, PassingOverAnInstructionEndsTheInterruptShadow) {
    Machine machine;
    machine.normal_exit(BasicReason::cpuid, {.length = 2, .interruptibility = 0x9});
    EXPECT_EQ(machine.processor.at(VmcsField::guest_interruptibility_state), 0x8u);
    EXPECT_EQ(machine.processor.at(VmcsField::guest_rip), kernel_rip + 2);
}

TEST(Interruptibility, G3_BlockingByMovSsIsRefusedBesideEnclaveInterruption) {
    Machine machine;
    machine.enclave_exits(BasicReason::external_interrupt);
    const auto both = InterruptibilityState::from_raw(0x12);
    EXPECT_FALSE(machine.vcpu.set_interruptibility(both));
    EXPECT_EQ(machine.count(Anomaly::mov_ss_shadow_refused), 1u);
    EXPECT_EQ(machine.processor.at(VmcsField::guest_interruptibility_state), 0x10u);
    EXPECT_EQ(machine.enclave_exits(BasicReason::external_interrupt), Next::resume);
}

TEST(Interruptibility, G3_WithoutTheCheckTheNextEntryFails) {
    Machine machine{without(Protection::mov_ss_shadow)};
    machine.enclave_exits(BasicReason::external_interrupt);
    EXPECT_TRUE(machine.vcpu.set_interruptibility(InterruptibilityState::from_raw(0x12)));
    EXPECT_EQ(machine.vcpu.run_once(), Next::stop);
    EXPECT_EQ(machine.vcpu.stop_report().reason, StopReason::entry_failed);
    EXPECT_EQ(machine.record().raw_reason, 0x8000'0021u);
}

TEST(Interruptibility, Bit4IsKeptAsTheExitSavedIt) {
    Machine machine;
    machine.enclave_exits(BasicReason::vmx_preemption_timer_expired);
    EXPECT_EQ(machine.processor.writes_of(VmcsField::guest_interruptibility_state), 0u);
    EXPECT_EQ(machine.record().interruptibility_after, 0x10u);
}

}  // namespace
}  // namespace postern::hv::test
