// SPDX-License-Identifier: Apache-2.0
// Every exit reason x {normal, enclave, delivery, injected delivery}, given to the hypervisor and
// held against expected_exits.h. What happened is read off the processor, not off the records.
#include <string_view>

#include "arch/vmx/exit_qualification.h"
#include "tests/support/fake_port.h"
#include "tests/unit/hv/expected_exits.h"

namespace postern::hv::test {
namespace {

using Info = InterruptionInformation;

constexpr Info first_event = Info::external(0x40);
constexpr Info exception = Info::hardware_exception(Vector::page_fault);
constexpr u32 length = 3;

static_assert(expected_exits.size() == reason_limit);
static_assert(is_strictly_sorted(expected_exits,
                                 [](const ExpectedExit& row) { return row.reason; }));

enum class Situation : u8 { normal, enclave, delivery, injected_delivery };

constexpr std::array<std::string_view, 17> outcome_names{"goes on",
                                                         "goes on, anomaly",
                                                         "dropped",
                                                         "mapped",
                                                         "passed over",
                                                         "halted",
                                                         "emulated",
                                                         "#UD",
                                                         "#UD, anomaly",
                                                         "#GP",
                                                         "#GP, anomaly",
                                                         "same exception",
                                                         "original event",
                                                         "original event, anomaly",
                                                         "mapped, original event",
                                                         "exception first",
                                                         "stops"};

struct Run {
    Outcome outcome;
    bool consistent = true;  // nothing beside the outcome happened
};

/// Every intercept that is never ours is on, so that dropping it can be seen.
Config matrix_config() {
    Config config = default_config();
    using enum PrimaryControl;
    config.forced_primary_controls =
        PrimaryControls{invlpg_exiting,  rdpmc_exiting, rdtsc_exiting, mwait_exiting,
                        monitor_exiting, pause_exiting, mov_dr_exiting}
            .to_raw();
    using enum SecondaryControl;
    config.forced_secondary_controls =
        SecondaryControls{rdrand_exiting, rdseed_exiting, descriptor_table_exiting,
                          enable_encls_exiting}
            .to_raw();
    return config;
}

/// Operands with which the instruction succeeds outside an enclave.
ExitInfo normal_info(BasicReason reason) {
    ExitInfo info{.gpa = doorbell + 0x40, .length = length};
    if (reason == BasicReason::ept_violation) info.gpa = Gpa{0x5123};
    if (reason == BasicReason::exception_or_nmi) info.interruption = exception;
    if (reason == BasicReason::control_register_access) {
        info.qualification = CrAccess::mov_to(4, rax).to_raw();
        info.rax = 0x20;
    }
    if (reason == BasicReason::rdmsr) info.rcx = 0x3a;
    if (reason == BasicReason::wrmsr) {
        info.rcx = 0x277;
        info.rax = 0;
    }
    if (reason == BasicReason::xsetbv) info.rax = 3;
    return info;
}

ExitInfo info_for(BasicReason reason, Situation situation) {
    if (situation == Situation::normal) return normal_info(reason);
    ExitInfo info{.gpa = doorbell};
    if (reason == BasicReason::ept_violation) info.gpa = epc_base;
    if (reason == BasicReason::exception_or_nmi) info.interruption = exception;
    if (situation == Situation::enclave) return info;
    if (reason != BasicReason::triple_fault) info.idt_vectoring = first_event;
    if (situation == Situation::injected_delivery) info.length = 2;
    if (reason == BasicReason::ept_violation) info.gpa = Gpa{0x7fff8};
    return info;
}

u64 intercepts(Machine& machine) {
    const u64 window = PrimaryControls{PrimaryControl::interrupt_window_exiting}.to_raw();
    return (machine.processor.at(VmcsField::primary_processor_based_controls) & ~window) << 32 |
           machine.processor.at(VmcsField::secondary_processor_based_controls);
}

Outcome outcome_of_event(Info event, bool mapped_now, bool anomaly) {
    using enum Outcome;
    if (event == first_event) {
        if (mapped_now) return mapped_original;
        return anomaly ? original_anomaly : original;
    }
    if (event == Info::hardware_exception(Vector::invalid_opcode)) return anomaly ? ud_anomaly : ud;
    if (event == Info::hardware_exception(Vector::general_protection))
        return anomaly ? gp_anomaly : gp;
    return same_exception;
}

Run run(BasicReason reason, Situation situation) {
    using enum Outcome;
    Machine machine{matrix_config()};
    machine.processor.access = {.kind = DecodedAccess::Kind::store_register,
                                .length = length,
                                .memory_size = 4,
                                .register_size = 4,
                                .gpr = rax};
    if (situation == Situation::injected_delivery)
        machine.enclave_exits(BasicReason::exception_or_nmi, {.interruption = exception});
    const u64 anomalies_before = machine.anomalies();
    const ExitInfo info = info_for(reason, situation);
    const u64 controls = intercepts(machine);
    const ExitReason raw =
        situation == Situation::normal ? ExitReason{reason} : ExitReason{reason}.in_enclave();
    const Next next = machine.exits_with(raw, info);
    if (next == Next::stop) return {stops, machine.watcher.stops.size() == 1};

    const u64 rip_before = situation == Situation::normal ? kernel_rip : aep;
    const u64 rip = machine.processor.at(VmcsField::guest_rip);
    const bool touched = !machine.devices.touches.empty();
    const bool mapped_now = machine.vm.ept().is_mapped(info.gpa);
    const bool dropped_now = intercepts(machine) != controls;
    const bool anomaly = machine.anomalies() != anomalies_before;
    const auto event = machine.injected();
    const bool waits = machine.processor.at(VmcsField::primary_processor_based_controls) >> 2 & 1;

    if (rip != rip_before) {
        const bool well =
            situation == Situation::normal && rip == rip_before + length && !event.has_value();
        if (next == Next::halt) return {halted, well && !touched};
        return {touched ? emulated : passed_over, well && !anomaly};
    }
    if (event.has_value()) {
        const bool well = !touched && !dropped_now;
        if (waits) return {first_exception, well && event.information == exception};
        return {outcome_of_event(event.information, mapped_now, anomaly), well};
    }
    if (dropped_now) return {dropped, !touched && !mapped_now};
    if (mapped_now) return {mapped, !touched && !anomaly};
    return {anomaly ? goes_on_anomaly : goes_on, !touched};
}

void hold(u16 number, Situation situation, Outcome expected) {
    const auto reason = static_cast<BasicReason>(number);
    const Run got = run(reason, situation);
    EXPECT_EQ(got.outcome, expected)
        << number << " " << name_of(reason) << ", situation " << static_cast<int>(situation) << ": "
        << outcome_names[static_cast<size_t>(got.outcome)] << ", not "
        << outcome_names[static_cast<size_t>(expected)];
    EXPECT_TRUE(got.consistent) << number << " " << name_of(reason);
}

TEST(Matrix, EveryNormalExitEndsAsExpected) {
    for (const ExpectedExit& row : expected_exits) hold(row.reason, Situation::normal, row.normal);
}

TEST(Matrix, EveryEnclaveExitEndsAsExpected) {
    for (const ExpectedExit& row : expected_exits) {
        // A triple fault is always one of a delivery: the manual gives it no vectoring.
        hold(row.reason, Situation::enclave, row.enclave);
    }
}

TEST(Matrix, EveryEnclaveDeliveryEndsAsExpected) {
    for (const ExpectedExit& row : expected_exits)
        hold(row.reason, Situation::delivery, row.delivery);
}

TEST(Matrix, EveryInjectedDeliveryEndsAsAnyDeliveryWhateverItsLength) {
    for (const ExpectedExit& row : expected_exits)
        hold(row.reason, Situation::injected_delivery, row.delivery);
}

TEST(Matrix, NothingThatCpl3CanCauseOutsideAnEnclaveStopsTheGuest) {
    // The asynchronous ones are not CPL 3's: triple fault, INIT, SIPI, SMIs, the virtual APIC's.
    constexpr std::array<u16, 8> not_instructions{2, 3, 4, 5, 6, 43, 45, 56};
    for (const ExpectedExit& row : expected_exits) {
        bool instruction = true;
        for (const u16 number : not_instructions) instruction &= number != row.reason;
        if (!instruction) continue;
        Machine machine{matrix_config()};
        machine.processor.access = {.kind = DecodedAccess::Kind::unsupported, .length = length};
        ExitInfo info = normal_info(static_cast<BasicReason>(row.reason));
        info.cpl = 3;
        EXPECT_NE(machine.normal_exit(static_cast<BasicReason>(row.reason), info), Next::stop)
            << row.reason;
    }
}

TEST(Matrix, ReservedReasonsAreCountedOfWhateverKind) {
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

}  // namespace
}  // namespace postern::hv::test
