// SPDX-License-Identifier: Apache-2.0
// A row for a number above the highest basic exit reason is a typing error.
#include "hv/exit/table.h"

using namespace postern;

consteval auto with_a_number_too_high() {
    auto rows = hv::exit_rows;
#ifndef CONTROL
    rows[85].reason = static_cast<BasicReason>(86);
#endif
    return rows;
}
constexpr auto rows = with_a_number_too_high();

// refuse: a_row_has_no_exit_reason
constexpr auto table = hv::index_exit_rows(rows);
