// SPDX-License-Identifier: Apache-2.0
// The second row of a reason would never be reached.
#include "hv/exit/table.h"

using namespace postern;

consteval auto with_a_doubled_row() {
    auto rows = hv::exit_rows;
#ifndef CONTROL
    rows[11].reason = BasicReason::cpuid;
#endif
    return rows;
}
constexpr auto rows = with_a_doubled_row();

// refuse: two_rows_for_one_exit_reason
constexpr auto table = hv::index_exit_rows(rows);
