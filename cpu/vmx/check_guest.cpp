// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "Checks on the Guest State Area": what the manual lists of registers other than the
// segment registers, and the page-directory-pointer-table entries.
#include "arch/regs/efer.h"
#include "cpu/mmu/access.h"
#include "cpu/msr.h"
#include "cpu/vmx/capability.h"
#include "cpu/vmx/check.h"
#include "cpu/vmx/guest_pdptes.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;

constexpr std::string_view registers =
    "Checks on Guest Control Registers, Debug Registers, and MSRs";
constexpr std::string_view tables = "Checks on Guest Descriptor-Table Registers";
constexpr std::string_view rip_rflags = "Checks on Guest RIP, RFLAGS, and SSP";
constexpr std::string_view pdptes = "Checks on Guest Page-Directory-Pointer-Table Entries";

/// An unrestricted guest may do without protection and paging. CD and NW are never checked.
bool is_valid_cr0(const Cpu& c) {
    const Cr0Word optional = is_unrestricted_guest(c) ? Cr0Word{Cr0::pe, Cr0::pg} : Cr0Word{};
    const u64 required = cr0_fixed0 & ~optional.to_raw();
    const u64 cr0 = guest_cr0(c).to_raw();
    return (cr0 & required) == required && (cr0 & ~cr0_fixed1) == 0;
}

/// What WRMSR refuses.
bool is_valid_debugctl(const Cpu& c) {
    const MsrRow* row = find_msr(c, static_cast<u32>(Msr::debugctl));
    return (get<F::guest_ia32_debugctl>(c) & row->reserved) == 0;
}

EferWord guest_efer(const Cpu& c) { return EferWord::from_raw(get<F::guest_ia32_efer>(c)); }

bool is_efer_of_mode(const Cpu& c) {
    const bool lma = guest_efer(c).has(Efer::lma);
    return lma == is_ia32e_guest(c) &&
           implies(guest_cr0(c).has(Cr0::pg), lma == guest_efer(c).has(Efer::lme));
}

constexpr std::array register_rows{
    EntryCheck{registers, "guest CR0 has its fixed bits", [](Cpu& c) { return is_valid_cr0(c); }},
    EntryCheck{
        registers, "guest paging needs protection",
        [](Cpu& c) { return implies(guest_cr0(c).has(Cr0::pg), guest_cr0(c).has(Cr0::pe)); }},
    EntryCheck{registers, "guest CR4 has its fixed bits",
               [](Cpu& c) {
                   const u64 raw = guest_cr4(c).to_raw();
                   return (raw & cr4_fixed0) == cr4_fixed0 && (raw & ~allowed_cr4(c)) == 0;
               }},
    EntryCheck{
        registers, "guest IA32_DEBUGCTL, if loaded, has no reserved bit",
        [](Cpu& c) { return !has(c, EntryControl::load_debug_controls) || is_valid_debugctl(c); }},
    EntryCheck{registers, "an IA-32e mode guest has PG and PAE",
               [](Cpu& c) {
                   return implies(is_ia32e_guest(c),
                                  guest_cr0(c).has(Cr0::pg) && guest_cr4(c).has(Cr4::pae));
               }},
    EntryCheck{registers, "a guest outside IA-32e mode has no PCIDE",
               [](Cpu& c) { return implies(!is_ia32e_guest(c), !guest_cr4(c).has(Cr4::pcide)); }},
    EntryCheck{registers, "guest CR3 is physical",
               [](Cpu& c) { return is_valid_cr3(c, get<F::guest_cr3>(c)); }},
    EntryCheck{registers, "guest DR7, if loaded, has 32 bits",
               [](Cpu& c) {
                   return implies(has(c, EntryControl::load_debug_controls),
                                  get<F::guest_dr7>(c) >> 32 == 0);
               }},
    EntryCheck{registers, "guest IA32_SYSENTER_ESP and EIP are canonical",
               [](Cpu& c) {
                   return is_canonical_48(get<F::guest_ia32_sysenter_esp>(c)) &&
                          is_canonical_48(get<F::guest_ia32_sysenter_eip>(c));
               }},
    EntryCheck{registers, "guest IA32_PAT, if loaded, is valid",
               [](Cpu& c) {
                   return implies(has(c, EntryControl::load_ia32_pat),
                                  is_valid_pat(get<F::guest_ia32_pat>(c)));
               }},
    EntryCheck{registers, "guest IA32_EFER, if loaded, has no reserved bit",
               [](Cpu& c) {
                   return implies(has(c, EntryControl::load_ia32_efer),
                                  (guest_efer(c).to_raw() & ~efer_defined_mask) == 0);
               }},
    EntryCheck{
        registers, "guest IA32_EFER.LMA, if loaded, fits IA-32e mode, and LME under paging",
        [](Cpu& c) { return implies(has(c, EntryControl::load_ia32_efer), is_efer_of_mode(c)); }},
};
static_assert(has_unique_keys(register_rows, [](const EntryCheck& check) { return check.rule; }));

