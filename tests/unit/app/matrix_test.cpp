// SPDX-License-Identifier: Apache-2.0
// Every exit reason x {normal, enclave, delivery, injected delivery} against expected_exits.h, and
// that the comparison would find what is wrong.
#include "app/matrix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

namespace postern::app {
namespace {

static_assert(expected_exits.size() == reason_limit);

void hold(Situation situation) {
    const std::vector<MatrixRow> rows = run_matrix(expected_exits);
    ASSERT_EQ(rows.size(), reason_limit);
    for (const MatrixRow& row : rows) {
        const MatrixCell& cell = row.cells[static_cast<size_t>(situation)];
        EXPECT_EQ(cell.got, cell.expected) << name_of(row.reason);
        EXPECT_EQ(cell.beside, "") << name_of(row.reason);
    }
}

TEST(Matrix, EveryNormalExitEndsAsExpected) { hold(Situation::normal); }
TEST(Matrix, EveryEnclaveExitEndsAsExpected) { hold(Situation::enclave); }
TEST(Matrix, EveryEnclaveDeliveryEndsAsExpected) { hold(Situation::delivery); }
TEST(Matrix, EveryInjectedDeliveryEndsAsAnyDeliveryWhateverItsLength) {
    hold(Situation::injected_delivery);
}

TEST(Matrix, NothingThatCpl3CanCauseOutsideAnEnclaveStopsTheGuest) {
    // The asynchronous ones are not CPL 3's: triple fault, INIT, SIPI, SMIs, the virtual APIC's.
    constexpr std::array<u16, 8> not_instructions{2, 3, 4, 5, 6, 43, 45, 56};
    for (const ExpectedExit& row : expected_exits) {
        if (std::ranges::find(not_instructions, row.reason) != not_instructions.end()) continue;
        const auto reason = static_cast<BasicReason>(row.reason);
        host::fake::Machine machine{matrix_config()};
        machine.processor.access = {.kind = hv::DecodedAccess::Kind::unsupported, .length = 3};
        host::fake::ExitInfo info = matrix_exit(reason, Situation::normal);
        info.cpl = 3;
        EXPECT_NE(machine.normal_exit(reason, info), hv::Next::stop) << row.reason;
    }
}

struct Printed {
    int status;
    std::string out, err;
};

Printed print(MatrixFormat format, std::span<const ExpectedExit> expected) {
    std::ostringstream out, err;
    const int status = matrix_command(format, {out, err}, expected);
    return {status, out.str(), err.str()};
}

TEST(MatrixCommand, PrintsARowForEveryReasonAndSucceeds) {
    for (const MatrixFormat format : {MatrixFormat::text, MatrixFormat::markdown}) {
        const Printed printed = print(format, expected_exits);
        EXPECT_EQ(printed.status, 0);
        EXPECT_EQ(printed.err, "");
        for (size_t n = 0; n < reason_limit; ++n)
            EXPECT_NE(printed.out.find(name_of(static_cast<BasicReason>(n))), std::string::npos);
    }
}

TEST(MatrixCommand, NamesEachCellThatIsNotAsExpectedAndFails) {
    auto wrong = expected_exits;
    wrong[10].enclave = Outcome::passed_over;
    wrong[48].delivery = Outcome::stops;
    const Printed printed = print(MatrixFormat::text, wrong);
    EXPECT_EQ(printed.status, 1);
    EXPECT_EQ(printed.err,
              "postern: exit 10 (cpuid), enclave: \"#UD !\", expected \"passed over\"\n"
              "postern: exit 48 (ept_violation), delivery: \"mapped, event\", expected \"stops\"\n"
              "postern: exit 48 (ept_violation), injected delivery: \"mapped, event\", expected "
              "\"stops\"\n");
}

TEST(MatrixCommand, AMissingReasonFails) {
    const Printed printed =
        print(MatrixFormat::text, std::span{expected_exits}.first(reason_limit - 1));
    EXPECT_EQ(printed.status, 1);
    EXPECT_EQ(printed.err, "postern: 85 rows for 86 exit reasons\n");
}

}  // namespace
}  // namespace postern::app
