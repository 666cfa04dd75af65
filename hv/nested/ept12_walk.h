// SPDX-License-Identifier: Apache-2.0
// A walk of the EPT that a guest hypervisor (L1) has for its guest (L2), in L1's memory.
#pragma once

#include "arch/vmx/ept.h"
#include "base/address.h"
#include "base/types.h"

namespace postern::hv {

class Vm;

/// What an access of L2 to its physical memory asks of L1's EPT.
struct Ept12Access {
    bool read = false, write = false, execute = false;
};

/// L1's translation of an address of L2.
struct Ept12Result {
    enum class Outcome : u8 {
        found,
        violation,         // for L1
        misconfiguration,  // for L1
        changed,           // an entry did, while it was used: the access is to be made again
    };
    Outcome outcome = Outcome::found;
    Gpa address{};           // L1's; if found
    unsigned level = 1;      // of the page that L1 maps: 1, 2, 3
    EptFlags permissions{};  // of all levels together; what bits 5:3 of the qualification say
    MemoryType type = MemoryType::wb;
    bool ignore_pat = false;
    bool tracks_writes = false;  // L1 waits for the page's dirty flag, which is still clear

    [[nodiscard]] constexpr bool found() const { return outcome == Outcome::found; }
};

/// Sets accessed and dirty flags if `eptp` asks for that and the access is allowed. A table that
/// lies outside L1's RAM reads as all ones. `eptp` is one that L1 may use: of 4 levels; mode-based
/// execute control is not offered to it. SDM 3C, "EPT Translation Mechanism", "Accessed and Dirty
/// Flags for EPT".
[[nodiscard]] Ept12Result walk_ept12(const Vm& vm, Eptp eptp, Gpa l2, Ept12Access access,
                                     const EptRules& rules);

}  // namespace postern::hv
