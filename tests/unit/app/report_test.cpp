// SPDX-License-Identifier: Apache-2.0
// Reports as a user reads them.
#include "app/report.h"

#include <gtest/gtest.h>

namespace postern::app {
namespace {

using Lines = std::vector<std::string>;

TEST(Report, AnExitReasonIsShownRawAndDecoded) {
    EXPECT_EQ(reason_text(0x0800'0031), "0x08000031 = 49 (ept_misconfiguration) from an enclave");
    EXPECT_EQ(reason_text(0x0000'000a), "0x0000000a = 10 (cpuid)");
    EXPECT_EQ(reason_text(0x8000'0021),
              "0x80000021 = 33 (entry_failure_guest_state), VM-entry failure");
    EXPECT_EQ(reason_text(0xdead), "no exit reason: the entry failed");
}

TEST(Report, AStopNamesReasonExitAndAdvice) {
    hv::StopReport report;
    report.reason = hv::StopReason::unknown_exit_reason;
    report.detail = 0x0800'0034;
    report.exit.sequence = 7;
    report.exit.raw_reason = 0x0800'0034;
    report.exit.kind = hv::ExitKind::enclave;
    report.exit.cpl = 3;
    report.exit.rip_or_aep = 0x4000;
    report.exit.tcs = 0x5000;
    report.exit.rax = 3;
    report.exit.rcx = 0x4000;
    EXPECT_EQ(
        stop_lines(report),
        (Lines{"the guest was stopped: the exit reason matches no row of the table (0x8000034)",
               "  exit 7: 0x08000034 = 52 (vmx_preemption_timer_expired) from an enclave",
               "  AEP 0x4000, CPL 3, RAX 0x3, RCX 0x4000, TCS 0x5000",
               "  qualification 0x0, linear 0x0, physical 0x0, length 0",
               "  with the protection \"capture\" on, flags are never part of the number"}));
}

TEST(Report, AnEnclaveNeverHasARip) {
    hv::StopReport report;
    report.reason = hv::StopReason::triple_fault;
    for (const hv::ExitKind kind : {hv::ExitKind::enclave, hv::ExitKind::delivery}) {
        report.exit.kind = kind;
        for (const std::string& line : stop_lines(report))
            EXPECT_EQ(line.find("RIP"), std::string::npos) << line;
    }
    report.exit.kind = hv::ExitKind::normal;
    EXPECT_TRUE(stop_lines(report)[2].starts_with("  RIP"));
}

TEST(Report, AnAnomalyNamesItsExit) {
    hv::ExitRecord record;
    record.sequence = 4;
    record.raw_reason = 0x0800'000a;
    EXPECT_EQ(anomaly_lines(hv::Anomaly::reason_impossible_from_enclave, record),
              (Lines{"anomaly: an exit reason that is impossible from an enclave (exit 4: "
                     "0x0800000a = 10 (cpuid) from an enclave)"}));
}

TEST(Report, ALivelockNamesAepTcsReasonAndWhatToDo) {
    hv::ExitRecord record;
    record.sequence = 999;
    record.raw_reason = 0x0800'0034;
    record.kind = hv::ExitKind::enclave;
    record.rip_or_aep = 0x4000;
    record.tcs = 0x5000;
    EXPECT_EQ(anomaly_lines(hv::Anomaly::livelock, record),
              (Lines{"anomaly: a livelock of an enclave (exit 999: 0x08000034 = 52 "
                     "(vmx_preemption_timer_expired) from an enclave)",
                     "  AEP 0x4000, TCS 0x5000: the same exit again and again, and no instruction "
                     "of the enclave retires",
                     "  ERESUME alone uses up the timer's period: give it a longer one"}));
    record.raw_reason = 0x0800'0028;
    EXPECT_NE(anomaly_lines(hv::Anomaly::livelock, record)[2].find("\"retry\""), std::string::npos);
}

TEST(Report, EveryStopHasAText) {
    for (unsigned n = 1; n <= static_cast<unsigned>(hv::StopReason::not_implemented); ++n) {
        hv::StopReport report;
        report.reason = static_cast<hv::StopReason>(n);
        EXPECT_EQ(stop_lines(report)[0].find("not stopped"), std::string::npos) << n;
    }
}

TEST(Report, OnlyCountersThatCountedAreShown) {
    hv::Counters counters;
    counters.exits = 3;
    counters.by_reason[10][0] = 2;
    counters.by_reason[49][1] = 1;
    counters.anomalies[static_cast<size_t>(hv::Anomaly::rip_write_refused)] = 4;
    EXPECT_EQ(counter_lines(counters, 100),
              (Lines{"         100  instructions", "           3  exits",
                     "           2  exits: 10 cpuid, normal",
                     "           1  exits: 49 ept_misconfiguration, enclave",
                     "           4  anomalies: a write of RIP after an enclave's exit, refused"}));
}

TEST(Report, EndingsByTheGuestsOwnWillSayNothing) {
    host::RunResult result;
    EXPECT_TRUE(ending_lines(result).empty());
    result.ending = host::Ending::processor;
    result.what = "not implemented: fld1 at RIP 0x100001";
    EXPECT_EQ(ending_lines(result), Lines{"not implemented: fld1 at RIP 0x100001"});
    result.ending = host::Ending::instruction_limit;
    result.instructions = 5;
    EXPECT_EQ(ending_lines(result), Lines{"stopped at the limit, after 5 instructions"});
}

}  // namespace
}  // namespace postern::app
