// SPDX-License-Identifier: Apache-2.0
// Every check of VM entry, violated by itself; and what is legal though it looks as if it were not.
#include <algorithm>
#include <string>

#include "cpu/vmx/check.h"
#include "unit/cpu/vmx/violation.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using M = VmxMachine;
using Rules = std::vector<std::string>;

const CheckTable* table_of(std::string_view rule) {
    for (const CheckTable& table : check_tables)
        for (const EntryCheck& check : table.checks())
            if (check.rule == rule) return &table;
    return nullptr;
}

Rules violated_rules(Cpu& c) {
    Rules rules;
    for (const CheckTable& table : check_tables)
        for (const EntryCheck& check : table.checks())
            if (!check.holds(c)) rules.emplace_back(check.rule);
    return rules;
}

Rules expected_rules(const Violation& violation) {
    Rules rules{std::string{violation.rule}};
    if (!violation.also.empty()) rules.emplace_back(violation.also);
    std::ranges::sort(rules);
    return rules;
}

void expect_vmfail(M& m, u32 error) {
    bool entered = true;
    const Status status = m.enter(entered);
    EXPECT_EQ(status.kind, Status::Kind::fail_valid);
    EXPECT_EQ(static_cast<u32>(status.error), error);
    EXPECT_EQ(m.get(F::vm_instruction_error), error);
    EXPECT_FALSE(entered);
}

