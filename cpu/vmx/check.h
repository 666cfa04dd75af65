// SPDX-License-Identifier: Apache-2.0
// The checks of VM entry (arch/vmx/entry_checks.h) on this processor and its current VMCS.
#pragma once

#include <span>

#include "arch/vmx/entry_checks/check.h"
#include "cpu/vmx/cpu_view.h"

namespace postern::cpu::vmx {

using vm_entry::EntryFailure;
using EntryCheck = vm_entry::EntryCheck<CpuView>;
using CheckTable = vm_entry::CheckTable<CpuView>;

/// All there are, in the manual's order.
extern const std::span<const CheckTable> check_tables;

/// The first row that does not hold, or null.
const EntryCheck* first_violated(EntryFailure failure, Cpu& c);

}  // namespace postern::cpu::vmx
