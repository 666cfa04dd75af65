// SPDX-License-Identifier: Apache-2.0
// When a requested conflict is due: a function of the leaf, of how often it came to its check, and
// of its seed alone.
#include "cpu/sgx/conflict.h"

#include "base/scramble.h"
#include "base/table.h"
#include "cpu/cpu.h"
#include "cpu/sgx/epc.h"

namespace postern::cpu::sgx {
namespace {

constexpr std::string_view fault = "#GP(0)";

template <class Leaf>
constexpr ConflictLeaf row_of(Leaf leaf, std::string_view answer) {
    return {name_of(leaf), conflict_row(leaf), answer};
}

constexpr std::array leaves{
    row_of(EnclsLeaf::ecreate, fault),
    row_of(EnclsLeaf::eadd, fault),
    row_of(EnclsLeaf::einit, "UNMASKED_EVENT"),
    row_of(EnclsLeaf::eremove, fault),
    row_of(EnclsLeaf::edbgrd, fault),
    row_of(EnclsLeaf::edbgwr, fault),
    row_of(EnclsLeaf::eextend, fault),
    row_of(EnclsLeaf::eldb, fault),
    row_of(EnclsLeaf::eldu, fault),
    row_of(EnclsLeaf::eblock, "ENTRYEPOCH_LOCKED"),
    row_of(EnclsLeaf::epa, fault),
    row_of(EnclsLeaf::ewb, "NOT_TRACKED"),
    row_of(EnclsLeaf::etrack, "PREV_TRK_INCMPL"),
    row_of(EnclsLeaf::eaug, fault),
    row_of(EnclsLeaf::emodpr, "EPC_PAGE_CONFLICT"),
    row_of(EnclsLeaf::emodt, "EPC_PAGE_CONFLICT"),
    row_of(EncluLeaf::eenter, fault),
    row_of(EncluLeaf::eresume, fault),
    row_of(EncluLeaf::eaccept, "EPC_PAGE_CONFLICT"),
    row_of(EncluLeaf::emodpe, fault),
    row_of(EncluLeaf::eacceptcopy, "EPC_PAGE_CONFLICT"),
    row_of(EncluLeaf::edeccssa, fault),
};
static_assert(is_strictly_sorted(leaves, [](const ConflictLeaf& leaf) { return leaf.row; }));

bool is_due(const Conflicts& conflicts, unsigned row, u64 count) {
    const u64 rate = conflicts.rate[row];
    if (conflicts.seed[row] == 0) {
        // Evenly spaced: where the sum of the rates passes a whole number. `always` divides 2^64,
        // so the sum's fraction stays exact when the sum wraps.
        return (count * rate) % Conflicts::always + rate >= Conflicts::always;
    }
    const u64 random = scramble(conflicts.seed[row] + (count * conflict_rows + row) * golden_step);
    return random >> 32 < rate;
}

bool meets(Cpu& c, unsigned row) {
    Conflicts& conflicts = c.system->epc->conflicts;
    if (conflicts.rate[row] == 0) return false;
    const bool due = is_due(conflicts, row, conflicts.asked[row]++);
    conflicts.given[row] += u64{due};
    return due;
}

}  // namespace

std::span<const ConflictLeaf> conflict_leaves() { return leaves; }

void set_conflicts(Conflicts& conflicts, std::span<const ConflictRequest> requests) {
    Conflicts wanted;
    for (const ConflictRequest& request : requests) {
        wanted.rate[request.row] = request.rate;
        wanted.seed[request.row] = request.seed;
    }
    for (unsigned row = 0; row < conflict_rows; ++row) {
        if (wanted.rate[row] != conflicts.rate[row] || wanted.seed[row] != conflicts.seed[row])
            continue;
        wanted.asked[row] = conflicts.asked[row];
        wanted.given[row] = conflicts.given[row];
    }
    conflicts = wanted;
}

bool meets_conflict(Cpu& c, EnclsLeaf leaf) { return meets(c, conflict_row(leaf)); }
bool meets_conflict(Cpu& c, EncluLeaf leaf) { return meets(c, conflict_row(leaf)); }

}  // namespace postern::cpu::sgx
