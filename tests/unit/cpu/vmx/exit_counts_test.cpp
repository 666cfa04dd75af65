// SPDX-License-Identifier: Apache-2.0
// The processor's own count of its VM exits.
#include "cpu/vmx/exit_counts.h"

#include "cpu/run.h"
#include "unit/cpu/vmx/running_guest.h"

namespace postern::cpu::vmx {
namespace {

using G = RunningGuest;

u64 all(const ExitCounts& counts) {
    u64 sum = 0;
    for (const auto& row : counts.by_reason) sum += row[0] + row[1];
    for (const u64 failed : counts.failed_entries) sum += failed;
    return sum;
}

TEST(ExitCounts, TellApartFlagAndFailure) {
    ExitCounts counts;
    counts.count(ExitReason::from_vmcs(0x0000'0030));
    counts.count(ExitReason::from_vmcs(0x0800'0030));
    counts.count(ExitReason::from_vmcs(0x0c00'0030));
    counts.count(ExitReason::from_vmcs(0x8000'0021));
    counts.count(ExitReason::from_vmcs(0x0000'0056));  // 86: there is none
    EXPECT_EQ(counts.by_reason[48][0], 1u);
    EXPECT_EQ(counts.by_reason[48][1], 2u);
    EXPECT_EQ(counts.failed_entries[33], 1u);
    EXPECT_EQ(all(counts), 4u);
}

TEST(ExitCounts, CountWhatTheProcessorDoes) {
    G g;
    g.exit_of({0x0f, 0xa2});
    EXPECT_EQ(g.c.exit_counts.by_reason[10][0], 1u);
    EXPECT_EQ(all(g.c.exit_counts), 1u);
}

TEST(ExitCounts, AreOfOneProcessorAndOutliveItsReset) {
    G one, other;
    one.exit_of({0x0f, 0x08});
    EXPECT_EQ(all(one.c.exit_counts), 1u);
    EXPECT_EQ(all(other.c.exit_counts), 0u);
    reset(one.c, *one.c.system, one.c.number);
    EXPECT_EQ(all(one.c.exit_counts), 1u);
}

}  // namespace
}  // namespace postern::cpu::vmx
