// SPDX-License-Identifier: Apache-2.0
// The demo's part in Debian, without Debian: its table, its judges, its reading of the selftests.
#include <algorithm>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "app/demo/debian_rows.h"
#include "app/demo/selftests.h"
#include "guests/scenarios.h"

namespace postern::app {
namespace {

size_t faults_of(const Scenario& scenario, const ScenarioRun& run, const Observation& seen) {
    Account account;
    judge(scenario, run, seen, account);
    return account.wrong.size();
}

const Scenario& row(std::string_view name) {
    return *std::ranges::find(debian_scenarios(), name, &Scenario::name);
}

TEST(DebianRows, NoneIsContentWithNothing) {
    EXPECT_EQ(debian_scenarios().size(), 40u);
    for (const Scenario& scenario : debian_scenarios()) {
        EXPECT_NE(faults_of(scenario, scenario.shown, {}), 0u) << scenario.name;
        EXPECT_FALSE(scenario.controls[0].label.empty()) << scenario.name;
        for (const ScenarioRun& control : scenario.controls)
            EXPECT_NE(faults_of(scenario, control, {}), 0u) << scenario.name << control.label;
    }
}

TEST(DebianRows, EachIsAScenarioThatTheProcessKnows) {
    for (const Scenario& scenario : debian_scenarios()) {
        const std::string_view name = guest_name_of(scenario, scenario.shown);
        EXPECT_TRUE(std::ranges::any_of(guests::scenario_names, [&](const auto& known) {
            return std::string_view{known.name} == name;
        })) << name;
    }
}

hv::ExitRecord mapped_doorbell(u64 address) {
    hv::ExitRecord exit;
    exit.raw_reason = 0x0800'0030;
    exit.kind = hv::ExitKind::enclave;
    exit.action = hv::Action::guarded;
    exit.injected = 0x8000'0306;
    exit.cpl = 3;
    exit.interruptibility_before = 0x10;
    exit.rip_or_aep = exit.rip_after = exit.rcx = 0x4000;
    exit.rax = 3;
    exit.guest_physical = address;
    return exit;
}

TEST(DebianRows, TheDoorbellIsWhereLinuxHasPutIt) {
    const Scenario& mmio = row("mmio");
    Observation seen;
    seen.of_a_process = true;
    seen.doorbell = 0xc000'0000;
    seen.exits = {mapped_doorbell(0xc000'0000)};
    seen.row_end = 1;
    const size_t right = faults_of(mmio, mmio.shown, seen);
    seen.exits = {mapped_doorbell(0xfe00'0000)};
    EXPECT_EQ(faults_of(mmio, mmio.shown, seen), right + 1);
}

TEST(DebianRows, WhatTheKernelDoesMeanwhileIsNoPartOfTheRow) {
    const Scenario& cpuid = row("cpuid");
    const ScenarioRun& outside = cpuid.controls[0];
    hv::ExitRecord exit;
    exit.raw_reason = 10;
    exit.action = hv::Action::emulated;
    exit.cpl = 3;
    exit.rip_after = 2;
    Observation seen;
    seen.of_a_process = true;
    seen.exits = {exit};
    seen.row_end = 1;
    const size_t right = faults_of(cpuid, outside, seen);
    exit.cpl = 0;
    seen.exits.push_back(exit);
    seen.anomalies.push_back({hv::Anomaly::control_never_set, 1, 0});
    seen.row_end = 2;
    EXPECT_EQ(faults_of(cpuid, outside, seen), right);
    seen.exits[1].cpl = 3;
    seen.anomalies[0].cpl = 3;
    EXPECT_EQ(faults_of(cpuid, outside, seen), right + 2) << "one exit and one anomaly too many";
}

std::string line_of(size_t number, const char* word) {
    return fmt::format("selftest {} {} enclave.test_{}", word, number, number);
}

TEST(Selftests, SixteenThatPassedAndTheHarnessSaysSo) {
    Selftests selftests;
    EXPECT_EQ(selftests.read("selftest TAP version 13"), nullptr);
    for (size_t n = 1; n <= 16; ++n) ASSERT_NE(selftests.read(line_of(n, "ok")), nullptr);
    EXPECT_FALSE(selftests.right()) << "not before the harness has said it";
    EXPECT_EQ(selftests.read("selftest # PASSED: 16 / 16 tests passed."), nullptr);
    EXPECT_TRUE(selftests.right());
    EXPECT_EQ(selftests.results()[2].name, "test_3");
}

TEST(Selftests, OneThatFailedOrIsMissingIsSeen) {
    Selftests failed, missing;
    for (size_t n = 1; n <= 16; ++n) failed.read(line_of(n, n == 7 ? "not ok" : "ok"));
    for (size_t n = 1; n <= 15; ++n) missing.read(line_of(n, "ok"));
    EXPECT_EQ(failed.passed(), 15u);
    for (Selftests* const some : {&failed, &missing}) {
        some->read("selftest # PASSED: 16 / 16 tests passed.");
        EXPECT_FALSE(some->right());
    }
}

}  // namespace
}  // namespace postern::app
