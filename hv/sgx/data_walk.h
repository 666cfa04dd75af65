// SPDX-License-Identifier: Apache-2.0
// A data access of the guest's kernel, made in its place: linear to guest-physical through its own
// page tables, in every paging mode, with the page fault that the processor would raise. What an
// operand of ENCLS takes.
#pragma once

#include <array>

#include "arch/regs/cr0.h"
#include "arch/regs/cr4.h"
#include "arch/regs/efer.h"
#include "base/address.h"
#include "hv/vm.h"

namespace postern::hv {

/// What decides about an explicit data access at CPL 0.
struct DataRules {
    Cr0Word cr0;
    u64 cr3 = 0;
    Cr4Word cr4;
    EferWord efer;
    std::array<u64, 4> pdpte{};  // of PAE paging
    bool ac = false;             // RFLAGS.AC
    u32 pkru = 0;
    unsigned physical_bits = 52;
};

struct DataAddress {
    bool faulted = false;
    u32 error_code = 0;  // of the #PF
    Gpa address;
};

/// Sets accessed and dirty flags as the access would. Table entries that lie in no memory read as
/// all ones, as from a bus that nobody answers on.
[[nodiscard]] DataAddress walk_data(const Vm& vm, const DataRules& rules, Gva linear, bool write);

}  // namespace postern::hv
