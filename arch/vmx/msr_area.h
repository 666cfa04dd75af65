// SPDX-License-Identifier: Apache-2.0
// MSR areas: entries of 16 bytes in memory, each an MSR's number, 32 reserved bits and its value.
// SDM 3C, "VM-Exit Controls for MSRs", "VM-Entry Controls for MSRs". A count beyond what
// IA32_VMX_MISC recommends has undefined results; here its first entry that is too many fails, so
// that software cannot keep whoever carries the area out busy for as long as it likes.
#pragma once

#include "arch/msr.h"

namespace postern {

struct MsrAreaEntry {
    static constexpr u64 size = 16;

    u32 msr;
    u32 reserved;
    u64 value;

    /// From the 16 bytes as two little-endian words.
    static constexpr MsrAreaEntry from_words(u64 head, u64 value) {
        return {static_cast<u32>(head), static_cast<u32>(head >> 32), value};
    }

    /// Whether VM entry or VM exit may load it at all. FS and GS bases come from their fields; a
    /// microcode update is no matter of a transition. SDM 3C, "Loading MSRs" of "VM Entries" and
    /// of "VM Exits".
    [[nodiscard]] constexpr bool may_be_loaded() const {
        switch (static_cast<Msr>(msr)) {
            case Msr::fs_base:
            case Msr::gs_base:
            case Msr::smm_monitor_ctl:
            case Msr::bios_updt_trig: return false;
            default: return is_ordinary();
        }
    }
    /// Whether VM exit may store its MSR. SDM 3C, "Saving MSRs".
    [[nodiscard]] constexpr bool may_be_stored() const {
        return is_ordinary() && static_cast<Msr>(msr) != Msr::smbase;
    }

private:
    [[nodiscard]] constexpr bool is_ordinary() const {
        const bool is_x2apic = msr >= x2apic_msr_first && msr <= x2apic_msr_last;
        return reserved == 0 && !is_x2apic;
    }
};
static_assert(sizeof(MsrAreaEntry) == MsrAreaEntry::size);

}  // namespace postern
