// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "Checks on the Guest State Area": what the manual lists of registers other than the
// segment registers, but not the page-directory-pointer-table entries (pdptes.h).
#pragma once

#include "arch/msr.h"
#include "arch/paging.h"
#include "arch/regs/efer.h"
#include "arch/vmx/entry_checks/check.h"

namespace postern::vm_entry {

/// An unrestricted guest may do without protection and paging. CD and NW are never checked.
constexpr bool is_valid_cr0(const EntryView auto& v) {
    const Cr0Word optional = is_unrestricted_guest(v) ? Cr0Word{Cr0::pe, Cr0::pg} : Cr0Word{};
    return has_fixed_bits(get<VmcsField::guest_cr0>(v), v.cr0_fixed0() & ~optional.to_raw(),
                          v.cr0_fixed1());
}

/// What WRMSR refuses.
constexpr bool is_valid_debugctl(const EntryView auto& v) {
    return (get<VmcsField::guest_ia32_debugctl>(v) & v.debugctl_reserved()) == 0;
}

constexpr EferWord guest_efer(const EntryView auto& v) {
    return EferWord::from_raw(get<VmcsField::guest_ia32_efer>(v));
}

constexpr bool is_efer_of_mode(const EntryView auto& v) {
    const bool lma = guest_efer(v).has(Efer::lma);
    return lma == is_ia32e_guest(v) &&
           implies(guest_cr0(v).has(Cr0::pg), lma == guest_efer(v).has(Efer::lme));
}

template <EntryView View>
struct GuestRegisterChecks {
    using Check = EntryCheck<View>;
    using F = VmcsField;

    static constexpr std::array rows{
        Check{title::guest_registers, "guest CR0 has its fixed bits",
              [](const View& v) { return is_valid_cr0(v); }},
        Check{title::guest_registers, "guest paging needs protection",
              [](const View& v) {
                  return implies(guest_cr0(v).has(Cr0::pg), guest_cr0(v).has(Cr0::pe));
              }},
        Check{title::guest_registers, "guest CR4 has its fixed bits",
              [](const View& v) {
                  return has_fixed_bits(get<F::guest_cr4>(v), v.cr4_fixed0(), v.cr4_fixed1());
              }},
        Check{title::guest_registers, "guest IA32_DEBUGCTL, if loaded, has no reserved bit",
              [](const View& v) {
                  return !has(v, EntryControl::load_debug_controls) || is_valid_debugctl(v);
              }},
        Check{title::guest_registers, "an IA-32e mode guest has PG and PAE",
              [](const View& v) {
                  return implies(is_ia32e_guest(v),
                                 guest_cr0(v).has(Cr0::pg) && guest_cr4(v).has(Cr4::pae));
              }},
        Check{title::guest_registers, "a guest outside IA-32e mode has no PCIDE",
              [](const View& v) {
                  return implies(!is_ia32e_guest(v), !guest_cr4(v).has(Cr4::pcide));
              }},
        Check{title::guest_registers, "guest CR3 is physical",
              [](const View& v) { return is_valid_cr3(v, get<F::guest_cr3>(v)); }},
        Check{title::guest_registers, "guest DR7, if loaded, has 32 bits",
              [](const View& v) {
                  return implies(has(v, EntryControl::load_debug_controls),
                                 get<F::guest_dr7>(v) >> 32 == 0);
              }},
        Check{title::guest_registers, "guest IA32_SYSENTER_ESP and EIP are canonical",
              [](const View& v) {
                  return is_canonical(get<F::guest_ia32_sysenter_esp>(v)) &&
                         is_canonical(get<F::guest_ia32_sysenter_eip>(v));
              }},
        Check{title::guest_registers, "guest IA32_PAT, if loaded, is valid",
              [](const View& v) {
                  return implies(has(v, EntryControl::load_ia32_pat),
                                 is_valid_pat(get<F::guest_ia32_pat>(v)));
              }},
        Check{title::guest_registers, "guest IA32_EFER, if loaded, has no reserved bit",
              [](const View& v) {
                  return implies(has(v, EntryControl::load_ia32_efer),
                                 (guest_efer(v).to_raw() & ~efer_defined_mask) == 0);
              }},
        Check{title::guest_registers,
              "guest IA32_EFER.LMA, if loaded, fits IA-32e mode, and LME under paging",
              [](const View& v) {
                  return implies(has(v, EntryControl::load_ia32_efer), is_efer_of_mode(v));
              }},
    };
};

template <EntryView View>
struct GuestFlowChecks {
    using Check = EntryCheck<View>;
    using F = VmcsField;

    static constexpr std::array rows{
        Check{title::guest_tables, "guest GDTR and IDTR bases are canonical",
              [](const View& v) {
                  return is_canonical(get<F::guest_gdtr_base>(v)) &&
                         is_canonical(get<F::guest_idtr_base>(v));
              }},
        Check{title::guest_tables, "guest GDTR and IDTR limits have 16 bits",
              [](const View& v) {
                  return ((get<F::guest_gdtr_limit>(v) | get<F::guest_idtr_limit>(v)) >> 16) == 0;
              }},

        Check{title::rip_and_rflags, "guest RIP has 32 bits outside 64-bit mode",
              [](const View& v) {
                  return implies(!is_64_bit_code(v), get<F::guest_rip>(v) >> 32 == 0);
              }},
        // One bit weaker than canonical: the instruction after the last canonical one is reachable.
        Check{title::rip_and_rflags, "guest RIP has identical bits 63:48 in 64-bit mode",
              [](const View& v) {
                  const u64 high = get<F::guest_rip>(v) >> 48;
                  return implies(is_64_bit_code(v), high == 0 || high == 0xffff);
              }},
        Check{title::rip_and_rflags, "guest RFLAGS has bit 1 and no reserved bit",
              [](const View& v) {
                  const u64 raw = guest_flags(v).to_raw();
                  return (raw & ~rflags_defined_mask) == rflags_fixed_one;
              }},
        Check{title::rip_and_rflags, "guest RFLAGS.VM is 0 in IA-32e mode and without protection",
              [](const View& v) {
                  return implies(is_ia32e_guest(v) || !guest_cr0(v).has(Cr0::pe),
                                 !guest_flags(v).has(Rflag::vm));
              }},
        Check{title::rip_and_rflags, "an external interrupt needs guest RFLAGS.IF",
              [](const View& v) {
                  return implies(injects(v, InterruptionType::external),
                                 guest_flags(v).has(Rflag::if_));
              }},
    };
};

}  // namespace postern::vm_entry
