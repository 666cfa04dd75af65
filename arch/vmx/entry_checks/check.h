// SPDX-License-Identifier: Apache-2.0
// One check of VM entry, and a table of them: a row for each item of the manual's lists, with a
// predicate that says whether it holds.
#pragma once

#include <array>
#include <span>
#include <string_view>
#include <utility>

#include "arch/vmx/entry_checks/titles.h"
#include "arch/vmx/entry_checks/view.h"
#include "arch/vmx/exit_qualification.h"
#include "base/table.h"

namespace postern::vm_entry {

/// What a violated row makes of VMLAUNCH and VMRESUME: VMfailValid 7, VMfailValid 8, or a VM entry
/// that fails with exit reason 33.
enum class EntryFailure : u8 { controls, host, guest };

template <EntryView View>
struct EntryCheck {
    std::string_view title;  // in SDM 3C
    std::string_view rule;   // unique; the item in our own words
    bool (*holds)(const View& v);
    /// Of the failed entry, for a check of guest state.
    EntryFailureQualification qualification = EntryFailureQualification::none;
};

template <EntryView View>
struct CheckTable {
    EntryFailure failure;
    std::span<const EntryCheck<View>> rows;
    /// The first row that does not hold, or null: the search as one function, with the predicates
    /// in it.
    const EntryCheck<View>* (*first_violated)(const View& v);

    [[nodiscard]] constexpr auto checks() const { return rows; }
};

template <class Checks, EntryView View, size_t n>
constexpr bool is_violated(const View& v, const EntryCheck<View>*& found) {
    constexpr auto holds = Checks::rows[n].holds;
    if (holds(v)) return false;
    found = &Checks::rows[n];
    return true;
}

template <class Checks, EntryView View>
constexpr const EntryCheck<View>* first_violated_of(const View& v) {
    const EntryCheck<View>* found = nullptr;
    [&]<size_t... n>(std::index_sequence<n...>) {
        (void)(is_violated<Checks, View, n>(v, found) || ...);
    }(std::make_index_sequence<Checks::rows.size()>{});
    return found;
}

template <EntryView View, template <class> class Checks>
constexpr CheckTable<View> check_table(EntryFailure failure) {
    using Table = Checks<View>;
    static_assert(has_unique_keys(Table::rows, [](const auto& check) { return check.rule; }));
    return {failure, Table::rows, first_violated_of<Table, View>};
}

}  // namespace postern::vm_entry
