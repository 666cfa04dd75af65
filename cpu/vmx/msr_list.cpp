// SPDX-License-Identifier: Apache-2.0
// MSR areas: entries of 16 bytes, the MSR's number, 32 reserved bits, its value.
#include "cpu/vmx/msr_list.h"

#include "arch/msr.h"
#include "base/bits.h"
#include "cpu/mmu/access.h"
#include "cpu/msr.h"
#include "cpu/vmx/transition.h"

namespace postern::cpu::vmx {
namespace {

constexpr u64 entry_size = 16;

struct Entry {
    u32 msr;
    bool reserved_clear;
    u64 value;
};

Entry read_entry(Cpu& c, Hpa list, u32 n) {
    const Hpa at = list + entry_size * n;
    const u64 head = read_physical(c, at, 8);
    return {static_cast<u32>(head), head >> 32 == 0, read_physical(c, at + 8, 8)};
}

bool is_x2apic(u32 msr) { return msr >> 8 == x2apic_msr_first >> 8; }

/// FS and GS bases come from their fields; a microcode update is no matter of VM entry.
bool may_load(const Entry& entry) {
    switch (static_cast<Msr>(entry.msr)) {
        case Msr::fs_base:
        case Msr::gs_base:
        case Msr::smm_monitor_ctl:
        case Msr::bios_updt_trig: return false;
        default: return entry.reserved_clear && !is_x2apic(entry.msr);
    }
}

/// No entry faults; but what is not implemented is told by name.
void forget_fault(Cpu& c) {
    if (!is_unimplemented(c)) c.pending = {};
}

bool may_store(const Entry& entry) {
    return entry.reserved_clear && !is_x2apic(entry.msr) &&
           static_cast<Msr>(entry.msr) != Msr::smbase;
}

}  // namespace

u32 load_msr_list(Cpu& c, Hpa list, u32 count) {
    for (u32 n = 0; n < count; ++n) {
        const Entry entry = read_entry(c, list, n);
        if (may_load(entry) && write_msr(c, entry.msr, entry.value)) continue;
        forget_fault(c);
        return n + 1;
    }
    return 0;
}

bool store_msr_list(Cpu& c, Hpa list, u32 count) {
    for (u32 n = 0; n < count; ++n) {
        const Entry entry = read_entry(c, list, n);
        if (!may_store(entry)) return false;
        const Result<u64> value = read_msr(c, entry.msr);
        if (!value) {
            forget_fault(c);
            return false;
        }
        write_physical(c, list + (entry_size * n + 8), 8, value.value());
    }
    return true;
}

}  // namespace postern::cpu::vmx
