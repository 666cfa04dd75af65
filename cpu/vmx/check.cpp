// SPDX-License-Identifier: Apache-2.0
// The only place where the checks are instantiated for the processor.
#include "cpu/vmx/check.h"

#include "arch/vmx/entry_checks.h"
#include "arch/vmx/entry_checks/not_offered.h"

namespace postern::cpu::vmx {

static_assert(vm_entry::are_all_checked(supported_controls));

constinit const std::span<const CheckTable> check_tables = vm_entry::check_tables<CpuView>;

const EntryCheck* first_violated(EntryFailure failure, Cpu& c) {
    return vm_entry::first_violated(failure, CpuView{c});
}

}  // namespace postern::cpu::vmx
