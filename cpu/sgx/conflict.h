// SPDX-License-Identifier: Apache-2.0
// Conflicts by request: a leaf answers as if another logical processor used the page, the SECS or
// the tracking facility at that moment. Processors here take turns, so no leaf ever meets one by
// itself; on silicon drivers meet them by luck.
#pragma once

#include <array>

#include "arch/sgx/leaf.h"
#include "base/types.h"

namespace postern::cpu {
struct Cpu;
}

namespace postern::cpu::sgx {

inline constexpr unsigned conflict_rows = 64;
constexpr unsigned conflict_row(EnclsLeaf leaf) { return static_cast<unsigned>(leaf); }
constexpr unsigned conflict_row(EncluLeaf leaf) { return 32 + static_cast<unsigned>(leaf); }

/// Standard layout, saved with the EPC.
struct Conflicts {
    static constexpr u64 always = u64{1} << 32;
    std::array<u64, conflict_rows> rate{};   // of `always`; 0: never
    std::array<u64, conflict_rows> asked{};  // how often the leaf came to its concurrency check
    u64 seed = 0;                            // 0: evenly spaced
};

/// The leaf has come to its concurrency check: is it to find a conflict this time? Counts.
bool meets_conflict(Cpu& c, EnclsLeaf leaf);
bool meets_conflict(Cpu& c, EncluLeaf leaf);

}  // namespace postern::cpu::sgx
