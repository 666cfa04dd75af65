// SPDX-License-Identifier: Apache-2.0
// A guest's linear addresses through its own page tables, as the processor would translate them:
// for fetching an instruction after a normal exit, and for the memory it accesses beside a device.
#pragma once

#include <array>

#include "arch/exception.h"
#include "arch/regs/cr0.h"
#include "arch/regs/cr4.h"
#include "arch/regs/efer.h"
#include "base/address.h"
#include "hv/vm.h"

namespace postern::hv {

struct PagingRegisters {
    Cr0Word cr0;
    u64 cr3 = 0;
    Cr4Word cr4;
    EferWord efer;
    std::array<u64, 4> pdpte{};  // of PAE paging
    u32 pkru = 0;
    unsigned physical_bits = 52;
};

enum class GuestAccess : u8 { read, write, fetch };

struct WalkRequest {
    Gva address;
    GuestAccess access = GuestAccess::read;
    bool user = false;                // by CPL 3
    bool alignment_override = false;  // RFLAGS.AC, which lifts SMAP
};

struct WalkResult {
    enum class Outcome : u8 {
        found,
        page_fault,  // error_code
        not_canonical,
        not_in_memory,  // a table of the guest's lies elsewhere than in its RAM
        changed,        // a table did, while it was read
    };
    Outcome outcome = Outcome::found;
    Gpa address{};
    PageFaultError error_code{};

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
