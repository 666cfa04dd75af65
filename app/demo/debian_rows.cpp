// SPDX-License-Identifier: Apache-2.0
// Sources beyond those of scenarios.cpp: SDM 3C, "Relative Priority of Faults and VM Exits" (faults
// of the privilege level come before the exit); SDM 3A, "User-Mode Instruction Prevention".
#include "app/demo/debian_rows.h"

#include <algorithm>
#include <vector>

namespace postern::app {

namespace {

using enum hv::Action;

constexpr std::string_view as_in_our_guest[] = {
    "cpuid",
    "in",
    "out",
    "rdpmc",
    "sgdt",
    "sldt",
    "vmcall",
    "syscall",
    "pause",
    "rdrand_hidden",
    "rdseed_hidden",
    "rdrand_shown",
    "rdseed_shown",
    "rdtsc_legal",
    "rdtscp_legal",
    "mov_dr",
    "vmread",
    "vmread_ud",
    "int3",
    "int1",
    "int3_debug",
    "int1_debug",
    "int1_debug_type3",
    "single_step",
    "single_step_debug",
    "divide",
    "page_fault",
    "epcm_fault",
    "gp",
    "mmio_violation",
    "mmio_gp",
    "mmio_stop",
    "mmio_tf",
    "nmi",
    "external_interrupt",
    "interrupt_window",
    "mtf",
    "mtf_debug",
    "timer",
};

/// Outside, in ring 3: no exit, and `said`.
void no_exit_outside(Scenario& row, std::string_view label, std::string_view said) {
    row.control = label;
    row.controls[0].exits = {};
    row.controls[0].anomalies = {};
    row.controls[0].said = said;
}

void rdpmc(Scenario& row) {
    no_exit_outside(row, "outside: #GP, CR4.PCE is 0", "outside_count=1 outside_vector=13");
}
void sgdt(Scenario& row) {
    no_exit_outside(row, "outside: UMIP, Linux answers", "outside_count=0");
}
void mov_dr(Scenario& row) {
    no_exit_outside(row, "outside: #GP, CPL is 3", "outside_count=1 outside_vector=13");
}

/// The page that the enclave may not write is its data, and only its EPCM entry says so.
void epcm_fault(Scenario& row) {
    constexpr u64 page = 0x1000'0000'8000;
    row.in_the_enclave = "a store after EMODPR, intercepted";
    row.shown.exits[0].qualification = page;
    row.shown.said =
        "count=1 vector=14 error=8007 cr2=100000008000 rip_is_aep=1 "
        "exitinfo=8000030e exinfo_address=100000008ff8 exinfo_error=8007";
}

/// User space cannot clear RFLAGS.IF.
void interrupt_window(Scenario& row) {
    row.control = "without capture: stopped";
    row.controls = {ScenarioRun{
        .label = "without capture",
        .setting = {.protections = hv::all_protections.with(hv::Protection::capture, false),
                    .timer = 10'000,
                    .disturbance = Disturbance::interrupt_window},
        .exits = {ExpectedExits{.raw_reason = 0x0800'0034, .action = stopped}},
        .said = "start=1 -inside -digest",
        .end = {.ending = host::Ending::stopped,
                .reason = hv::StopReason::unknown_exit_reason,
                .detail = 0x0800'0034}}};
}

/// The windows of PCI functions are too large to be marked page by page: their pages have no EPT
/// entry.
void by_violation(ScenarioRun& run) {
    for (ExpectedExits& exits : run.exits) {
        if (exits.raw_reason == 0x0800'0031) exits.raw_reason = 0x0800'0030;
        if (exits.raw_reason == 49) exits.raw_reason = 48;
    }
}
void mmio(Scenario& row) {
    if (row.raw_exit == "0x08000031, once") row.raw_exit = "0x08000030, once";
    if (row.control == "outside: 49, emulated") row.control = "outside: 48, emulated";
    if (row.control == "outside: 49, emulated, then #DB")
        row.control = "outside: 48, emulated, then #DB";
    by_violation(row.shown);
    for (ScenarioRun& control : row.controls) by_violation(control);
}

/// Two hashes of 4 KiB compress 65 blocks each, none of them in fewer than 1,000 instructions.
constexpr u32 fewest_instructions = 2 * 65 * 1'000;
constexpr Setting after_each_instruction{.disturbance = Disturbance::every_instruction,
                                         .livelock_ticks = 1};
constexpr Scenario every_instruction{
    .name = "every_instruction",
    .guest_name = "timer",
    .in_the_enclave = "hashes, each instruction interrupted",
    .raw_exit = "0x08000001, each instruction",
    .postern = "goes on at the AEP",
    .guest_saw = "ERESUMEs, nothing of its state",
    .control = "without capture: stopped",
    .shown = {.label = "inside",
              .setting = after_each_instruction,
              .exits = {ExpectedExits{.raw_reason = 0x0800'0001,
                                      .least = fewest_instructions,
                                      .most = 10 * fewest_instructions,
                                      .action = retried}},
              .said = "count=0 inside=ok"},
    .controls = {ScenarioRun{
        .label = "without capture",
        .setting = {.protections = hv::all_protections.with(hv::Protection::capture, false),
                    .disturbance = Disturbance::every_instruction},
        .exits = {ExpectedExits{.raw_reason = 0x0800'0001, .action = stopped}},
        .said = "start=1 -inside -digest",
        .end = {.ending = host::Ending::stopped,
                .reason = hv::StopReason::unknown_exit_reason,
                .detail = 0x0800'0001}}}};

struct Difference {
    std::string_view name;
    void (*apply)(Scenario&);
};
constexpr Difference differences[] = {
    {"rdpmc", rdpmc},
    {"sgdt", sgdt},
    {"sldt", sgdt},
    {"mov_dr", mov_dr},
    {"epcm_fault", epcm_fault},
    {"interrupt_window", interrupt_window},
    {"mmio_gp", mmio},
    {"mmio_stop", mmio},
    {"mmio_tf", mmio},
};

std::vector<Scenario> made() {
    std::vector<Scenario> rows;
    for (const std::string_view name : as_in_our_guest) {
        const auto found = std::ranges::find(scenarios(), name, &Scenario::name);
        if (found == scenarios().end()) continue;
        Scenario& row = rows.emplace_back(*found);
        if (row.name == "mmio_violation") row.name = "mmio";
        for (const Difference& difference : differences)
            if (difference.name == name) difference.apply(row);
    }
    rows.push_back(every_instruction);
    return rows;
}

}  // namespace

std::span<const Scenario> debian_scenarios() {
    static const std::vector<Scenario> rows = made();
    return rows;
}

}  // namespace postern::app
