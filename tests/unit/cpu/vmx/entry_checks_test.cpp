// SPDX-License-Identifier: Apache-2.0
// Every check of VM entry, violated by itself: one row here for each row of the tables.
#include <algorithm>
#include <set>
#include <string>

#include "cpu/vmx/check.h"
#include "unit/cpu/vmx/vmx_machine.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using M = VmxMachine;

struct Violation {
    std::string_view rule;
    void (*mutate)(M& m);
};

// Bits of the control words.
constexpr u64 bit_of(unsigned position) { return u64{1} << position; }

void inject(M& m, u64 information, u64 error_code = 0, u64 length = 0) {
    m.set(F::vm_entry_interruption_information, information);
    m.set(F::vm_entry_exception_error_code, error_code);
    m.set(F::vm_entry_instruction_length, length);
}

/// A guest outside IA-32e mode.
void make_guest_legacy(M& m) {
    m.turn_off(F::vm_entry_controls, bit_of(9));
    m.set(F::guest_ia32_efer, 0);
}

/// Root software outside IA-32e mode, with such a guest.
void make_root_legacy(M& m) {
    make_guest_legacy(m);
    m.c.efer = EferWord{};
    m.turn_off(F::vm_exit_controls, bit_of(9));
    m.set(F::host_ia32_efer, 0);
    m.set(F::host_rip, 0x1000);
}

