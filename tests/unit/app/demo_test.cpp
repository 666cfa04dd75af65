// SPDX-License-Identifier: Apache-2.0
// The judges of the demo: what they accept is shown by the demo itself, that they refuse is
// shown here.
#include "app/demo/demo.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "app/demo/rows.h"
#include "app/demo/scenarios.h"

namespace postern::app {
namespace {

hv::ExitRecord enclave_exit(u32 raw_reason) {
    hv::ExitRecord exit;
    exit.raw_reason = raw_reason;
    exit.kind = hv::ExitKind::enclave;
    exit.cpl = 3;
    exit.interruptibility_before = 0x10;
    exit.rip_or_aep = exit.rip_after = exit.rcx = 0x4000;
    exit.rax = 3;
    return exit;
}

size_t faults_of(const hv::ExitRecord& exit) {
    Account account;
    expect_enclave_exit(exit, account);
    return account.wrong.size();
}

TEST(Demo, NoRowAndNoControlIsContentWithNothing) {
    const Observation nothing;
    for (const Row& row : demo_rows()) {
        Account account;
        row.judge(nothing, account);
        EXPECT_FALSE(account.wrong.empty()) << row.title;
        for (const Control& control : row.controls) {
            Account harm;
            control.judge(nothing, harm);
            EXPECT_FALSE(harm.wrong.empty()) << control.label;
        }
    }
}

TEST(Demo, EveryControlButTheLyingProcessorsLeavesItsProtectionOut) {
    for (const Row& row : demo_rows())
        for (const Control& control : row.controls) {
            const bool left_out = !control.experiment.protections.has(control.left_out);
            EXPECT_EQ(left_out, control.label.starts_with("without")) << control.label;
            EXPECT_EQ(control.experiment.row, row.number);
        }
}

size_t faults_of(const Scenario& scenario, const ScenarioRun& run, const Observation& seen) {
    Account account;
    judge(scenario, run, seen, account);
    return account.wrong.size();
}

TEST(Scenarios, NoneIsContentWithNothing) {
    for (const Scenario& scenario : scenarios()) {
        EXPECT_NE(faults_of(scenario, scenario.shown, {}), 0u) << scenario.name;
        EXPECT_FALSE(scenario.controls[0].label.empty()) << scenario.name;
        for (const ScenarioRun& control : scenario.controls)
            EXPECT_NE(faults_of(scenario, control, {}), 0u) << scenario.name << control.label;
    }
}

TEST(Scenarios, AControlWithoutAProtectionLeavesItOut) {
    for (const Scenario& scenario : scenarios()) {
        EXPECT_EQ(scenario.shown.setting.protections, hv::all_protections) << scenario.name;
        for (const ScenarioRun& control : scenario.controls)
            EXPECT_EQ(control.setting.protections != hv::all_protections,
                      control.label.starts_with("without"))
                << scenario.name;
    }
}

/// What a run of the scenario "vmread" shows.
Observation seen_vmread() {
    Observation seen;
    auto exit = enclave_exit(0x0800'0017);
    exit.action = hv::Action::faulted;
    exit.injected = 0x8000'0306;
    seen.exits = {exit};
    seen.row_end = 1;
    for (const auto& [key, value] :
         {std::pair{"start", "1"},
          {"end", "1"},
          {"count", "1"},
          {"vector", "6"},
          {"error", "0"},
          {"ring", "3"},
          {"resumes", "1"},
          {"rip_is_aep", "1"},
          {"exitinfo", "0"},
          {"stepped_over", "1"},
          {"synthetic", "1"},
          {"xmm_clear", "1"},
          {"mxcsr", "1fb0"},
          {"digest", "7486da8f1e13943fae21a0b043f1e99640d7d8ebafb25266478b5cddae1272b5"}})
        seen.said.emplace(key, value);
    return seen;
}

TEST(Scenarios, EveryDeviationIsSeen) {
    const auto vmread = std::ranges::find(scenarios(), "vmread", &Scenario::name);
    ASSERT_NE(vmread, scenarios().end());
    const auto faults = [&](const auto& change) {
        Observation seen = seen_vmread();
        change(seen);
        return faults_of(*vmread, vmread->shown, seen);
    };
    EXPECT_EQ(faults([](Observation&) {}), 0u);
    EXPECT_NE(faults([](Observation& seen) {
                  seen.exits.push_back(seen.exits[0]);
                  seen.row_end = 2;
              }),
              0u);
    EXPECT_NE(faults([](Observation& seen) {
                  seen.exits.clear();
                  seen.row_end = 0;
              }),
              0u);
    EXPECT_NE(faults([](Observation& seen) { seen.exits[0].raw_reason = 0x17; }), 0u);
    EXPECT_NE(faults([](Observation& seen) { seen.exits[0].raw_reason = 0x0800'0018; }), 0u);
    EXPECT_NE(faults([](Observation& seen) { seen.exits[0].action = hv::Action::emulated; }), 0u);
    EXPECT_NE(faults([](Observation& seen) { seen.exits[0].injected = 0x8000'0b0d; }), 0u);
    EXPECT_NE(faults([](Observation& seen) { seen.exits[0].rip_after += 3; }), 0u);
    EXPECT_NE(faults([](Observation& seen) { seen.exits[0].kind = hv::ExitKind::normal; }), 0u);
    EXPECT_NE(faults([](Observation& seen) { seen.exits[0].idt_vectoring = 0x8000'0300; }), 0u);
    EXPECT_NE(faults([](Observation& seen) { seen.ring_count = 1; }), 0u);
    EXPECT_NE(faults([](Observation& seen) { seen.result.value = 1; }), 0u);
    EXPECT_NE(faults([](Observation& seen) { seen.said.erase("digest"); }), 0u);
    EXPECT_NE(faults([](Observation& seen) { seen.said.emplace("count", "2"); }), 0u);
    EXPECT_NE(faults([](Observation& seen) {
                  seen.anomalies.push_back({hv::Anomaly::rip_write_refused, 0});
              }),
              0u);
}

TEST(Demo, AnEnclavesExitIsAcceptedAndEveryDeviationIsNot) {
    EXPECT_EQ(faults_of(enclave_exit(0x0800'0034)), 0u);
    EXPECT_EQ(faults_of(enclave_exit(0x0000'0034)), 1u);
    auto exit = enclave_exit(0x0800'0034);
    exit.interruptibility_before = 0;
    EXPECT_EQ(faults_of(exit), 1u);
    exit = enclave_exit(0x0800'0034);
    exit.kind = hv::ExitKind::normal;
    EXPECT_EQ(faults_of(exit), 1u);
    exit = enclave_exit(0x0800'0034);
    exit.rax = 2;
    EXPECT_EQ(faults_of(exit), 1u);
    exit = enclave_exit(0x0800'0034);
    exit.rcx = 0x4004;
    EXPECT_EQ(faults_of(exit), 1u);
    exit = enclave_exit(0x0800'0034);
    exit.cpl = 0;
    EXPECT_EQ(faults_of(exit), 1u);
    exit = enclave_exit(0x0800'0034);
    exit.instruction_length = 4;
    EXPECT_EQ(faults_of(exit), 1u);
    exit = enclave_exit(0x0800'0034);
    exit.rip_after = 0x4004;
    EXPECT_EQ(faults_of(exit), 1u);
}

TEST(Demo, PageOffsetsAreLookedForWhereAddressesMeanSomething) {
    auto exit = enclave_exit(0x0800'0030);
    exit.guest_physical = 0x5040;
    EXPECT_EQ(faults_of(exit), 1u);
    exit.guest_physical = 0x5000;
    exit.guest_linear = 0x6040;
    EXPECT_EQ(faults_of(exit), 1u);
    exit = enclave_exit(0x0800'0031);
    exit.guest_physical = 0xfe00'0040;
    EXPECT_EQ(faults_of(exit), 1u);
    exit = enclave_exit(0x0800'0031);
    exit.guest_linear = 0x6040;  // not valid for a misconfiguration
    EXPECT_EQ(faults_of(exit), 0u);
}

// Computed with coreutils: head -c 4096 /dev/zero | sha256sum, and the same of the bytes
// (7 i + 3) mod 256 written by awk.
TEST(Demo, ExpectedDigestsAreTheRightOnes) {
    EXPECT_EQ(sha256_of_page(zero_byte),
              "ad7facb2586fc6e966c004d7d1d16b024f5805ff7cb47c7a85dabd8b48892ca7");
    EXPECT_EQ(sha256_of_page(pattern_byte),
              "7486da8f1e13943fae21a0b043f1e99640d7d8ebafb25266478b5cddae1272b5");
}

TEST(Demo, AWrongDigestIsWrong) {
    Account account;
    EXPECT_TRUE(check_digest("1234", "5678", account).ends_with("WRONG"));
    EXPECT_EQ(account.wrong.size(), 1u);
    EXPECT_TRUE(check_digest("5678", "5678", account).ends_with("right"));
    EXPECT_EQ(account.wrong.size(), 1u);
}

}  // namespace
}  // namespace postern::app
