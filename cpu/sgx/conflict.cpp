// SPDX-License-Identifier: Apache-2.0
// When a requested conflict is due: a function of the leaf, of how often it was used, and of the
// seed alone.
#include "cpu/sgx/conflict.h"

#include "cpu/cpu.h"
#include "cpu/sgx/epc.h"

namespace postern::cpu::sgx {
namespace {

/// SplitMix64's finalizer: any word to one that looks random.
u64 scramble(u64 word) {
    word = (word ^ word >> 30) * 0xbf58'476d'1ce4'e5b9;
    word = (word ^ word >> 27) * 0x94d0'49bb'1331'11eb;
    return word ^ word >> 31;
}

bool is_due(const Conflicts& conflicts, unsigned row, u64 count) {
    const u64 rate = conflicts.rate[row];
    if (conflicts.seed == 0) {
        // Evenly spaced: where the sum of the rates passes a whole number. The sum's fraction is
        // all that matters, and it stays below 2^33.
        return (count * rate) % Conflicts::always + rate >= Conflicts::always;
    }
    const u64 random =
        scramble(conflicts.seed + (count * conflict_rows + row) * 0x9e37'79b9'7f4a'7c15);
    return random >> 32 < rate;
}

bool meets(Cpu& c, unsigned row) {
    Conflicts& conflicts = c.system->epc->conflicts;
    if (conflicts.rate[row] == 0) return false;
    return is_due(conflicts, row, conflicts.asked[row]++);
}

}  // namespace

bool meets_conflict(Cpu& c, EnclsLeaf leaf) { return meets(c, conflict_row(leaf)); }
bool meets_conflict(Cpu& c, EncluLeaf leaf) { return meets(c, conflict_row(leaf)); }

}  // namespace postern::cpu::sgx