constexpr std::array flow_rows{
    EntryCheck{tables, "guest GDTR and IDTR bases are canonical",
               [](Cpu& c) {
                   return is_canonical_48(get<F::guest_gdtr_base>(c)) &&
                          is_canonical_48(get<F::guest_idtr_base>(c));
               }},
    EntryCheck{tables, "guest GDTR and IDTR limits have 16 bits",
               [](Cpu& c) {
                   return ((get<F::guest_gdtr_limit>(c) | get<F::guest_idtr_limit>(c)) >> 16) == 0;
               }},

    EntryCheck{rip_rflags, "guest RIP has 32 bits outside 64-bit mode",
               [](Cpu& c) { return implies(!is_64_bit_code(c), get<F::guest_rip>(c) >> 32 == 0); }},
    // One bit weaker than canonical: the instruction after the last canonical one is reachable.
    EntryCheck{rip_rflags, "guest RIP has identical bits 63:48 in 64-bit mode",
               [](Cpu& c) {
                   const u64 high = get<F::guest_rip>(c) >> 48;
                   return implies(is_64_bit_code(c), high == 0 || high == 0xffff);
               }},
    EntryCheck{rip_rflags, "guest RFLAGS has bit 1 and no reserved bit",
               [](Cpu& c) {
                   const u64 raw = guest_flags(c).to_raw();
                   return (raw & ~rflags_defined_mask) == rflags_fixed_one;
               }},
    EntryCheck{rip_rflags, "guest RFLAGS.VM is 0 in IA-32e mode and without protection",
               [](Cpu& c) {
                   return implies(is_ia32e_guest(c) || !guest_cr0(c).has(Cr0::pe),
                                  !guest_flags(c).has(Rflag::vm));
               }},
    EntryCheck{rip_rflags, "an external interrupt needs guest RFLAGS.IF",
               [](Cpu& c) {
                   return implies(injects(c, InterruptionType::external),
                                  guest_flags(c).has(Rflag::if_));
               }},
};
static_assert(has_unique_keys(flow_rows, [](const EntryCheck& check) { return check.rule; }));

/// The manual lets a VM entry that changes neither paging mode nor CR3 skip the table in memory;
/// this one never does.
constexpr std::array pdpte_rows{
    EntryCheck{pdptes, "without EPT, present PDPTEs in the table at guest CR3 are valid",
               [](Cpu& c) {
                   return !is_pae_guest(c) || has(c, SecondaryControl::enable_ept) ||
                          are_valid_pdptes(c, guest_pdptes(c));
               },
               EntryFailureQualification::pdpte},
    EntryCheck{pdptes, "with EPT, present PDPTEs in the guest-state area are valid",
               [](Cpu& c) {
                   return !is_pae_guest(c) || !has(c, SecondaryControl::enable_ept) ||
                          are_valid_pdptes(c, guest_pdptes(c));
               },
               EntryFailureQualification::pdpte},
};

}  // namespace

CheckRows guest_register_checks() { return check_rows<register_rows>(); }
CheckRows guest_flow_checks() { return check_rows<flow_rows>(); }
CheckRows pdpte_checks() { return check_rows<pdpte_rows>(); }

}  // namespace postern::cpu::vmx