void expect_failed_entry(M& m, u64 qualification) {
    const u64 rip_before = m.get(F::guest_rip);
    const u64 event_before = m.get(F::vm_entry_interruption_information);
    bool entered = true;
    EXPECT_TRUE(m.enter(entered).ok());
    EXPECT_FALSE(entered);
    EXPECT_EQ(m.get(F::exit_reason), 0x8000'0021u);
    EXPECT_EQ(m.get(F::exit_qualification), qualification);
    EXPECT_EQ(m.c.rip, m.get(F::host_rip));
    EXPECT_EQ(m.get(F::guest_rip), rip_before);
    EXPECT_EQ(m.get(F::vm_entry_interruption_information), event_before);
}

/// The violation is that one and no other, and VM entry answers as the rule's table says.
void expect_violation(const Violation& violation) {
    SCOPED_TRACE(violation.rule);
    const CheckTable* table = table_of(violation.rule);
    ASSERT_NE(table, nullptr) << "no such rule";
    M m = M::with_guest();
    violation.mutate(m);
    Rules violated = violated_rules(m.c);
    std::ranges::sort(violated);
    EXPECT_EQ(violated, expected_rules(violation));
    switch (table->failure) {
        case EntryFailure::controls: expect_vmfail(m, 7); break;
        case EntryFailure::host: expect_vmfail(m, 8); break;
        case EntryFailure::guest: expect_failed_entry(m, violation.qualification); break;
    }
    EXPECT_FALSE(m.c.vmx.non_root);
    EXPECT_FALSE(m.c.vmx.vmcs.launched);
}

TEST(EntryChecks, TheBaselineViolatesNoneAndEnters) {
    M m = M::with_guest();
    EXPECT_EQ(violated_rules(m.c), Rules{});
    m.run();
}

// covers: entry_failure_guest_state
TEST(EntryChecks, EachRuleViolatedByItselfFailsAsItsTableSays) {
    for (const auto list : violation_lists)
        for (const Violation& violation : list()) expect_violation(violation);
}

bool has_case(std::string_view rule) {
    for (const auto list : violation_lists)
        for (const Violation& violation : list())
            if (violation.rule == rule) return true;
    return false;
}

TEST(EntryChecks, EveryRowHasItsCase) {
    for (const CheckTable& table : check_tables)
        for (const EntryCheck& check : table.checks())
            EXPECT_TRUE(has_case(check.rule)) << check.rule;
}

TEST(EntryChecks, NoTwoRowsHaveTheSameRule) {
    Rules rules;
    for (const CheckTable& table : check_tables)
        for (const EntryCheck& check : table.checks()) rules.emplace_back(check.rule);
    std::ranges::sort(rules);
    EXPECT_EQ(std::ranges::adjacent_find(rules), rules.end());
}

TEST(EntryChecks, ControlsGoBeforeHostStateAndThatBeforeGuestState) {
    M m = M::with_guest();
    m.set(F::cr3_target_count, 5);
    m.set(F::host_cs_selector, 0);
    m.set(F::guest_cr3, too_wide);
    expect_vmfail(m, 7);
    m.set(F::cr3_target_count, 0);
    expect_vmfail(m, 8);
    m.set(F::host_cs_selector, 8);
    expect_failed_entry(m, 0);
}

TEST(EntryChecks, MovSsAndTheLaunchStateGoBeforeAllChecks) {
    M m = M::with_guest();
    m.set(F::cr3_target_count, 5);
    bool entered = true;
    EXPECT_EQ(static_cast<u32>(m.enter(entered, false).error), 5u);  // VMRESUME of a clear VMCS
    m.c.event.blocking.set(Interruptibility::mov_ss);
    expect_vmfail(m, 26);
    EXPECT_EQ(static_cast<u32>(m.enter(entered, false).error), 26u);
}

struct Legal {
    std::string_view what;
    void (*mutate)(M& m);
};

constexpr Legal legal[]{
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
    {"nothing but nonsense in the fields of an event that is not valid",
     [](M& m) { inject(m, 0x7fff'f9ff, ~u64{0}, 99); }},
    {"an external interrupt for a halted guest",
     [](M& m) {
         m.set(F::guest_activity_state, 1);
         inject(m, 0x8000'0020);
     }},
    {"a pending MTF VM exit for a halted guest",
     [](M& m) {
         m.set(F::guest_activity_state, 1);
         inject(m, 0x8000'0700);
     }},
    {"a machine check for a guest that is shut down",
     [](M& m) {
         m.set(F::guest_activity_state, 2);
         inject(m, 0x8000'0312);
     }},
    {"a guest that waits for a SIPI", [](M& m) { m.set(F::guest_activity_state, 3); }},
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
    {"CR0.NW without CD", [](M& m) { m.turn_on(F::guest_cr0, 0x2000'0000); }},
    {"an unrestricted guest's data segment in CS",
     [](M& m) {
         make_unrestricted(m);
         set_rights(m, cs, 0xa093);
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
    {"secondary controls that mean nothing",
     [](M& m) {
         m.turn_off(F::primary_processor_based_controls, bit_of(31));
         m.set(F::secondary_processor_based_controls, ~u64{0});
         m.set(F::virtual_processor_identifier, 0);
     }},
    {"an empty MSR area anywhere", [](M& m) { m.set(F::vm_entry_msr_load_address, 0x7001); }},
    {"what is not loaded",
     [](M& m) {
         m.turn_off(F::vm_entry_controls, bit_of(2) | bit_of(14) | bit_of(15));
         m.set(F::guest_ia32_debugctl, 8);
         m.set(F::guest_dr7, ~u64{0});
         m.set(F::guest_ia32_pat, 2);
         m.set(F::guest_ia32_efer, 2);
     }},
    {"an unusable LDTR of all ones",
     [](M& m) {
         m.set(F::guest_ldtr_selector, 0xffff);
         m.set(F::guest_ldtr_base, not_canonical);
         set_rights(m, ldtr, ~u64{0});
     }},
    {"unusable data segments of all ones",
     [](M& m) {
         for (const unsigned index : {ds, es}) {
             m.set(segment_field(F::guest_es_selector, index), 0xffff);
             m.set(segment_field(F::guest_es_base, index), ~u64{0});
             set_rights(m, index, ~u64{0});
         }
     }},
    {"a 16-bit TSS outside IA-32e mode",
     [](M& m) {
         make_guest_legacy(m);
         set_rights(m, tr, 0x83);
     }},
    {"virtual-8086 mode",
     [](M& m) {
         make_guest_legacy(m);
         make_virtual_8086(m);
     }},
    {"real-address mode", make_guest_real},
    {"no error code in real-address mode",
     [](M& m) {
         make_guest_real(m);
         inject(m, 0x8000'030d);
     }},
    {"a real-address mode guest whose segments have any RPL",
     [](M& m) {
         make_guest_real(m);
         m.set(F::guest_cs_selector, 0xf003);
         m.set(F::guest_ss_selector, 0x1002);
         m.set(F::guest_ds_selector, 0x0001);
     }},
    {"LME without paging",
     [](M& m) {
         make_guest_real(m);
         m.set(F::guest_ia32_efer, 0x100);
     }},
    {"PDPTEs that are not present, whatever else they say",
     [](M& m) {
         make_guest_legacy(m);
         m.set(F::guest_pdpte2, ~u64{1});
     }},
    {"PDPTEs in memory that are not used",
     [](M& m) {
         make_guest_legacy(m);
         write_physical(m.c, Hpa{m.get(F::guest_cr3)}, 8, ~u64{0});
     }},
    {"a table of PDPTEs within its page",
     [](M& m) {
         make_guest_pae_without_ept(m);
         m.set(F::guest_cr3, 0x9fe0);
         write_physical(m.c, Hpa{0x9fe0}, 8, 0xa019);
         write_physical(m.c, Hpa{0x9000}, 8, 0x3);
     }},
};

TEST(EntryChecks, WhatIsLegalEnters) {
    for (const Legal& row : legal) {
        SCOPED_TRACE(row.what);
        M m = M::with_guest();
        row.mutate(m);
        EXPECT_EQ(violated_rules(m.c), Rules{});
        m.run();
    }
}

}  // namespace
}  // namespace postern::cpu::vmx
