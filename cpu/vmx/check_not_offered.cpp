// SPDX-License-Identifier: Apache-2.0
// Items of the manual's lists of VM-entry checks that have no row in the tables, because what they
// speak of is not offered. Once it is, this file does not compile until the item has its row.
#include "cpu/vmx/capability.h"
#include "cpu/vmx/check.h"

namespace postern::cpu::vmx {
namespace {

struct NotOffered {
    std::string_view title;    // in SDM 3C
    std::string_view rule;     // the item in our own words
    std::string_view feature;  // what is not there
    ControlBit control;        // that would bring it; none for what no control brings
};

using Secondary = SecondaryControl;
using Tertiary = TertiaryControl;

constexpr std::string_view execution = "VM-Execution Control Fields";
constexpr std::string_view exiting = "VM-Exit Control Fields";
constexpr std::string_view entering = "VM-Entry Control Fields";
constexpr std::string_view host = "Checks on Host Control Registers, MSRs, and SSP";
constexpr std::string_view sizes = "Checks Related to Address-Space Size";
constexpr std::string_view guest = "Checks on Guest Control Registers, Debug Registers, and MSRs";
constexpr std::string_view flow = "Checks on Guest RIP, RFLAGS, and SSP";
constexpr std::string_view non_register = "Checks on Guest Non-Register State";

constexpr ControlBit fred_host = SecondaryExitControl::load_ia32_fred;
constexpr ControlBit no_control{};

constexpr std::array rows{
    NotOffered{execution, "tertiary processor-based controls, if active, have no reserved bit",
               "tertiary controls", PrimaryControl::activate_tertiary_controls},
    NotOffered{execution, "mode-based execute control needs EPT", "mode-based execute control",
               Secondary::mode_based_execute_control},
    NotOffered{execution, "sub-page write permissions need EPT", "sub-page permissions",
               Secondary::sub_page_write_permissions},
    NotOffered{execution, "the sub-page-permission table pointer is aligned to a page",
               "sub-page permissions", Secondary::sub_page_write_permissions},
    NotOffered{execution, "the sub-page-permission table pointer is physical",
               "sub-page permissions", Secondary::sub_page_write_permissions},
    NotOffered{execution, "VM-function controls have no reserved bit", "VM functions",
               Secondary::enable_vm_functions},
    NotOffered{execution, "EPTP switching needs EPT", "VM functions",
               Secondary::enable_vm_functions},
    NotOffered{execution, "the EPTP-list address is aligned to a page", "VM functions",
               Secondary::enable_vm_functions},
    NotOffered{execution, "the EPTP-list address is physical", "VM functions",
               Secondary::enable_vm_functions},
    NotOffered{execution, "the VMREAD and VMWRITE bitmaps are aligned to pages", "VMCS shadowing",
               Secondary::vmcs_shadowing},
    NotOffered{execution, "the VMREAD and VMWRITE bitmaps are physical", "VMCS shadowing",
               Secondary::vmcs_shadowing},
    NotOffered{execution, "the virtualization-exception information is aligned to a page",
               "EPT-violation #VE", Secondary::ept_violation_ve},
    NotOffered{execution, "the virtualization-exception information is physical",
               "EPT-violation #VE", Secondary::ept_violation_ve},
    NotOffered{execution, "Intel PT with guest-physical addresses needs EPT", "Intel PT",
               Secondary::pt_uses_guest_physical_addresses},
    NotOffered{execution, "Intel PT with guest-physical addresses needs IA32_RTIT_CTL loaded",
               "Intel PT", Secondary::pt_uses_guest_physical_addresses},
    NotOffered{execution, "Intel PT with guest-physical addresses needs IA32_RTIT_CTL cleared",
               "Intel PT", Secondary::pt_uses_guest_physical_addresses},
    NotOffered{execution, "the PASID-directory addresses are aligned and physical",
               "PASID translation", Secondary::enable_pasid_translation},
    NotOffered{execution, "HLAT, EPT paging-write control and guest-paging verification need EPT",
               "tertiary controls", Tertiary::enable_hlat},
    NotOffered{execution, "HLATP has no reserved bit and is physical", "HLAT",
               Tertiary::enable_hlat},
    NotOffered{execution, "the PID-pointer table is aligned and physical to its last entry",
               "IPI virtualization", Tertiary::ipi_virtualization},
    NotOffered{execution, "the virtual-timer vector is legal", "guest APIC timer",
               Tertiary::guest_apic_timer_virtualization},

    NotOffered{exiting, "secondary VM-exit controls, if active, have no reserved bit",
               "secondary VM-exit controls", ExitControl::activate_secondary_controls},

    NotOffered{entering, "outside SMM no entry to SMM and no end of the dual-monitor treatment",
               "SMM", EntryControl::entry_to_smm},
    NotOffered{entering,
               "entry to SMM and the end of the dual-monitor treatment exclude each other", "SMM",
               EntryControl::deactivate_dual_monitor_treatment},
    NotOffered{entering, "while Intel PT traces, IA32_RTIT_CTL is not loaded", "Intel PT",
               EntryControl::load_ia32_rtit_ctl},

    NotOffered{host, "host CR4.CET needs CR0.WP", "CET", ExitControl::load_cet_state},
    NotOffered{host, "host IA32_PERF_GLOBAL_CTRL has no reserved bit", "performance monitoring",
               ExitControl::load_ia32_perf_global_ctrl},
    NotOffered{host, "host IA32_S_CET and IA32_INTERRUPT_SSP_TABLE_ADDR are canonical", "CET",
               ExitControl::load_cet_state},
    NotOffered{host, "host IA32_S_CET has no reserved bit", "CET", ExitControl::load_cet_state},
    NotOffered{host, "host SSP has bits 1:0 clear", "CET", ExitControl::load_cet_state},
    NotOffered{host, "host IA32_PKRS has 32 bits", "PKRS", ExitControl::load_pkrs},
    NotOffered{host, "host FRED MSRs could be written by WRMSR", "FRED", fred_host},
    NotOffered{sizes, "a host that is not 64-bit has IA32_S_CET and SSP of 32 bits", "CET",
               ExitControl::load_cet_state},
    NotOffered{sizes, "a 64-bit host has a canonical SSP", "CET", ExitControl::load_cet_state},

    NotOffered{guest, "guest CR4.CET needs CR0.WP", "CET", EntryControl::load_cet_state},
    NotOffered{guest, "guest IA32_PERF_GLOBAL_CTRL has no reserved bit", "performance monitoring",
               EntryControl::load_ia32_perf_global_ctrl},
    NotOffered{guest, "guest IA32_BNDCFGS has no reserved bit", "MPX",
               EntryControl::load_ia32_bndcfgs},
    NotOffered{guest, "the address in guest IA32_BNDCFGS is canonical", "MPX",
               EntryControl::load_ia32_bndcfgs},
    NotOffered{guest, "guest IA32_RTIT_CTL could be written by WRMSR", "Intel PT",
               EntryControl::load_ia32_rtit_ctl},
    NotOffered{guest, "guest IA32_S_CET and IA32_INTERRUPT_SSP_TABLE_ADDR are canonical", "CET",
               EntryControl::load_cet_state},
    NotOffered{guest, "guest IA32_S_CET has no reserved bit", "CET", EntryControl::load_cet_state},
    NotOffered{guest, "guest IA32_LBR_CTL has no reserved bit", "architectural LBRs",
               EntryControl::load_guest_ia32_lbr_ctl},
    NotOffered{guest, "guest IA32_PKRS has 32 bits", "PKRS", EntryControl::load_pkrs},
    NotOffered{guest, "guest UINV has 8 bits", "user interrupts", EntryControl::load_uinv},
    NotOffered{guest, "guest FRED MSRs could be written by WRMSR", "FRED",
               EntryControl::load_ia32_fred},
    NotOffered{flow, "guest SSP has bits 1:0 clear", "CET", EntryControl::load_cet_state},
    NotOffered{flow, "guest SSP fits the mode", "CET", EntryControl::load_cet_state},

    NotOffered{non_register, "no entry to SMM in the wait-for-SIPI state", "SMM",
               EntryControl::entry_to_smm},
    NotOffered{non_register, "an entry to SMM has blocking by SMI", "SMM",
               EntryControl::entry_to_smm},
    NotOffered{non_register, "a pending debug exception of RTM stands alone", "RTM", no_control},
    NotOffered{non_register, "a pending debug exception of RTM is an enabled breakpoint", "RTM",
               no_control},
    NotOffered{non_register, "a pending debug exception of RTM excludes blocking by MOV SS", "RTM",
               no_control},
    NotOffered{non_register, "in SMM the link pointer is not the executive VMCS", "SMM",
               EntryControl::entry_to_smm},
};
static_assert(has_unique_keys(rows, [](const NotOffered& row) { return row.rule; }));
static_assert([] {
    for (const NotOffered& row : rows)
        if (has_control(supported_controls, row.control)) return false;
    return true;
}());

}  // namespace
}  // namespace postern::cpu::vmx
