// SPDX-License-Identifier: Apache-2.0
// Violated host state.
#include "unit/cpu/vmx/violation.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using M = VmxMachine;

constexpr std::string_view sysenter = "host IA32_SYSENTER_ESP and EIP are canonical";
constexpr std::string_view efer =
    "host IA32_EFER, if loaded, has no reserved bit and fits the address-space size";
constexpr std::string_view selectors = "host selectors have RPL and TI 0";
constexpr std::string_view bases = "host FS, GS, GDTR, IDTR and TR bases are canonical";

constexpr Violation violations[]{
    {"host CR0 has its fixed bits", [](M& m) { m.turn_off(F::host_cr0, 0x20); }},
    {"host CR0 has its fixed bits", [](M& m) { m.turn_off(F::host_cr0, bit_of(31)); }},
    {"host CR0 has its fixed bits", [](M& m) { m.turn_on(F::host_cr0, bit_of(32)); }},
    {"host CR4 has its fixed bits", [](M& m) { m.turn_off(F::host_cr4, 0x2000); }},
    {"host CR4 has its fixed bits", [](M& m) { m.turn_on(F::host_cr4, bit_of(15)); }},
    {"host CR3 is physical", [](M& m) { m.set(F::host_cr3, too_wide); }},
    {"host CR3 is physical", [](M& m) { m.set(F::host_cr3, bit_of(63)); }},
    {sysenter, [](M& m) { m.set(F::host_ia32_sysenter_esp, not_canonical); }},
    {sysenter, [](M& m) { m.set(F::host_ia32_sysenter_eip, not_canonical); }},
    {"host IA32_PAT, if loaded, is valid", [](M& m) { m.set(F::host_ia32_pat, 2); }},
    {"host IA32_PAT, if loaded, is valid", [](M& m) { m.set(F::host_ia32_pat, bit_of(59)); }},
    {efer, [](M& m) { m.set(F::host_ia32_efer, 0x400); }},
    {efer, [](M& m) { m.set(F::host_ia32_efer, 0x100); }},
    {efer, [](M& m) { m.set(F::host_ia32_efer, 0x502); }},

    {selectors, [](M& m) { m.set(F::host_es_selector, 0x14); }},
    {selectors, [](M& m) { m.set(F::host_cs_selector, 0x09); }},
    {selectors, [](M& m) { m.set(F::host_ss_selector, 0x12); }},
    {selectors, [](M& m) { m.set(F::host_ds_selector, 3); }},
    {selectors, [](M& m) { m.set(F::host_fs_selector, 0x24); }},
    {selectors, [](M& m) { m.set(F::host_gs_selector, 1); }},
    {selectors, [](M& m) { m.set(F::host_tr_selector, 0x1c); }},
    {"host CS and TR selectors are not 0", [](M& m) { m.set(F::host_cs_selector, 0); }},
    {"host CS and TR selectors are not 0", [](M& m) { m.set(F::host_tr_selector, 0); }},
    {"host SS selector is not 0 outside 64-bit mode",
     [](M& m) {
         make_root_legacy(m);
         m.set(F::host_ss_selector, 0);
     }},
    {bases, [](M& m) { m.set(F::host_fs_base, not_canonical); }},
    {bases, [](M& m) { m.set(F::host_gs_base, not_canonical); }},
    {bases, [](M& m) { m.set(F::host_gdtr_base, not_canonical); }},
    {bases, [](M& m) { m.set(F::host_idtr_base, not_canonical); }},
    {bases, [](M& m) { m.set(F::host_tr_base, not_canonical); }},

    // Outside IA-32e mode, either of a 64-bit host and none forbids an IA-32e mode guest.
    {"outside IA-32e mode no IA-32e mode guest is entered",
     [](M& m) {
         make_root_legacy(m);
         m.turn_on(F::vm_entry_controls, bit_of(9));
         m.set(F::guest_ia32_efer, 0x500);
     },
     "an IA-32e mode guest needs a 64-bit host"},
    {"outside IA-32e mode the host is not 64-bit",
     [](M& m) {
         make_root_legacy(m);
         m.turn_on(F::vm_exit_controls, bit_of(9));
         m.set(F::host_ia32_efer, 0x500);
     }},
    {"in IA-32e mode the host is 64-bit",
     [](M& m) {
         make_root_legacy(m);
         m.c.efer = EferWord::from_raw(0x500);
     }},
    {"an IA-32e mode guest needs a 64-bit host",
     [](M& m) {
         m.turn_off(F::vm_exit_controls, bit_of(9));
         m.set(F::host_ia32_efer, 0);
         m.set(F::host_rip, 0x1000);
     },
     "in IA-32e mode the host is 64-bit"},
    {"a host that is not 64-bit has no PCIDE",
     [](M& m) {
         make_root_legacy(m);
         m.turn_on(F::host_cr4, bit_of(17));
     }},
    {"a host that is not 64-bit has a RIP of 32 bits",
     [](M& m) {
         make_root_legacy(m);
         m.set(F::host_rip, bit_of(32));
     }},
    {"a 64-bit host has PAE", [](M& m) { m.turn_off(F::host_cr4, 0x20); }},
    {"a 64-bit host has a canonical RIP", [](M& m) { m.set(F::host_rip, not_canonical); }},
};

}  // namespace

std::span<const Violation> host_violations() { return violations; }

}  // namespace postern::cpu::vmx
