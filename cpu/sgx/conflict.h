// SPDX-License-Identifier: Apache-2.0
// Conflicts by request: a leaf answers as if another logical processor used the page, the SECS or
// the tracking facility at that moment. Processors here take turns, so no leaf ever meets one by
// itself; on silicon drivers meet them by luck.
#pragma once

#include <array>
#include <span>
#include <string_view>
#include <type_traits>

#include "arch/sgx/leaf.h"
#include "base/types.h"

namespace postern::cpu {
struct Cpu;
}

namespace postern::cpu::sgx {

inline constexpr unsigned conflict_rows = 64;
constexpr unsigned conflict_row(EnclsLeaf leaf) { return static_cast<unsigned>(leaf); }
constexpr unsigned conflict_row(EncluLeaf leaf) { return 32 + static_cast<unsigned>(leaf); }

/// Standard layout, saved with the EPC. All arrays are indexed by conflict_row().
struct Conflicts {
    static constexpr u64 always = u64{1} << 32;
    std::array<u64, conflict_rows> rate{};   // of `always`; 0: never
    std::array<u64, conflict_rows> seed{};   // 0: evenly spaced
    std::array<u64, conflict_rows> asked{};  // how often the leaf came to its concurrency check
    std::array<u64, conflict_rows> given{};  // how often it found a conflict there
};
static_assert(std::is_standard_layout_v<Conflicts> && std::is_trivially_copyable_v<Conflicts>);

/// A leaf whose concurrency check can fail, and what it answers then: "#GP(0)" or an error code of
/// RAX by name. SDM 3D, the leaf's "Concurrency Restrictions" and its error codes.
struct ConflictLeaf {
    std::string_view name;  // the manual's
    unsigned row;
    std::string_view answer;
};
/// ENCLS's before ENCLU's, each by number.
std::span<const ConflictLeaf> conflict_leaves();

/// What a user asked for.
struct ConflictRequest {
    unsigned row;
    u64 rate;  // of Conflicts::always, that included
    u64 seed;
};

/// From here on exactly these. A leaf whose rate and seed stay the same goes on counting.
void set_conflicts(Conflicts& conflicts, std::span<const ConflictRequest> requests);

/// The leaf has come to its concurrency check: is it to find a conflict this time? Counts.
bool meets_conflict(Cpu& c, EnclsLeaf leaf);
bool meets_conflict(Cpu& c, EncluLeaf leaf);

}  // namespace postern::cpu::sgx
