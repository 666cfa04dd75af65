// SPDX-License-Identifier: Apache-2.0
// Checks that every constant table of the project makes of itself when it is compiled.
#pragma once

#include "base/types.h"

namespace postern {

/// True if `key(row)` rises strictly from row to row: sorted, and no key twice.
template <class Table, class Key>
consteval bool is_strictly_sorted(const Table& table, Key key) {
    for (size_t i = 1; i < table.size(); ++i)
        if (!(key(table[i - 1]) < key(table[i]))) return false;
    return true;
}

/// True if no two rows have the same `key(row)`, in whatever order they stand.
template <class Table, class Key>
consteval bool has_unique_keys(const Table& table, Key key) {
    for (size_t i = 0; i < table.size(); ++i)
        for (size_t j = 0; j < i; ++j)
            if (key(table[i]) == key(table[j])) return false;
    return true;
}

}  // namespace postern
