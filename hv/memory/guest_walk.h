// SPDX-License-Identifier: Apache-2.0
// A guest's linear addresses through its own page tables: for reading its instructions after a
// normal exit, and for nothing else.
#pragma once

#include "arch/regs/cr0.h"
#include "arch/regs/cr4.h"
#include "arch/regs/efer.h"
#include "base/address.h"
#include "base/result.h"
#include "hv/vm.h"

namespace postern::hv {

struct PagingRegisters {
    Cr0Word cr0;
    u64 cr3 = 0;
    Cr4Word cr4;
    EferWord efer;
};

/// No paging, or 4-level paging. Fails if a table or the page is not there, or the guest is in
/// another paging mode. No accessed bits are set: the processor has, when it fetched.
[[nodiscard]] Result<Gpa> walk(const Vm& vm, const PagingRegisters& registers, Gva address);

/// Copies up to `wanted` bytes at `address`; how many there are.
[[nodiscard]] size_t read_guest(const Vm& vm, const PagingRegisters& registers, Gva address,
                                u8* bytes, size_t wanted);

}  // namespace postern::hv
