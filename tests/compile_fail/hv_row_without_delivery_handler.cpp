// SPDX-License-Identifier: Apache-2.0
// The delivery of an event is a question of its own, for every reason.
#include "hv/exit/table.h"

using namespace postern;

consteval auto with_an_open_question() {
    auto rows = hv::exit_rows;
#ifndef CONTROL
    rows[48].delivery = nullptr;
#endif
    return rows;
}
constexpr auto rows = with_an_open_question();

// refuse: a_row_leaves_a_question_open
constexpr auto table = hv::index_exit_rows(rows);
