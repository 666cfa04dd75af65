// SPDX-License-Identifier: Apache-2.0
#include "cpu/vmx/msr_list.h"

#include "arch/vmx/msr_area.h"
#include "cpu/mmu/access.h"
#include "cpu/msr.h"
#include "cpu/vmx/capability.h"
#include "cpu/vmx/transition.h"

namespace postern::cpu::vmx {
namespace {

MsrAreaEntry read_entry(Cpu& c, Hpa list, u32 n) {
    const Hpa at = list + MsrAreaEntry::size * n;
    return MsrAreaEntry::from_words(read_physical(c, at, 8), read_physical(c, at + 8, 8));
}

/// No entry faults; but what is not implemented is told by name.
void forget_fault(Cpu& c) {
    if (!is_unimplemented(c)) c.pending = {};
}

bool store_entry(Cpu& c, Hpa at, const MsrAreaEntry& entry) {
    if (!entry.may_be_stored()) return false;
    const Result<u64> value = read_msr(c, entry.msr);
    if (!value) {
        forget_fault(c);
        return false;
    }
    write_physical(c, at + 8, 8, value.value());
    return true;
}

}  // namespace

u32 load_msr_list(Cpu& c, Hpa list, u32 count) {
    for (u32 n = 0; n < count; ++n) {
        if (n == vmx_misc.msr_list_limit()) return n + 1;
        const MsrAreaEntry entry = read_entry(c, list, n);
        if (entry.may_be_loaded() && write_msr(c, entry.msr, entry.value)) continue;
        forget_fault(c);
        return n + 1;
    }
    return 0;
}

bool store_msr_list(Cpu& c, Hpa list, u32 count) {
    for (u32 n = 0; n < count; ++n) {
        if (n == vmx_misc.msr_list_limit()) return false;
        if (!store_entry(c, list + MsrAreaEntry::size * n, read_entry(c, list, n))) return false;
    }
    return true;
}

}  // namespace postern::cpu::vmx
