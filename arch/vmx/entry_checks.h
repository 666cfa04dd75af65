// SPDX-License-Identifier: Apache-2.0
// All checks of VM entry, in the manual's order, for any view of a VMCS and of the processor that
// enters. Items that speak of what no such processor has are in entry_checks/not_offered.h.
#pragma once

#include "arch/vmx/entry_checks/control_fields.h"
#include "arch/vmx/entry_checks/entering.h"
#include "arch/vmx/entry_checks/ept.h"
#include "arch/vmx/entry_checks/guest.h"
#include "arch/vmx/entry_checks/host.h"
#include "arch/vmx/entry_checks/non_register.h"
#include "arch/vmx/entry_checks/pdptes.h"
#include "arch/vmx/entry_checks/segments.h"
#include "arch/vmx/entry_checks/system_segments.h"
#include "arch/vmx/entry_checks/virtual_apic.h"

namespace postern::vm_entry {

/// SDM 3C, "Checks on VMX Controls and Host-State Area" and "Checking and Loading Guest State".
template <EntryView View>
inline constexpr std::array check_tables{
    check_table<View, ExecutionChecks>(EntryFailure::controls),
    check_table<View, EptChecks>(EntryFailure::controls),
    check_table<View, VirtualApicChecks>(EntryFailure::controls),
    check_table<View, ExitingChecks>(EntryFailure::controls),
    check_table<View, EnteringChecks>(EntryFailure::controls),
    check_table<View, HostChecks>(EntryFailure::host),
    check_table<View, GuestRegisterChecks>(EntryFailure::guest),
    check_table<View, SegmentChecks>(EntryFailure::guest),
    check_table<View, SystemSegmentChecks>(EntryFailure::guest),
    check_table<View, GuestFlowChecks>(EntryFailure::guest),
    check_table<View, NonRegisterChecks>(EntryFailure::guest),
    check_table<View, PdpteChecks>(EntryFailure::guest),
};

/// The first row that does not hold, or null.
template <EntryView View>
constexpr const EntryCheck<View>* first_violated(EntryFailure failure, const View& v) {
    for (const CheckTable<View>& table : check_tables<View>) {
        if (table.failure != failure) continue;
        if (const EntryCheck<View>* found = table.first_violated(v)) return found;
    }
    return nullptr;
}

}  // namespace postern::vm_entry
