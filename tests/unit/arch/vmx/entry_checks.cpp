// SPDX-License-Identifier: Apache-2.0
// The checks of VM entry on a view of nothing but values. That each row has a state that violates
// it is shown where a processor enters: tests/unit/cpu/vmx/.
#include "arch/vmx/entry_checks.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "arch/vmx/entry_checks/not_offered.h"
#include "unit/arch/vmx/entry_view.h"

namespace postern::vm_entry {
namespace {

using F = VmcsField;
using Rules = std::vector<std::string>;

// Nothing but values: the whole list can be asked when it is compiled.
static_assert(first_violated(EntryFailure::controls, FakeView::valid()) == nullptr);
static_assert(first_violated(EntryFailure::host, FakeView::valid()) == nullptr);
static_assert(first_violated(EntryFailure::guest, FakeView::valid()) == nullptr);

static_assert(!has(FakeView{}, SecondaryControl::enable_ept));
static_assert(has(FakeView::valid(), SecondaryControl::enable_ept));

constexpr SupportedControls offering(SecondaryControl control) {
    SupportedControls offered{};
    offered.secondary.set(control);
    return offered;
}
static_assert(are_all_checked(offering(SecondaryControl::enable_ept)));
static_assert(!are_all_checked(offering(SecondaryControl::vmcs_shadowing)));

Rules violated_rules(const FakeView& v) {
    Rules rules;
    for (const CheckTable<FakeView>& table : check_tables<FakeView>)
        for (const EntryCheck<FakeView>& check : table.checks())
            if (!check.holds(v)) rules.emplace_back(check.rule);
    return rules;
}

void without(ControlCapability& capability, auto control) {
    const u32 bit = u32{1} << static_cast<unsigned>(control);
    capability = {capability.must_be_1(), capability.may_be_1() & ~bit};
}

void inject(FakeView& v, InterruptionInformation event) {
    v.at(F::vm_entry_interruption_information) = event.to_raw();
}

constexpr u64 too_wide = u64{1} << 46;
constexpr u64 not_canonical = u64{1} << 47;

struct Case {
    std::string_view rule;
    EntryFailure failure;
    void (*change)(FakeView& v);
};

using enum EntryFailure;

constexpr Case one_field[]{
    {"pin-based controls have their fixed bits", controls,
     [](FakeView& v) { v.at(F::pin_based_controls) = 0; }},
    {"the CR3-target count is supported", controls,
     [](FakeView& v) { v.at(F::cr3_target_count) = 5; }},
    {"NMI-window exiting needs virtual NMIs", controls,
     [](FakeView& v) { v.turn_on(F::primary_processor_based_controls, 1u << 22); }},
    {"the VPID is not 0", controls,
     [](FakeView& v) { v.turn_on(F::secondary_processor_based_controls, 1u << 5); }},
    {"the TSC multiplier is not 0", controls,
     [](FakeView& v) { v.turn_on(F::secondary_processor_based_controls, 1u << 25); }},
    {"EPT's own tables are uncacheable or write-back", controls,
     [](FakeView& v) { v.at(F::ept_pointer) = 0x801b; }},
    {"EPTP has no reserved bit", controls,
     [](FakeView& v) { v.turn_on(F::ept_pointer, too_wide); }},
    {"saving the preemption timer needs the timer", controls,
     [](FakeView& v) { v.turn_on(F::vm_exit_controls, 1u << 22); }},
    {"a software event has the length of an instruction", controls,
     [](FakeView& v) {
         inject(v, InterruptionInformation::software_interrupt(0x80));
         v.at(F::vm_entry_instruction_length) = 16;
     }},
    {"an error code is delivered exactly where the exception has one", controls,
     [](FakeView& v) {
         inject(v, InterruptionInformation::hardware_exception(Vector::invalid_opcode, true));
     }},
    {"host CR4 has its fixed bits", host, [](FakeView& v) { v.at(F::host_cr4) = 0x20; }},
    {"host CR3 is physical", host, [](FakeView& v) { v.at(F::host_cr3) = too_wide; }},
    {"host selectors have RPL and TI 0", host, [](FakeView& v) { v.at(F::host_ds_selector) = 3; }},
    {"host CS and TR selectors are not 0", host,
     [](FakeView& v) { v.at(F::host_tr_selector) = 0; }},
    {"a 64-bit host has a canonical RIP", host,
     [](FakeView& v) { v.at(F::host_rip) = not_canonical; }},
    {"guest CR3 is physical", guest, [](FakeView& v) { v.at(F::guest_cr3) = too_wide; }},
    {"guest IA32_DEBUGCTL, if loaded, has no reserved bit", guest,
     [](FakeView& v) { v.at(F::guest_ia32_debugctl) = 4; }},
    {"guest DR7, if loaded, has 32 bits", guest,
     [](FakeView& v) { v.turn_on(F::guest_dr7, u64{1} << 32); }},
    {"CS base has 32 bits", guest, [](FakeView& v) { v.at(F::guest_cs_base) = u64{1} << 32; }},
    {"usable DS, ES, FS and GS are accessed", guest,
     [](FakeView& v) { v.at(F::guest_fs_access_rights) = 0xc092; }},
    {"TR is a busy TSS, of 16 bits only outside IA-32e mode", guest,
     [](FakeView& v) { v.at(F::guest_tr_access_rights) = 0x89; }},
    {"guest RFLAGS has bit 1 and no reserved bit", guest,
     [](FakeView& v) { v.at(F::guest_rflags) = 0; }},
    {"guest RIP has identical bits 63:48 in 64-bit mode", guest,
     [](FakeView& v) { v.at(F::guest_rip) = u64{1} << 48; }},
    {"interruptibility has no reserved bit", guest,
     [](FakeView& v) { v.at(F::guest_interruptibility_state) = 0x20; }},
    {"an enclave interruption excludes blocking by MOV SS", guest,
     [](FakeView& v) { v.at(F::guest_interruptibility_state) = 0x12; }},
    {"the VMCS link pointer is physical", guest,
     [](FakeView& v) { v.at(F::vmcs_link_pointer) = too_wide; }},
    {"the linked VMCS has our revision", guest,
     [](FakeView& v) { v.at(F::vmcs_link_pointer) = 0x9000; }},
};

/// A VMCS that is valid where the processor can do everything, without one capability of it.
constexpr Case one_capability[]{
    {"secondary processor-based controls, if active, have no reserved bit", controls,
     [](FakeView& v) { without(v.processor.secondary, SecondaryControl::enable_ept); }},
    {"primary processor-based controls have their fixed bits", controls,
     [](FakeView& v) {
         without(v.processor.primary, PrimaryControl::activate_secondary_controls);
     }},
    {"VM-exit controls have their fixed bits", controls,
     [](FakeView& v) { without(v.processor.exit, ExitControl::host_address_space_size); }},
    {"VM-entry controls have their fixed bits", controls,
     [](FakeView& v) { without(v.processor.entry, EntryControl::load_debug_controls); }},
    {"the CR3-target count is supported", controls,
     [](FakeView& v) {
         v.at(F::cr3_target_count) = 4;
         v.processor.misc = v.processor.misc.with_cr3_target_count(3);
     }},
    {"EPT's own tables are uncacheable or write-back", controls,
     [](FakeView& v) { v.processor.ept_vpid.set(EptVpidCapability::memory_type_wb, false); }},
    {"EPT's own tables are uncacheable or write-back", controls,
     [](FakeView& v) {
         v.at(F::ept_pointer) = Eptp::of(0x8000, MemoryType::uc).to_raw();
         v.processor.ept_vpid.set(EptVpidCapability::memory_type_uc, false);
     }},
    {"EPT walks 4 levels", controls,
     [](FakeView& v) { v.processor.ept_vpid.set(EptVpidCapability::page_walk_4, false); }},
    {"EPT walks 4 levels", controls,
     [](FakeView& v) {
         v.at(F::ept_pointer) = Eptp::of(0x8000, MemoryType::wb, 5).to_raw();
         v.processor.ept_vpid.set(EptVpidCapability::page_walk_5, false);
     }},
    {"EPT does not control supervisor shadow stacks", controls,
     [](FakeView& v) {
         v.turn_on(F::ept_pointer, 1u << 7);
         v.processor.ept_vpid.set(EptVpidCapability::supervisor_shadow_stack, false);
     }},
    {"EPTP has no reserved bit", controls,
     [](FakeView& v) {
         v.at(F::ept_pointer) = Eptp::of(0x8000, MemoryType::wb, 4, true).to_raw();
         v.processor.ept_vpid.set(EptVpidCapability::accessed_and_dirty, false);
     }},
    {"a software event has the length of an instruction", controls,
     [](FakeView& v) {
         inject(v, InterruptionInformation::software_interrupt(0x80));
         v.processor.misc = v.processor.misc.with_zero_length_injection(false);
     }},
    {"the interruption type is not reserved", controls,
     [](FakeView& v) {
         inject(v, InterruptionInformation::pending_mtf());
         without(v.processor.primary, PrimaryControl::monitor_trap_flag);
     }},
    {"an error code is delivered exactly where the exception has one", controls,
     [](FakeView& v) {
         inject(v, InterruptionInformation::hardware_exception(Vector::control_protection, true));
         v.processor.cr4_fixed1 = ~Cr4Word{Cr4::cet}.to_raw();
     }},
    {"host CR3 is physical", host,
     [](FakeView& v) {
         v.at(F::host_cr3) = u64{1} << 45;
         v.processor.physical_bits = 45;
     }},
    {"in IA-32e mode the host is 64-bit", host,
     [](FakeView& v) {
         v.at(F::vm_exit_controls) = exit_default1.true_controls;
         v.at(F::vm_entry_controls) = entry_default1.true_controls;
         v.at(F::host_ss_selector) = 0x10;
     }},
    {"guest CR4 has its fixed bits", guest,
     [](FakeView& v) {
         v.turn_on(F::guest_cr4, Cr4Word{Cr4::smap}.to_raw());
         v.processor.cr4_fixed1 = ~Cr4Word{Cr4::smap}.to_raw();
     }},
    {"guest CR0 has its fixed bits", guest,
     [](FakeView& v) {
         v.turn_on(F::guest_cr0, Cr0Word{Cr0::wp}.to_raw());
         v.processor.cr0_fixed1 = ~Cr0Word{Cr0::wp}.to_raw();
     }},
    {"the activity state is supported", guest,
     [](FakeView& v) {
         v.at(F::guest_activity_state) = 1;
         v.processor.misc = v.processor.misc.with_activities(6);
     }},
    {"an enclave interruption needs SGX", guest,
     [](FakeView& v) {
         v.at(F::guest_interruptibility_state) = 0x10;
         v.processor.has_sgx = false;
     }},
};

/// The change violates that rule and no other, and the search finds it in its group.
void expect_violation(const Case& row) {
    SCOPED_TRACE(row.rule);
    FakeView v = FakeView::valid();
    row.change(v);
    EXPECT_EQ(violated_rules(v), Rules{std::string{row.rule}});
    for (const EntryFailure failure : {controls, host, guest}) {
        const EntryCheck<FakeView>* found = first_violated(failure, v);
        ASSERT_EQ(found != nullptr, failure == row.failure);
        if (found != nullptr) {
            EXPECT_EQ(found->rule, row.rule);
        }
    }
}

TEST(ArchEntryChecks, AValidVmcsPassesEveryRow) {
    EXPECT_EQ(violated_rules(FakeView::valid()), Rules{});
}

TEST(ArchEntryChecks, OneChangedFieldViolatesItsRowAlone) {
    for (const Case& row : one_field) expect_violation(row);
}

TEST(ArchEntryChecks, WhatAProcessorLacksIsRefused) {
    for (const Case& row : one_capability) expect_violation(row);
}

TEST(ArchEntryChecks, WhatAProcessorHasIsTaken) {
    constexpr void (*changes[])(FakeView&){
        [](FakeView& v) { v.at(F::ept_pointer) = Eptp::of(0x8000, MemoryType::uc).to_raw(); },
        [](FakeView& v) { v.at(F::ept_pointer) = Eptp::of(0x8000, MemoryType::wb, 5).to_raw(); },
        [](FakeView& v) { v.turn_on(F::ept_pointer, 1u << 6 | 1u << 7); },
        [](FakeView& v) { v.at(F::guest_interruptibility_state) = 0x10; },
        [](FakeView& v) { inject(v, InterruptionInformation::pending_mtf()); },
        [](FakeView& v) {
            inject(v,
                   InterruptionInformation::hardware_exception(Vector::control_protection, true));
        },
        [](FakeView& v) {
            v.at(F::vmcs_link_pointer) = 0x9000;
            v.memory = 0x1234;
        },
    };
    for (const auto change : changes) {
        FakeView v = FakeView::valid();
        change(v);
        EXPECT_EQ(violated_rules(v), Rules{});
    }
}

TEST(ArchEntryChecks, ErrorCodesAreSoftwaresChoiceWhereTheProcessorSaysSo) {
    FakeView v = FakeView::valid();
    v.processor.basic = v.processor.basic.with_any_error_code();
    inject(v, InterruptionInformation::hardware_exception(Vector::invalid_opcode, true));
    EXPECT_EQ(violated_rules(v), Rules{});
    inject(v, InterruptionInformation::hardware_exception(Vector::page_fault, false));
    EXPECT_EQ(violated_rules(v), Rules{});
    const Rules wrong{"an error code is delivered exactly where the exception has one"};
    inject(v, InterruptionInformation::of(InterruptionType::nmi, 2, true));
    EXPECT_EQ(violated_rules(v), wrong);
}

TEST(ArchEntryChecks, TheVirtualTprAndThePdptesAreReadFromMemory) {
    FakeView v = FakeView::valid();
    v.turn_on(F::primary_processor_based_controls, 1u << 21);
    v.at(F::virtual_apic_address) = 0x3000;
    v.at(F::tpr_threshold) = 5;
    v.memory = 0x4f;
    EXPECT_EQ(violated_rules(v), Rules{"TPR threshold is not above the virtual TPR"});
    v.memory = 0x50;
    EXPECT_EQ(violated_rules(v), Rules{});

    v = FakeView::valid();
    v.at(F::secondary_processor_based_controls) = 0;
    v.at(F::vm_entry_controls) = entry_default1.true_controls;
    v.memory = 3;  // a reserved bit of a present entry
    EXPECT_EQ(violated_rules(v),
              Rules{"without EPT, present PDPTEs in the table at guest CR3 are valid"});
    const auto* found = first_violated(guest, v);
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->qualification, EntryFailureQualification::pdpte);
    v.memory = 1;
    EXPECT_EQ(violated_rules(v), Rules{});
}

}  // namespace
}  // namespace postern::vm_entry
