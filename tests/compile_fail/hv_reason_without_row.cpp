// SPDX-License-Identifier: Apache-2.0
// A reason without a row would be a null pointer on the day it occurs.
#include "hv/exit/table.h"

using namespace postern;

#ifdef CONTROL
constexpr size_t count = reason_limit;
#else
constexpr size_t count = reason_limit - 1;
#endif

consteval auto first_rows() {
    return []<size_t... i>(std::index_sequence<i...>) {
        return std::array<hv::ExitRow, count>{hv::exit_rows[i]...};
    }(std::make_index_sequence<count>{});
}
constexpr auto rows = first_rows();

// refuse: an_exit_reason_has_no_row
constexpr auto table = hv::index_exit_rows(rows);