void make_virtual_8086(M& m) {
    m.set(F::guest_rflags, 0x2'0202);
    for (unsigned n = es; n <= gs; ++n) {
        m.set(segment_field(F::guest_es_selector, n), 0x1000);
        m.set(segment_field(F::guest_es_base, n), 0x1'0000);
        m.set(segment_field(F::guest_es_limit, n), 0xffff);
        m.set(segment_field(F::guest_es_access_rights, n), 0xf3);
    }
}

void make_ldtr_usable(M& m) {
    m.set(F::guest_ldtr_selector, 0x28);
    m.set(F::guest_ldtr_base, 0xe000);
    m.set(F::guest_ldtr_limit, 0x67);
    m.set(F::guest_ldtr_access_rights, 0x82);
}

constexpr Violation control_violations[]{
    {"pin-based controls are supported", [](M& m) { m.turn_on(F::pin_based_controls, 0x100); }},
    {"primary processor-based controls are supported",
     [](M& m) { m.turn_on(F::primary_processor_based_controls, bit_of(17)); }},
    {"secondary processor-based controls are supported",
     [](M& m) { m.turn_on(F::secondary_processor_based_controls, bit_of(24)); }},
    {"CR3-target count is supported", [](M& m) { m.set(F::cr3_target_count, 5); }},
    {"I/O bitmaps are physical pages",
     [](M& m) {
         m.turn_on(F::primary_processor_based_controls, bit_of(25));
         m.set(F::io_bitmap_b, 0x5001);
     }},
    {"MSR bitmap is a physical page", [](M& m) { m.set(F::msr_bitmap, too_wide); }},
    {"APIC-access address is a physical page",
     [](M& m) {
         m.turn_on(F::secondary_processor_based_controls, bit_of(0));
         m.set(F::apic_access_address, 0xfee0'0800);
     }},
    {"virtual NMIs need NMI exiting", [](M& m) { m.turn_on(F::pin_based_controls, 0x20); }},
    {"NMI-window exiting needs virtual NMIs",
     [](M& m) { m.turn_on(F::primary_processor_based_controls, bit_of(22)); }},
    {"VPID is not 0", [](M& m) { m.set(F::virtual_processor_identifier, 0); }},
    {"VM-exit controls are supported", [](M& m) { m.turn_on(F::vm_exit_controls, bit_of(23)); }},
    {"saving the preemption timer needs the timer",
     [](M& m) { m.turn_on(F::vm_exit_controls, bit_of(22)); }},
    {"VM-exit MSR-store area is aligned and physical",
     [](M& m) {
         m.set(F::vm_exit_msr_store_count, 2);
         m.set(F::vm_exit_msr_store_address, too_wide - 16);
     }},
    {"VM-exit MSR-load area is aligned and physical",
     [](M& m) {
         m.set(F::vm_exit_msr_load_count, 1);
         m.set(F::vm_exit_msr_load_address, 8);
     }},
    {"VM-entry controls are supported", [](M& m) { m.turn_on(F::vm_entry_controls, bit_of(16)); }},
    {"interruption type is not reserved", [](M& m) { inject(m, 0x8000'0100); }},
    {"vector fits the interruption type", [](M& m) { inject(m, 0x8000'0203); }},
    {"error code is delivered exactly where the exception has one",
     [](M& m) { inject(m, 0x8000'030d); }},
    {"interruption information has no reserved bit", [](M& m) { inject(m, 0x8000'1020); }},
    {"error code has no bit above 15", [](M& m) { inject(m, 0x8000'0b0e, 0x1'0000); }},
    {"instruction length is that of an instruction", [](M& m) { inject(m, 0x8000'0480, 0, 16); }},
    {"VM-entry MSR-load area is aligned and physical",
     [](M& m) {
         m.set(F::vm_entry_msr_load_count, 1);
         m.set(F::vm_entry_msr_load_address, 4);
     }},
};

constexpr Violation host_violations[]{
    {"host CR0 has its fixed bits", [](M& m) { m.turn_off(F::host_cr0, 0x20); }},
    {"host CR4 has its fixed bits", [](M& m) { m.turn_off(F::host_cr4, 0x2000); }},
    {"host CR3 is physical", [](M& m) { m.set(F::host_cr3, too_wide); }},
    {"host IA32_SYSENTER_ESP and EIP are canonical",
     [](M& m) { m.set(F::host_ia32_sysenter_eip, not_canonical); }},
    {"host IA32_PAT is valid", [](M& m) { m.set(F::host_ia32_pat, 2); }},
    {"host IA32_EFER fits the host address-space size",
     [](M& m) { m.set(F::host_ia32_efer, 0x400); }},
    {"host selectors have RPL and TI 0", [](M& m) { m.set(F::host_ds_selector, 3); }},
    {"host CS selector is not null", [](M& m) { m.set(F::host_cs_selector, 0); }},
    {"host TR selector is not null", [](M& m) { m.set(F::host_tr_selector, 0); }},
    {"host SS selector is not null outside 64-bit mode",
     [](M& m) {
         make_root_legacy(m);
         m.set(F::host_ss_selector, 0);
     }},
    {"host FS, GS and TR bases are canonical", [](M& m) { m.set(F::host_gs_base, not_canonical); }},
    {"host GDTR and IDTR bases are canonical",
     [](M& m) { m.set(F::host_idtr_base, not_canonical); }},
    {"host address-space size is the current mode's", [](M& m) { m.c.efer = EferWord{}; }},
    {"an IA-32e mode guest needs a 64-bit host",
     [](M& m) {
         make_root_legacy(m);
         m.turn_on(F::vm_entry_controls, bit_of(9));
         m.set(F::guest_ia32_efer, 0x500);
     }},
    {"host CR4 fits the address-space size", [](M& m) { m.turn_off(F::host_cr4, 0x20); }},
    {"host RIP fits the address-space size", [](M& m) { m.set(F::host_rip, not_canonical); }},
};

constexpr Violation guest_violations[]{
    {"guest CR0 has its fixed bits", [](M& m) { m.turn_off(F::guest_cr0, 0x20); }},
    {"guest paging needs protection",
     [](M& m) {
         m.turn_on(F::secondary_processor_based_controls, bit_of(7));
         m.turn_off(F::guest_cr0, 1);
     }},
    {"guest CR4 has its fixed bits", [](M& m) { m.turn_off(F::guest_cr4, 0x2000); }},
    {"guest IA32_DEBUGCTL has no reserved bit", [](M& m) { m.set(F::guest_ia32_debugctl, 8); }},
    {"an IA-32e mode guest has PG and PAE", [](M& m) { m.turn_off(F::guest_cr4, 0x20); }},
    {"a guest outside IA-32e mode has no PCIDE",
     [](M& m) {
         make_guest_legacy(m);
         m.turn_on(F::guest_cr4, bit_of(17));
     }},
    {"guest CR3 is physical", [](M& m) { m.set(F::guest_cr3, too_wide); }},
    {"guest DR7 has 32 bits", [](M& m) { m.set(F::guest_dr7, bit_of(32) | 0x400); }},
    {"guest IA32_SYSENTER_ESP and EIP are canonical",
     [](M& m) { m.set(F::guest_ia32_sysenter_esp, not_canonical); }},
    {"guest IA32_PAT is valid", [](M& m) { m.set(F::guest_ia32_pat, u64{3} << 56); }},
    {"guest IA32_EFER fits IA-32e mode and paging", [](M& m) { m.set(F::guest_ia32_efer, 0x400); }},
    {"guest GDTR and IDTR bases are canonical",
     [](M& m) { m.set(F::guest_gdtr_base, not_canonical); }},
    {"guest GDTR and IDTR limits have 16 bits", [](M& m) { m.set(F::guest_idtr_limit, 0x1'0000); }},
    {"guest RIP has 32 bits outside 64-bit mode",
     [](M& m) {
         m.set(F::guest_cs_access_rights, 0xc09b);
         m.set(F::guest_rip, bit_of(32));
     }},
    {"guest RIP has identical bits 63:48 in 64-bit mode",
     [](M& m) { m.set(F::guest_rip, bit_of(48)); }},
    {"guest RFLAGS has bit 1 and no reserved bit", [](M& m) { m.set(F::guest_rflags, 0x20a); }},
    {"guest RFLAGS.VM is 0 in IA-32e mode and without protection",
     [](M& m) { make_virtual_8086(m); }},
    {"an external interrupt needs guest RFLAGS.IF",
     [](M& m) {
         inject(m, 0x8000'0020);
         m.set(F::guest_rflags, 2);
     }},
    {"activity state is supported", [](M& m) { m.set(F::guest_activity_state, 2); }},
    {"only CPL 0 halts",
     [](M& m) {
         m.set(F::guest_activity_state, 1);
         m.set(F::guest_cs_selector, 0x0b);
         m.set(F::guest_cs_access_rights, 0xa0fb);
         m.set(F::guest_ss_selector, 0x13);
         m.set(F::guest_ss_access_rights, 0xc0f3);
     }},
    {"blocking by STI or MOV SS needs the active state",
     [](M& m) {
         m.set(F::guest_activity_state, 1);
         m.set(F::guest_interruptibility_state, 1);
     }},
    {"the injected event wakes a halted processor",
     [](M& m) {
         m.set(F::guest_activity_state, 1);
         inject(m, 0x8000'0b0d);
     }},
    {"interruptibility has no reserved bit",
     [](M& m) { m.set(F::guest_interruptibility_state, 0x20); }},
    {"STI and MOV SS do not block together",
     [](M& m) { m.set(F::guest_interruptibility_state, 3); }},
    {"blocking by STI needs RFLAGS.IF",
     [](M& m) {
         m.set(F::guest_interruptibility_state, 1);
         m.set(F::guest_rflags, 2);
     }},
    {"no external interrupt while STI or MOV SS blocks",
     [](M& m) {
         m.set(F::guest_interruptibility_state, 1);
         inject(m, 0x8000'0020);
     }},
    {"no NMI while MOV SS blocks",
     [](M& m) {
         m.set(F::guest_interruptibility_state, 2);
         inject(m, 0x8000'0202);
     }},
    {"no blocking by SMI outside SMM", [](M& m) { m.set(F::guest_interruptibility_state, 4); }},
    {"no virtual NMI while virtual NMIs are blocked",
     [](M& m) {
         m.turn_on(F::pin_based_controls, 0x28);
         m.set(F::guest_interruptibility_state, 8);
         inject(m, 0x8000'0202);
     }},
    {"an enclave interruption excludes blocking by MOV SS",
     [](M& m) { m.set(F::guest_interruptibility_state, 0x12); }},
    {"an enclave interruption needs SGX",
     [](M& m) {
         m.system.memory.epc_size = 0;
         m.set(F::guest_interruptibility_state, 0x10);
     }},
    {"pending debug exceptions have no reserved bit",
     [](M& m) { m.set(F::guest_pending_debug_exceptions, 0x10); }},
    {"pending single step agrees with TF and BTF",
     [](M& m) {
         m.set(F::guest_interruptibility_state, 1);
         m.set(F::guest_rflags, 0x302);
     }},
    {"VMCS link pointer is none or another VMCS",
     [](M& m) { m.set(F::vmcs_link_pointer, vmcs_at); }},
};

constexpr Violation segment_violations[]{
    {"TR is in the GDT", [](M& m) { m.set(F::guest_tr_selector, 0x1c); }},
    {"LDTR is in the GDT",
     [](M& m) {
         make_ldtr_usable(m);
         m.set(F::guest_ldtr_selector, 0x2c);
     }},
    {"SS.RPL is CS.RPL",
     [](M& m) {
         m.set(F::guest_cs_access_rights, 0xa09f);
         m.set(F::guest_ss_selector, 0x11);
         m.set(F::guest_ss_access_rights, 0xc0b3);
     }},
    {"virtual-8086 segments have their base, limit and rights",
     [](M& m) {
         make_guest_legacy(m);
         make_virtual_8086(m);
         m.set(F::guest_gs_limit, 0xfffe);
     }},
    {"TR, FS and GS bases are canonical", [](M& m) { m.set(F::guest_gs_base, not_canonical); }},
    {"LDTR base is canonical",
     [](M& m) {
         make_ldtr_usable(m);
         m.set(F::guest_ldtr_base, not_canonical);
     }},
    {"CS, SS, DS and ES bases have 32 bits", [](M& m) { m.set(F::guest_ds_base, bit_of(32)); }},
    {"CS is accessed code", [](M& m) { m.set(F::guest_cs_access_rights, 0xa09a); }},
    {"SS is accessed writable data", [](M& m) { m.set(F::guest_ss_access_rights, 0xc091); }},
    {"DS, ES, FS and GS are accessed and readable",
     [](M& m) { m.set(F::guest_fs_access_rights, 0xc099); }},
    {"code and data segments have S set", [](M& m) { m.set(F::guest_ds_access_rights, 0xc083); }},
    {"CS.DPL fits its type and SS.DPL", [](M& m) { m.set(F::guest_cs_access_rights, 0xa0fb); }},
    {"SS.DPL is SS.RPL, and 0 without protection",
     [](M& m) {
         m.set(F::guest_cs_access_rights, 0xa09f);
         m.set(F::guest_ss_access_rights, 0xc0f3);
     }},
    {"data segments' DPL is not below RPL", [](M& m) { m.set(F::guest_es_selector, 0x13); }},
    {"code and data segments are present", [](M& m) { m.set(F::guest_ds_access_rights, 0xc013); }},
    {"code and data rights have no reserved bit",
     [](M& m) { m.set(F::guest_ds_access_rights, 0xc193); }},
    {"a 64-bit CS has D clear", [](M& m) { m.set(F::guest_cs_access_rights, 0xe09b); }},
    {"code and data granularity fits the limit", [](M& m) { m.set(F::guest_ds_limit, 0x1000); }},
    {"TR is a busy TSS", [](M& m) { m.set(F::guest_tr_access_rights, 0x89); }},
    {"TR has S clear", [](M& m) { m.set(F::guest_tr_access_rights, 0x9b); }},
    {"TR is present", [](M& m) { m.set(F::guest_tr_access_rights, 0x0b); }},
    {"TR is usable", [](M& m) { m.set(F::guest_tr_access_rights, 0x1'008b); }},
    {"TR rights have no reserved bit", [](M& m) { m.set(F::guest_tr_access_rights, 0x18b); }},
    {"TR granularity fits the limit", [](M& m) { m.set(F::guest_tr_access_rights, 0x808b); }},
    {"LDTR is an LDT",
     [](M& m) {
         make_ldtr_usable(m);
         m.set(F::guest_ldtr_access_rights, 0x83);
     }},
    {"LDTR has S clear",
     [](M& m) {
         make_ldtr_usable(m);
         m.set(F::guest_ldtr_access_rights, 0x92);
     }},
    {"LDTR is present",
     [](M& m) {
         make_ldtr_usable(m);
         m.set(F::guest_ldtr_access_rights, 0x02);
     }},
    {"LDTR rights have no reserved bit",
     [](M& m) {
         make_ldtr_usable(m);
         m.set(F::guest_ldtr_access_rights, 0x182);
     }},
    {"LDTR granularity fits the limit",
     [](M& m) {
         make_ldtr_usable(m);
         m.set(F::guest_ldtr_access_rights, 0x8082);
     }},
};

std::vector<std::string> violated_rules(Cpu& c) {
    std::vector<std::string> rules;
    for (const auto checks : {control_checks(), virtual_apic_checks(), host_checks(),
                              guest_checks(), segment_checks()})
        for (const EntryCheck& check : checks)
            if (!check.holds(c)) rules.emplace_back(check.rule);
    return rules;
}

/// The violation is that one and no other, and VM entry answers with `error`.
void expect_vmfail(const Violation& violation, VmInstructionError error) {
    SCOPED_TRACE(violation.rule);
    M m = M::with_guest();
    violation.mutate(m);
    EXPECT_EQ(violated_rules(m.c), std::vector{std::string{violation.rule}});
    bool entered = true;
    const Status status = m.enter(entered);
    EXPECT_EQ(status.kind, Status::Kind::fail_valid);
    EXPECT_EQ(status.error, error);
    EXPECT_EQ(m.get(F::vm_instruction_error), static_cast<u64>(error));
    EXPECT_FALSE(entered);
    EXPECT_FALSE(m.c.vmx.non_root);
    EXPECT_FALSE(m.c.vmx.vmcs.launched);
}

void expect_failed_entry(const Violation& violation, u64 qualification) {
    SCOPED_TRACE(violation.rule);
    M m = M::with_guest();
    violation.mutate(m);
    const u64 rip_before = m.get(F::guest_rip);
    const u64 event_before = m.get(F::vm_entry_interruption_information);
    EXPECT_EQ(violated_rules(m.c), std::vector{std::string{violation.rule}});
    bool entered = true;
    EXPECT_TRUE(m.enter(entered).ok());
    EXPECT_FALSE(entered);
    EXPECT_FALSE(m.c.vmx.non_root);
    EXPECT_FALSE(m.c.vmx.vmcs.launched);
    EXPECT_EQ(m.get(F::exit_reason), 0x8000'0021u);
    EXPECT_EQ(m.get(F::exit_qualification), qualification);
    EXPECT_EQ(m.c.rip, host_rip_value);
    EXPECT_EQ(m.get(F::guest_rip), rip_before);
    EXPECT_EQ(m.get(F::vm_entry_interruption_information), event_before);
}

TEST(EntryChecks, TheBaselineViolatesNoneAndEnters) {
    M m = M::with_guest();
    EXPECT_TRUE(violated_rules(m.c).empty());
    m.run();
}

TEST(EntryChecks, EachControlViolatedFailsWith7) {
    for (const Violation& v : control_violations)
        expect_vmfail(v, VmInstructionError::entry_invalid_control_fields);
}

TEST(EntryChecks, EachHostFieldViolatedFailsWith8) {
    for (const Violation& v : host_violations)
        expect_vmfail(v, VmInstructionError::entry_invalid_host_state);
}

TEST(EntryChecks, EachGuestFieldViolatedFailsTheEntryWithReason33) {
    for (const Violation& v : guest_violations)
        expect_failed_entry(v, v.rule.starts_with("VMCS link pointer") ? 4 : 0);
}

TEST(EntryChecks, EachGuestSegmentViolatedFailsTheEntryWithReason33) {
    for (const Violation& v : segment_violations) expect_failed_entry(v, 0);
}

void expect_a_case_for_each(std::span<const EntryCheck> checks,
                            std::span<const Violation> violations) {
    ASSERT_EQ(checks.size(), violations.size());
    for (size_t n = 0; n < checks.size(); ++n) EXPECT_EQ(checks[n].rule, violations[n].rule);
}

TEST(EntryChecks, EveryRowHasItsCase) {
    expect_a_case_for_each(control_checks(), control_violations);
    expect_a_case_for_each(host_checks(), host_violations);
    expect_a_case_for_each(guest_checks(), guest_violations);
    expect_a_case_for_each(segment_checks(), segment_violations);
}

/// What is legal though it looks as if it were not.
constexpr Violation legal[]{
    {"enclave interruption alone", [](M& m) { m.set(F::guest_interruptibility_state, 0x10); }},
    {"enclave interruption with blocking by STI",
     [](M& m) { m.set(F::guest_interruptibility_state, 0x11); }},
    {"enclave interruption with blocking by NMI",
     [](M& m) { m.set(F::guest_interruptibility_state, 0x18); }},
    {"the SGX bit of a page fault's error code", [](M& m) { inject(m, 0x8000'0b0e, 0x8005); }},
    {"#CP without error code where there is no CET", [](M& m) { inject(m, 0x8000'0315); }},
    {"an INT n of length 0", [](M& m) { inject(m, 0x8000'0480, 0, 0); }},
    {"an INT1 of length 1", [](M& m) { inject(m, 0x8000'0501, 0, 1); }},
    {"a pending MTF VM exit", [](M& m) { inject(m, 0x8000'0700); }},
    {"an external interrupt for a halted guest",
     [](M& m) {
         m.set(F::guest_activity_state, 1);
         inject(m, 0x8000'0020);
     }},
    {"an NMI while STI blocks",
     [](M& m) {
         m.set(F::guest_interruptibility_state, 1);
         inject(m, 0x8000'0202);
     }},
    {"an NMI while NMIs are blocked, without virtual NMIs",
     [](M& m) {
         m.set(F::guest_interruptibility_state, 8);
         inject(m, 0x8000'0202);
     }},
    {"RIP one above the last canonical address",
     [](M& m) { m.set(F::guest_rip, 0x8000'0000'0000); }},
    {"CR0.CD and NW", [](M& m) { m.turn_on(F::guest_cr0, 0x6000'0000); }},
    {"an unrestricted guest's data segment in CS",
     [](M& m) {
         m.turn_on(F::secondary_processor_based_controls, bit_of(7));
         m.set(F::guest_cs_access_rights, 0xa093);
     }},
    {"another VMCS in the link pointer", [](M& m) { m.set(F::vmcs_link_pointer, other_vmcs_at); }},
    {"a single step pending in the shadow of STI",
     [](M& m) {
         m.set(F::guest_interruptibility_state, 1);
         m.set(F::guest_rflags, 0x302);
         m.set(F::guest_pending_debug_exceptions, 0x4000);
     }},
    {"EPT with accessed and dirty flags", [](M& m) { m.set(F::ept_pointer, 0x805e); }},
    {"CR3-load exiting, whose 0-setting only the TRUE MSR allows",
     [](M& m) { m.turn_on(F::primary_processor_based_controls, bit_of(15)); }},
};

TEST(EntryChecks, WhatIsLegalEnters) {
    for (const Violation& row : legal) {
        SCOPED_TRACE(row.rule);
        M m = M::with_guest();
        row.mutate(m);
        m.run();
    }
}

/// Whether an error code must be delivered depends on CR0.PE of an unrestricted guest.
TEST(EntryChecks, NoErrorCodeIsDeliveredInRealAddressMode) {
    M m = M::with_guest();
    make_guest_legacy(m);
    m.turn_on(F::secondary_processor_based_controls, bit_of(7));
    m.set(F::guest_cr0, 0x30);
    inject(m, 0x8000'030d);
    m.run();

    M with_code = M::with_guest();
    make_guest_legacy(with_code);
    with_code.turn_on(F::secondary_processor_based_controls, bit_of(7));
    with_code.set(F::guest_cr0, 0x30);
    inject(with_code, 0x8000'0b0d);
    bool entered = true;
    EXPECT_EQ(with_code.enter(entered).error, VmInstructionError::entry_invalid_control_fields);
}

}  // namespace
}  // namespace postern::cpu::vmx
