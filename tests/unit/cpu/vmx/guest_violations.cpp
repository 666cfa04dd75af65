// SPDX-License-Identifier: Apache-2.0
// Violated guest state: registers other than the segment registers, and PDPTEs.
#include "unit/cpu/vmx/violation.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using M = VmxMachine;

constexpr std::string_view reserved_efer = "guest IA32_EFER, if loaded, has no reserved bit";
constexpr std::string_view efer_of_mode =
    "guest IA32_EFER.LMA, if loaded, fits IA-32e mode, and LME under paging";
constexpr std::string_view table =
    "without EPT, present PDPTEs in the table at guest CR3 are valid";
constexpr std::string_view fields = "with EPT, present PDPTEs in the guest-state area are valid";
constexpr std::string_view vm_flag = "guest RFLAGS.VM is 0 in IA-32e mode and without protection";
constexpr std::string_view rflags_rule = "guest RFLAGS has bit 1 and no reserved bit";

void put_pdpte(M& m, unsigned n, u64 value) {
    make_guest_pae_without_ept(m);
    write_physical(m.c, Hpa{m.get(F::guest_cr3) + 8 * n}, 8, value);
}

void set_pdpte(M& m, VmcsField field, u64 value) {
    make_guest_legacy(m);
    m.set(field, value);
}

constexpr Violation violations[]{
    {"guest CR0 has its fixed bits", [](M& m) { m.turn_off(F::guest_cr0, 0x20); }},
    {"guest CR0 has its fixed bits", [](M& m) { m.turn_on(F::guest_cr0, bit_of(33)); }},
    {"guest CR0 has its fixed bits",
     [](M& m) {
         make_guest_legacy(m);
         m.turn_off(F::guest_cr0, bit_of(31));
     }},
    {"guest paging needs protection",
     [](M& m) {
         make_unrestricted(m);
         m.turn_off(F::guest_cr0, 1);
     }},
    {"guest CR4 has its fixed bits", [](M& m) { m.turn_off(F::guest_cr4, 0x2000); }},
    {"guest CR4 has its fixed bits", [](M& m) { m.turn_on(F::guest_cr4, bit_of(23)); }},
    {"guest IA32_DEBUGCTL, if loaded, has no reserved bit",
     [](M& m) { m.set(F::guest_ia32_debugctl, 8); }},
    {"an IA-32e mode guest has PG and PAE", [](M& m) { m.turn_off(F::guest_cr4, 0x20); }},
    {"an IA-32e mode guest has PG and PAE",
     [](M& m) {
         make_unrestricted(m);
         m.turn_off(F::guest_cr0, bit_of(31));
     }},
    {"a guest outside IA-32e mode has no PCIDE",
     [](M& m) {
         make_guest_legacy(m);
         m.turn_on(F::guest_cr4, bit_of(17));
     }},
    {"guest CR3 is physical", [](M& m) { m.set(F::guest_cr3, too_wide); }},
    {"guest CR3 is physical", [](M& m) { m.set(F::guest_cr3, bit_of(63)); }},
    {"guest DR7, if loaded, has 32 bits", [](M& m) { m.set(F::guest_dr7, bit_of(32) | 0x400); }},
    {"guest IA32_SYSENTER_ESP and EIP are canonical",
     [](M& m) { m.set(F::guest_ia32_sysenter_esp, not_canonical); }},
    {"guest IA32_SYSENTER_ESP and EIP are canonical",
     [](M& m) { m.set(F::guest_ia32_sysenter_eip, not_canonical); }},
    {"guest IA32_PAT, if loaded, is valid", [](M& m) { m.set(F::guest_ia32_pat, u64{3} << 56); }},
    {"guest IA32_PAT, if loaded, is valid", [](M& m) { m.set(F::guest_ia32_pat, 8); }},
    {reserved_efer, [](M& m) { m.set(F::guest_ia32_efer, 0xd03); }},
    {efer_of_mode, [](M& m) { m.set(F::guest_ia32_efer, 0x400); }},
    {efer_of_mode, [](M& m) { m.set(F::guest_ia32_efer, 0x100); }},
    {efer_of_mode,
     [](M& m) {
         make_guest_legacy(m);
         m.set(F::guest_ia32_efer, 0x100);
     }},
    {efer_of_mode,
     [](M& m) {
         make_guest_real(m);
         m.set(F::guest_ia32_efer, 0x500);
     }},

    {"guest GDTR and IDTR bases are canonical",
     [](M& m) { m.set(F::guest_gdtr_base, not_canonical); }},
    {"guest GDTR and IDTR bases are canonical",
     [](M& m) { m.set(F::guest_idtr_base, not_canonical); }},
    {"guest GDTR and IDTR limits have 16 bits", [](M& m) { m.set(F::guest_gdtr_limit, 0x1'0000); }},
    {"guest GDTR and IDTR limits have 16 bits",
     [](M& m) { m.set(F::guest_idtr_limit, 0x8000'0000); }},
    {"guest RIP has 32 bits outside 64-bit mode",
     [](M& m) {
         set_rights(m, cs, 0xc09b);
         m.set(F::guest_rip, bit_of(32));
     }},
    {"guest RIP has 32 bits outside 64-bit mode",
     [](M& m) {
         make_guest_legacy(m);
         set_rights(m, cs, 0xa09b);  // L means nothing there
         m.set(F::guest_rip, bit_of(32));
     }},
    {"guest RIP has identical bits 63:48 in 64-bit mode",
     [](M& m) { m.set(F::guest_rip, bit_of(48)); }},
    {rflags_rule, [](M& m) { m.set(F::guest_rflags, 0x200); }},
    {rflags_rule, [](M& m) { m.set(F::guest_rflags, 0x20a); }},
    {rflags_rule, [](M& m) { m.set(F::guest_rflags, 0x222); }},
    {rflags_rule, [](M& m) { m.set(F::guest_rflags, 0x8202); }},
    {rflags_rule, [](M& m) { m.set(F::guest_rflags, bit_of(22) | 0x202); }},
    {rflags_rule, [](M& m) { m.set(F::guest_rflags, bit_of(63) | 0x202); }},
    {vm_flag, [](M& m) { make_virtual_8086(m); }},
    {vm_flag,
     [](M& m) {
         make_guest_real(m);
         make_virtual_8086(m);
     }},
    {"an external interrupt needs guest RFLAGS.IF",
     [](M& m) {
         inject(m, 0x8000'0020);
         m.set(F::guest_rflags, 2);
     }},

    {table, [](M& m) { put_pdpte(m, 0, 3); }, {}, 2},
    {table, [](M& m) { put_pdpte(m, 1, 0x21); }, {}, 2},
    {table, [](M& m) { put_pdpte(m, 2, 0x101); }, {}, 2},
    {table, [](M& m) { put_pdpte(m, 3, too_wide | 1); }, {}, 2},
    {fields, [](M& m) { set_pdpte(m, F::guest_pdpte0, 5); }, {}, 2},
    {fields, [](M& m) { set_pdpte(m, F::guest_pdpte1, 0x41); }, {}, 2},
    {fields, [](M& m) { set_pdpte(m, F::guest_pdpte2, 0x81); }, {}, 2},
    {fields, [](M& m) { set_pdpte(m, F::guest_pdpte3, bit_of(63) | 1); }, {}, 2},
};

}  // namespace

std::span<const Violation> guest_violations() { return violations; }

}  // namespace postern::cpu::vmx
