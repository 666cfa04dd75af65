// SPDX-License-Identifier: Apache-2.0
// What a guest may write into CR0 and CR4, and which of their bits are not what it sees.
#pragma once

#include "arch/regs/cr0.h"
#include "arch/regs/cr4.h"
#include "arch/regs/efer.h"
#include "arch/regs/segment.h"
#include "base/types.h"

namespace postern::hv {

/// Bits that the guest sees as it wrote them and that the processor holds as we need them: NE,
/// which VMX operation holds at 1, and the cache's, which are not a guest's to switch off.
inline constexpr Cr0Word cr0_masked{Cr0::ne, Cr0::nw, Cr0::cd};
/// VMXE, which a guest sees as it wrote it if it has VMX, and SMX, which is hidden; the processor's
/// own fixed bits come on top.
inline constexpr Cr4Word cr4_masked{Cr4::vmxe, Cr4::smxe};

/// SDM 3D, appendix "VMX-Fixed Bits in CR0", of an unrestricted guest.
constexpr Cr0Word real_cr0(Cr0Word seen) {
    return seen.without(cr0_masked).with(Cr0::ne).with(Cr0::et);
}

/// As the guest sees them.
struct ControlRegisters {
    Cr0Word cr0;
    Cr4Word cr4;
    u64 cr3 = 0;
    EferWord efer;
    bool long_code = false;  // CS.L
    bool tss_16 = false;     // TR holds a TSS of 16 bits

    [[nodiscard]] constexpr bool in_64_bit_mode() const { return efer.has(Efer::lma) && long_code; }
};

/// PAE paging outside IA-32e mode: the PDPTEs are loaded with CR3.
constexpr bool is_pae_paging(Cr0Word cr0, Cr4Word cr4, EferWord efer) {
    return cr0.has(Cr0::pg) && cr4.has(Cr4::pae) && !efer.has(Efer::lme);
}

/// A change of one of these loads the PDPTEs. SDM 3A, "PDPTE Registers".
inline constexpr Cr0Word cr0_of_pdptes{Cr0::cd, Cr0::nw, Cr0::pg};
inline constexpr Cr4Word cr4_of_pdptes{Cr4::pae, Cr4::pge, Cr4::pse, Cr4::smep};

/// Paging with EFER.LME activates IA-32e mode. SDM 3A, "IA-32e Mode" of "Processor Management and
/// Initialization".
constexpr bool may_activate_ia32e_mode(const ControlRegisters& now) {
    return now.cr4.has(Cr4::pae) && !now.long_code && !now.tss_16;
}

/// SDM 2B, "MOV—Move to/from Control Registers": what is not #GP(0).
constexpr bool is_legal_cr0(const ControlRegisters& now, u64 value) {
    const auto wanted = Cr0Word::from_raw(value);
    const bool paging = wanted.has(Cr0::pg);
    if (value >> 32 != 0 || (paging && !wanted.has(Cr0::pe))) return false;
    if (wanted.has(Cr0::nw) && !wanted.has(Cr0::cd)) return false;
    if (!paging && (now.in_64_bit_mode() || now.cr4.has(Cr4::pcide))) return false;
    const bool activates = paging && !now.cr0.has(Cr0::pg) && now.efer.has(Efer::lme);
    return !activates || may_activate_ia32e_mode(now);
}

/// What VMX operation asks of CR0 and of CR4. SDM 3C, "Restrictions on VMX Operation".
constexpr bool has_fixed_bits(u64 value, u64 fixed0, u64 fixed1) {
    return (value & fixed0) == fixed0 && (value & ~fixed1) == 0;
}

/// `allowed`: the bits that the guest has.
constexpr bool is_legal_cr4(const ControlRegisters& now, u64 value, u64 allowed) {
    const auto wanted = Cr4Word::from_raw(value);
    if ((value & ~allowed) != 0 || wanted.has(Cr4::smxe)) return false;
    const bool ia32e = now.efer.has(Efer::lma);
    if (ia32e && !wanted.has(Cr4::pae)) return false;
    if (ia32e && wanted.has(Cr4::la57) != now.cr4.has(Cr4::la57)) return false;
    const bool sets_pcide = wanted.has(Cr4::pcide) && !now.cr4.has(Cr4::pcide);
    return !sets_pcide || (ia32e && (now.cr3 & 0xfff) == 0);
}

}  // namespace postern::hv
