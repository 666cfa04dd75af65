// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "Checks on Host Control Registers, MSRs, and SSP", "Checks on Host Segment and
// Descriptor-Table Registers" and "Checks Related to Address-Space Size".
#include "cpu/vmx/capability.h"
#include "cpu/vmx/check.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;

constexpr std::string_view registers = "Checks on Host Control Registers, MSRs, and SSP";
constexpr std::string_view segments = "Checks on Host Segment and Descriptor-Table Registers";
constexpr std::string_view sizes = "Checks Related to Address-Space Size";

bool is_64_bit(const Cpu& c) { return has(c, ExitControl::host_address_space_size); }

Cr4Word host_cr4(const Cpu& c) { return Cr4Word::from_raw(get<F::host_cr4>(c)); }

template <VmcsField... selectors>
bool have_no_rpl_and_ti(const Cpu& c) {
    return ((get<selectors>(c) | ...) & 7) == 0;
}

template <VmcsField... addresses>
bool are_canonical(const Cpu& c) {
    return (is_canonical_48(get<addresses>(c)) && ...);
}

bool is_valid_host_efer(const Cpu& c) {
    const u64 raw = get<F::host_ia32_efer>(c);
    const auto efer = EferWord::from_raw(raw);
    return (raw & ~efer_defined_mask) == 0 && efer.has(Efer::lma) == is_64_bit(c) &&
           efer.has(Efer::lme) == is_64_bit(c);
}

constexpr std::array checks{
    EntryCheck{registers, "host CR0 has its fixed bits",
               [](Cpu& c) {
                   const u64 cr0 = get<F::host_cr0>(c);
                   return (cr0 & cr0_fixed0) == cr0_fixed0 && (cr0 & ~cr0_fixed1) == 0;
               }},
    EntryCheck{registers, "host CR4 has its fixed bits",
               [](Cpu& c) {
                   const u64 cr4 = get<F::host_cr4>(c);
                   return (cr4 & cr4_fixed0) == cr4_fixed0 && (cr4 & ~allowed_cr4(c)) == 0;
               }},
    EntryCheck{registers, "host CR3 is physical",
               [](Cpu& c) { return is_valid_cr3(c, get<F::host_cr3>(c)); }},
    EntryCheck{registers, "host IA32_SYSENTER_ESP and EIP are canonical",
               [](Cpu& c) {
                   return are_canonical<F::host_ia32_sysenter_esp, F::host_ia32_sysenter_eip>(c);
               }},
    EntryCheck{registers, "host IA32_PAT, if loaded, is valid",
               [](Cpu& c) {
                   return implies(has(c, ExitControl::load_ia32_pat),
                                  is_valid_pat(get<F::host_ia32_pat>(c)));
               }},
    EntryCheck{
        registers, "host IA32_EFER, if loaded, has no reserved bit and fits the address-space size",
        [](Cpu& c) { return implies(has(c, ExitControl::load_ia32_efer), is_valid_host_efer(c)); }},

    EntryCheck{
        segments, "host selectors have RPL and TI 0",
        [](Cpu& c) {
            return have_no_rpl_and_ti<F::host_es_selector, F::host_cs_selector, F::host_ss_selector,
                                      F::host_ds_selector, F::host_fs_selector, F::host_gs_selector,
                                      F::host_tr_selector>(c);
        }},
    EntryCheck{segments, "host CS and TR selectors are not 0",
               [](Cpu& c) {
                   return get<F::host_cs_selector>(c) != 0 && get<F::host_tr_selector>(c) != 0;
               }},
    EntryCheck{segments, "host SS selector is not 0 outside 64-bit mode",
               [](Cpu& c) { return implies(!is_64_bit(c), get<F::host_ss_selector>(c) != 0); }},
    EntryCheck{segments, "host FS, GS, GDTR, IDTR and TR bases are canonical",
               [](Cpu& c) {
                   return are_canonical<F::host_fs_base, F::host_gs_base, F::host_gdtr_base,
                                        F::host_idtr_base, F::host_tr_base>(c);
               }},

    EntryCheck{sizes, "outside IA-32e mode no IA-32e mode guest is entered",
               [](Cpu& c) { return implies(!c.efer.has(Efer::lma), !is_ia32e_guest(c)); }},
    EntryCheck{sizes, "outside IA-32e mode the host is not 64-bit",
               [](Cpu& c) { return implies(!c.efer.has(Efer::lma), !is_64_bit(c)); }},
    EntryCheck{sizes, "in IA-32e mode the host is 64-bit",
               [](Cpu& c) { return implies(c.efer.has(Efer::lma), is_64_bit(c)); }},
    EntryCheck{sizes, "an IA-32e mode guest needs a 64-bit host",
               [](Cpu& c) { return implies(!is_64_bit(c), !is_ia32e_guest(c)); }},
    EntryCheck{sizes, "a host that is not 64-bit has no PCIDE",
               [](Cpu& c) { return implies(!is_64_bit(c), !host_cr4(c).has(Cr4::pcide)); }},
    EntryCheck{sizes, "a host that is not 64-bit has a RIP of 32 bits",
               [](Cpu& c) { return implies(!is_64_bit(c), get<F::host_rip>(c) >> 32 == 0); }},
    EntryCheck{sizes, "a 64-bit host has PAE",
               [](Cpu& c) { return implies(is_64_bit(c), host_cr4(c).has(Cr4::pae)); }},
    EntryCheck{sizes, "a 64-bit host has a canonical RIP",
               [](Cpu& c) { return implies(is_64_bit(c), is_canonical_48(get<F::host_rip>(c))); }},
};
static_assert(has_unique_keys(checks, [](const EntryCheck& check) { return check.rule; }));

}  // namespace

CheckRows host_checks() { return check_rows<checks>(); }

}  // namespace postern::cpu::vmx
