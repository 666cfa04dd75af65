// SPDX-License-Identifier: Apache-2.0
// The second part of the demo: every kind of exit from an enclave, one line each. A scenario says
// what the enclave does, what its owner sets, which exits must be seen and what the guest must
// report; its controls are the same with a protection left out, outside the enclave, or with
// another setting. Every expectation is written down from the manual, none is computed.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "app/demo/row.h"
#include "host/guest.h"

namespace postern::app {

/// What the machine's owner does to the guest while the scenario runs.
enum class Disturbance : u8 {
    none,
    nmi,
    external_interrupt,
    interrupt_window,  // asked for after each timer exit from the enclave
    apic_page,
    every_instruction,  // the host's interrupt comes after each one of the enclave
};

/// What ERESUME and these guests' AEP take, and not the twice of it: no livelock is missed.
inline constexpr u64 aep_ticks = 10;

/// The intercepts are set in the VMCS when the scenario begins, so that nothing before it meets
/// them; the rest holds from the guest's start.
struct Setting {
    std::string_view mode = "inside";  // or "outside"
    std::string_view cpu = "postern-v3";
    u32 primary = 0;  // processor-based controls
    u32 secondary = 0;
    u32 exceptions = 0;
    hv::HiddenFeatures hidden{};
    hv::EnclaveFault enclave_fault = hv::EnclaveFault::ud;
    hv::MmioMarking mmio_marking = hv::MmioMarking::misconfiguration;
    hv::Protections protections = hv::all_protections;
    cpu::Choices choices{};
    u32 timer = 0;
    Disturbance disturbance = Disturbance::none;
    /// Monitor-trap exits after which the monitor trap flag is cleared; 0: never.
    u32 most_steps = 0;
    u64 instruction_limit = 100'000'000;
    u64 livelock_ticks = aep_ticks;
};

inline constexpr u32 any_number = ~u32{0};
inline constexpr u64 any_value = ~u64{0};

/// Exits of one kind: `raw_reason`, `interruption`, and where they are given `qualification`,
/// `idt_vectoring` and `rax` say which they are, the rest what each of them must be.
struct ExpectedExits {
    u32 raw_reason = any_number;  // any_number: none
    u32 least = 1, most = 1;
    hv::Action action = hv::Action::none;
    u32 injected = 0;
    u32 interruption = 0;
    u32 idt_vectoring = 0;
    u64 qualification = any_value;
    u64 rax = any_value;
    u64 guest_physical = any_value;
    hv::ExitKind kind = hv::ExitKind::enclave;
    bool rip_moves = false;
};

struct ExpectedAnomaly {
    hv::Anomaly anomaly{};
    u32 least = 0, most = 0;
};

/// How the run must end.
struct ExpectedEnd {
    host::Ending ending = host::Ending::exit_port;
    u32 value = 0;
    hv::StopReason reason = hv::StopReason::none;
    u64 detail = 0;
};

struct ScenarioRun {
    std::string_view label{};
    Setting setting{};
    std::array<ExpectedExits, 2> exits{};
    /// "count=1 vector=6 -livelock": said exactly once with this value, or with -, never.
    std::string_view said{};
    std::array<ExpectedAnomaly, 2> anomalies{};
    ExpectedEnd end{};
    u32 least_rings = 0, most_rings = 0;
    bool aep_rings = false;         // the doorbell's first ring is the store that lies at the AEP
    std::string_view guest_name{};  // if it is another scenario of the guest's
};

inline constexpr size_t most_controls = 2;

struct Scenario {
    std::string_view name;
    std::string_view guest_name;  // what every_exit.elf calls it
    std::string_view in_the_enclave;
    std::string_view raw_exit;
    std::string_view postern;
    std::string_view guest_saw;
    std::string_view control;
    ScenarioRun shown{};
    std::array<ScenarioRun, most_controls> controls{};
    /// Not empty: what keeps it out of the table.
    std::string_view open{};
};

std::span<const Scenario> scenarios();

/// What the guest calls what is run.
std::string_view guest_name_of(const Scenario& scenario, const ScenarioRun& run);

/// How a run is observed, without the guest, which has the run's setting but for its intercepts.
/// `run` must outlive it.
Trial trial_of(const Scenario& scenario, const ScenarioRun& run);

platform::Expected<Observation> observe(const Scenario& scenario, const ScenarioRun& run,
                                        const platform::Kernel& kernel);
void judge(const Scenario& scenario, const ScenarioRun& run, const Observation& seen,
           Account& account);

}  // namespace postern::app
