// SPDX-License-Identifier: Apache-2.0
// A guest's linear addresses through its own page tables, as the processor would translate them:
// for fetching an instruction after a normal exit, and for the memory it accesses beside a device.
// The guest of a guest has its tables, and all else, behind its hypervisor's EPT.
#pragma once

#include <array>

#include "arch/exception.h"
#include "arch/regs/cr0.h"
#include "arch/regs/cr4.h"
#include "arch/regs/efer.h"
#include "base/address.h"
#include "hv/nested/ept12_walk.h"
#include "hv/vm.h"

namespace postern::hv {

/// L1's EPT, which each physical address of L2 goes through.
struct SecondLevel {
    Eptp eptp12;
    EptRules rules;
};

struct PagingRegisters {
    Cr0Word cr0;
    u64 cr3 = 0;
    Cr4Word cr4;
    EferWord efer;
    std::array<u64, 4> pdpte{};  // of PAE paging
    u32 pkru = 0;
    unsigned physical_bits = 52;
    const SecondLevel* second_level = nullptr;  // null: these are L1's
};

enum class GuestAccess : u8 { read, write, fetch };

struct WalkRequest {
    Gva address;
    GuestAccess access = GuestAccess::read;
    bool user = false;                // by CPL 3
    bool alignment_override = false;  // RFLAGS.AC, which lifts SMAP
};

/// An access of L2's that L1's EPT refuses: L1's to know, as an EPT violation or misconfiguration.
struct SecondLevelFault {
    Gpa l2{};
    Ept12Access access{};
    bool misconfigured = false;
    bool final_translation = false;  // false: of a paging-structure entry
    EptFlags permissions{};          // L1's
};

struct WalkResult {
    enum class Outcome : u8 {
        found,
        page_fault,  // error_code
        not_canonical,
        not_in_memory,  // a table of the guest's lies elsewhere than in its RAM
        changed,        // a table did, while it was read
        second_level_fault,
    };
    Outcome outcome = Outcome::found;
    Gpa address{};  // of L1's, for L2 as well
    PageFaultError error_code{};
    SecondLevelFault second_level{};

    [[nodiscard]] constexpr bool found() const { return outcome == Outcome::found; }
};

/// Sets accessed and dirty flags, once nothing can fault any more. A table in ROM is read, and
/// its flags stay as they are.
[[nodiscard]] WalkResult walk(const Vm& vm, const PagingRegisters& registers,
                              const WalkRequest& request);

/// Copies up to `wanted` bytes of code at `address`; how many there are.
[[nodiscard]] size_t fetch_guest(const Vm& vm, const PagingRegisters& registers, Gva address,
                                 bool user, u8* bytes, size_t wanted);

}  // namespace postern::hv
