// SPDX-License-Identifier: Apache-2.0
// The table of choices.
#include "cpu/choices.h"

#include <algorithm>

#include "base/table.h"

namespace postern::cpu {

namespace {

constexpr std::array rows{
    ChoiceRow{"ewb-after-eldb",
              {"free", "tracked"},
              &Choices::ewb_after_eldb_wants_etrack,
              "[inf] Nobody can have used a page that came back blocked"},
    ChoiceRow{"exitinfo-after-ept",
              {"cleared", "stale"},
              &Choices::exitinfo_after_ept_is_stale,
              "[inf] The list of what EXITINFO reports has no VM exits in it"},
    ChoiceRow{"int1-in-debug-enclave",
              {"type5", "type3"},
              &Choices::int1_in_debug_enclave_is_type3,
              "[mem] Only INT3 is said to lose its interruption type in an enclave"},
    ChoiceRow{"rcx-after-aex-notify",
              {"next", "entry"},
              &Choices::rcx_after_notify_is_entry,
              "[text] The pseudo-code assigns RCX after RIP has become the entry point"},
    ChoiceRow{"vmx-instruction-in-enclave",
              {"exit", "ud"},
              &Choices::vmx_instruction_in_enclave_is_ud,
              "[inf] The list of illegal instructions has VMCALL and VMFUNC only"},
};
static_assert(is_strictly_sorted(rows, [](const ChoiceRow& row) { return row.name; }));

}  // namespace

std::span<const ChoiceRow> choice_rows() { return rows; }

bool set_choice(Choices& choices, std::string_view name, std::string_view value) {
    for (const ChoiceRow& row : rows) {
        if (row.name != name) continue;
        const auto found = std::ranges::find(row.values, value);
        if (found == row.values.end()) return false;
        choices.*row.member = found != row.values.begin();
        return true;
    }
    return false;
}

}  // namespace postern::cpu
