// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "Checks on Host Control Registers, MSRs, and SSP", "Checks on Host Segment and
// Descriptor-Table Registers" and "Checks Related to Address-Space Size".
#pragma once

#include "arch/msr.h"
#include "arch/paging.h"
#include "arch/regs/efer.h"
#include "arch/vmx/entry_checks/check.h"

namespace postern::vm_entry {

constexpr bool is_64_bit_host(const EntryView auto& v) {
    return has(v, ExitControl::host_address_space_size);
}

constexpr Cr4Word host_cr4(const EntryView auto& v) {
    return Cr4Word::from_raw(get<VmcsField::host_cr4>(v));
}

template <VmcsField... selectors>
constexpr bool have_no_rpl_and_ti(const EntryView auto& v) {
    return ((get<selectors>(v) | ...) & 7) == 0;
}

template <VmcsField... addresses>
constexpr bool are_canonical(const EntryView auto& v) {
    return (is_canonical(get<addresses>(v)) && ...);
}

constexpr bool is_valid_host_efer(const EntryView auto& v) {
    const u64 raw = get<VmcsField::host_ia32_efer>(v);
    const auto efer = EferWord::from_raw(raw);
    return (raw & ~efer_defined_mask) == 0 && efer.has(Efer::lma) == is_64_bit_host(v) &&
           efer.has(Efer::lme) == is_64_bit_host(v);
}

template <EntryView View>
struct HostChecks {
    using Check = EntryCheck<View>;
    using F = VmcsField;

    static constexpr std::array rows{
        Check{title::host_registers, "host CR0 has its fixed bits",
              [](const View& v) {
                  return has_fixed_bits(get<F::host_cr0>(v), v.cr0_fixed0(), v.cr0_fixed1());
              }},
        Check{title::host_registers, "host CR4 has its fixed bits",
              [](const View& v) {
                  return has_fixed_bits(get<F::host_cr4>(v), v.cr4_fixed0(), v.cr4_fixed1());
              }},
        Check{title::host_registers, "host CR3 is physical",
              [](const View& v) { return is_valid_cr3(v, get<F::host_cr3>(v)); }},
        Check{title::host_registers, "host IA32_SYSENTER_ESP and EIP are canonical",
              [](const View& v) {
                  return are_canonical<F::host_ia32_sysenter_esp, F::host_ia32_sysenter_eip>(v);
              }},
        Check{title::host_registers, "host IA32_PAT, if loaded, is valid",
              [](const View& v) {
                  return implies(has(v, ExitControl::load_ia32_pat),
                                 is_valid_pat(get<F::host_ia32_pat>(v)));
              }},
        Check{title::host_registers,
              "host IA32_EFER, if loaded, has no reserved bit and fits the address-space size",
              [](const View& v) {
                  return implies(has(v, ExitControl::load_ia32_efer), is_valid_host_efer(v));
              }},

        Check{title::host_segments, "host selectors have RPL and TI 0",
              [](const View& v) {
                  return have_no_rpl_and_ti<F::host_es_selector, F::host_cs_selector,
                                            F::host_ss_selector, F::host_ds_selector,
                                            F::host_fs_selector, F::host_gs_selector,
                                            F::host_tr_selector>(v);
              }},
        Check{title::host_segments, "host CS and TR selectors are not 0",
              [](const View& v) {
                  return get<F::host_cs_selector>(v) != 0 && get<F::host_tr_selector>(v) != 0;
              }},
        Check{title::host_segments, "host SS selector is not 0 outside 64-bit mode",
              [](const View& v) {
                  return implies(!is_64_bit_host(v), get<F::host_ss_selector>(v) != 0);
              }},
        Check{title::host_segments, "host FS, GS, GDTR, IDTR and TR bases are canonical",
              [](const View& v) {
                  return are_canonical<F::host_fs_base, F::host_gs_base, F::host_gdtr_base,
                                       F::host_idtr_base, F::host_tr_base>(v);
              }},

        Check{title::address_space_size, "outside IA-32e mode no IA-32e mode guest is entered",
              [](const View& v) { return implies(!v.is_in_ia32e_mode(), !is_ia32e_guest(v)); }},
        Check{title::address_space_size, "outside IA-32e mode the host is not 64-bit",
              [](const View& v) { return implies(!v.is_in_ia32e_mode(), !is_64_bit_host(v)); }},
        Check{title::address_space_size, "in IA-32e mode the host is 64-bit",
              [](const View& v) { return implies(v.is_in_ia32e_mode(), is_64_bit_host(v)); }},
        Check{title::address_space_size, "an IA-32e mode guest needs a 64-bit host",
              [](const View& v) { return implies(!is_64_bit_host(v), !is_ia32e_guest(v)); }},
        Check{title::address_space_size, "a host that is not 64-bit has no PCIDE",
              [](const View& v) {
                  return implies(!is_64_bit_host(v), !host_cr4(v).has(Cr4::pcide));
              }},
        Check{title::address_space_size, "a host that is not 64-bit has a RIP of 32 bits",
              [](const View& v) {
                  return implies(!is_64_bit_host(v), get<F::host_rip>(v) >> 32 == 0);
              }},
        Check{title::address_space_size, "a 64-bit host has PAE",
              [](const View& v) { return implies(is_64_bit_host(v), host_cr4(v).has(Cr4::pae)); }},
        Check{title::address_space_size, "a 64-bit host has a canonical RIP",
              [](const View& v) {
                  return implies(is_64_bit_host(v), is_canonical(get<F::host_rip>(v)));
              }},
    };
};

}  // namespace postern::vm_entry
