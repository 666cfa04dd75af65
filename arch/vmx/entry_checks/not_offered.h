// SPDX-License-Identifier: Apache-2.0
// Items of the manual's lists of VM-entry checks that have no row in the tables, because what they
// speak of is not offered: neither by the processor nor to a guest hypervisor.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include "arch/vmx/capability.h"
#include "arch/vmx/entry_checks/titles.h"
#include "base/table.h"

namespace postern::vm_entry {

struct NotOffered {
    std::string_view title;    // in SDM 3C
    std::string_view rule;     // the item in our own words
    std::string_view feature;  // what is not there
    ControlBit control;        // that would bring it; none for what no control brings
};

inline constexpr ControlBit no_control{};

inline constexpr std::array not_offered_rows{
    NotOffered{title::execution,
               "tertiary processor-based controls, if active, have no reserved bit",
               "tertiary controls", PrimaryControl::activate_tertiary_controls},
    NotOffered{title::execution, "mode-based execute control needs EPT",
               "mode-based execute control", SecondaryControl::mode_based_execute_control},
    NotOffered{title::execution, "sub-page write permissions need EPT", "sub-page permissions",
               SecondaryControl::sub_page_write_permissions},
    NotOffered{title::execution, "the sub-page-permission table pointer is aligned to a page",
               "sub-page permissions", SecondaryControl::sub_page_write_permissions},
    NotOffered{title::execution, "the sub-page-permission table pointer is physical",
               "sub-page permissions", SecondaryControl::sub_page_write_permissions},
    NotOffered{title::execution, "VM-function controls have no reserved bit", "VM functions",
               SecondaryControl::enable_vm_functions},
    NotOffered{title::execution, "EPTP switching needs EPT", "VM functions",
               SecondaryControl::enable_vm_functions},
    NotOffered{title::execution, "the EPTP-list address is aligned to a page", "VM functions",
               SecondaryControl::enable_vm_functions},
    NotOffered{title::execution, "the EPTP-list address is physical", "VM functions",
               SecondaryControl::enable_vm_functions},
    NotOffered{title::execution, "the VMREAD and VMWRITE bitmaps are aligned to pages",
               "VMCS shadowing", SecondaryControl::vmcs_shadowing},
    NotOffered{title::execution, "the VMREAD and VMWRITE bitmaps are physical", "VMCS shadowing",
               SecondaryControl::vmcs_shadowing},
    NotOffered{title::execution, "the virtualization-exception information is aligned to a page",
               "EPT-violation #VE", SecondaryControl::ept_violation_ve},
    NotOffered{title::execution, "the virtualization-exception information is physical",
               "EPT-violation #VE", SecondaryControl::ept_violation_ve},
    NotOffered{title::execution, "Intel PT with guest-physical addresses needs EPT", "Intel PT",
               SecondaryControl::pt_uses_guest_physical_addresses},
    NotOffered{title::execution,
               "Intel PT with guest-physical addresses needs IA32_RTIT_CTL loaded", "Intel PT",
               SecondaryControl::pt_uses_guest_physical_addresses},
    NotOffered{title::execution,
               "Intel PT with guest-physical addresses needs IA32_RTIT_CTL cleared", "Intel PT",
               SecondaryControl::pt_uses_guest_physical_addresses},
    NotOffered{title::execution, "the PASID-directory addresses are aligned and physical",
               "PASID translation", SecondaryControl::enable_pasid_translation},
    NotOffered{title::execution,
               "HLAT, EPT paging-write control and guest-paging verification need EPT",
               "tertiary controls", TertiaryControl::enable_hlat},
    NotOffered{title::execution, "HLATP has no reserved bit and is physical", "HLAT",
               TertiaryControl::enable_hlat},
    NotOffered{title::execution, "the PID-pointer table is aligned and physical to its last entry",
               "IPI virtualization", TertiaryControl::ipi_virtualization},
    NotOffered{title::execution, "the virtual-timer vector is legal", "guest APIC timer",
               TertiaryControl::guest_apic_timer_virtualization},

    NotOffered{title::exiting, "secondary VM-exit controls, if active, have no reserved bit",
               "secondary VM-exit controls", ExitControl::activate_secondary_controls},

    NotOffered{title::entering,
               "outside SMM no entry to SMM and no end of the dual-monitor treatment", "SMM",
               EntryControl::entry_to_smm},
    NotOffered{title::entering,
               "entry to SMM and the end of the dual-monitor treatment exclude each other", "SMM",
               EntryControl::deactivate_dual_monitor_treatment},
    NotOffered{title::entering, "while Intel PT traces, IA32_RTIT_CTL is not loaded", "Intel PT",
               EntryControl::load_ia32_rtit_ctl},

    NotOffered{title::host_registers, "host CR4.CET needs CR0.WP", "CET",
               ExitControl::load_cet_state},
    NotOffered{title::host_registers, "host IA32_PERF_GLOBAL_CTRL has no reserved bit",
               "performance monitoring", ExitControl::load_ia32_perf_global_ctrl},
    NotOffered{title::host_registers,
               "host IA32_S_CET and IA32_INTERRUPT_SSP_TABLE_ADDR are canonical", "CET",
               ExitControl::load_cet_state},
    NotOffered{title::host_registers, "host IA32_S_CET has no reserved bit", "CET",
               ExitControl::load_cet_state},
    NotOffered{title::host_registers, "host SSP has bits 1:0 clear", "CET",
               ExitControl::load_cet_state},
    NotOffered{title::host_registers, "host IA32_PKRS has 32 bits", "PKRS", ExitControl::load_pkrs},
    NotOffered{title::host_registers, "host FRED MSRs could be written by WRMSR", "FRED",
               SecondaryExitControl::load_ia32_fred},
    NotOffered{title::address_space_size,
               "a host that is not 64-bit has IA32_S_CET and SSP of 32 bits", "CET",
               ExitControl::load_cet_state},
    NotOffered{title::address_space_size, "a 64-bit host has a canonical SSP", "CET",
               ExitControl::load_cet_state},

    NotOffered{title::guest_registers, "guest CR4.CET needs CR0.WP", "CET",
               EntryControl::load_cet_state},
    NotOffered{title::guest_registers, "guest IA32_PERF_GLOBAL_CTRL has no reserved bit",
               "performance monitoring", EntryControl::load_ia32_perf_global_ctrl},
    NotOffered{title::guest_registers, "guest IA32_BNDCFGS has no reserved bit", "MPX",
               EntryControl::load_ia32_bndcfgs},
    NotOffered{title::guest_registers, "the address in guest IA32_BNDCFGS is canonical", "MPX",
               EntryControl::load_ia32_bndcfgs},
    NotOffered{title::guest_registers, "guest IA32_RTIT_CTL could be written by WRMSR", "Intel PT",
               EntryControl::load_ia32_rtit_ctl},
    NotOffered{title::guest_registers,
               "guest IA32_S_CET and IA32_INTERRUPT_SSP_TABLE_ADDR are canonical", "CET",
               EntryControl::load_cet_state},
    NotOffered{title::guest_registers, "guest IA32_S_CET has no reserved bit", "CET",
               EntryControl::load_cet_state},
    NotOffered{title::guest_registers, "guest IA32_LBR_CTL has no reserved bit",
               "architectural LBRs", EntryControl::load_guest_ia32_lbr_ctl},
    NotOffered{title::guest_registers, "guest IA32_PKRS has 32 bits", "PKRS",
               EntryControl::load_pkrs},
    NotOffered{title::guest_registers, "guest UINV has 8 bits", "user interrupts",
               EntryControl::load_uinv},
    NotOffered{title::guest_registers, "guest FRED MSRs could be written by WRMSR", "FRED",
               EntryControl::load_ia32_fred},
    NotOffered{title::rip_and_rflags, "guest SSP has bits 1:0 clear", "CET",
               EntryControl::load_cet_state},
    NotOffered{title::rip_and_rflags, "guest SSP fits the mode", "CET",
               EntryControl::load_cet_state},

    NotOffered{title::non_register, "no entry to SMM in the wait-for-SIPI state", "SMM",
               EntryControl::entry_to_smm},
    NotOffered{title::non_register, "an entry to SMM has blocking by SMI", "SMM",
               EntryControl::entry_to_smm},
    NotOffered{title::non_register, "a pending debug exception of RTM stands alone", "RTM",
               no_control},
    NotOffered{title::non_register, "a pending debug exception of RTM is an enabled breakpoint",
               "RTM", no_control},
    NotOffered{title::non_register, "a pending debug exception of RTM excludes blocking by MOV SS",
               "RTM", no_control},
    NotOffered{title::non_register, "in SMM the link pointer is not the executive VMCS", "SMM",
               EntryControl::entry_to_smm},
};
static_assert(has_unique_keys(not_offered_rows, [](const NotOffered& row) { return row.rule; }));

/// What `supported` offers has all its rows in the tables.
constexpr bool are_all_checked(const SupportedControls& supported) {
    return std::ranges::none_of(not_offered_rows, [&](const NotOffered& row) {
        return has_control(supported, row.control);
    });
}

}  // namespace postern::vm_entry
