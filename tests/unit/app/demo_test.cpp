// SPDX-License-Identifier: Apache-2.0
// The judges of the demo: what they accept is shown by the demo itself, that they refuse is
// shown here.
#include "app/demo/demo.h"

#include <gtest/gtest.h>

#include "app/demo/rows.h"

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
