// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "VM-Execution Control Fields" of "Checks on VMX Controls": EPT and what needs it.
#pragma once

#include "arch/vmx/entry_checks/check.h"
#include "arch/vmx/ept.h"

namespace postern::vm_entry {

constexpr Eptp eptp(const EntryView auto& v) {
    return Eptp::from_raw(get<VmcsField::ept_pointer>(v));
}

constexpr bool has_ept(const EntryView auto& v) { return has(v, SecondaryControl::enable_ept); }

template <EntryView View>
struct EptChecks {
    using Check = EntryCheck<View>;
    using F = VmcsField;

    static constexpr std::array rows{
        Check{title::execution, "EPT's own tables are uncacheable or write-back",
              [](const View& v) {
                  return implies(has_ept(v), has_valid_type(eptp(v), v.ept_vpid()));
              }},
        Check{title::execution, "EPT walks 4 levels",
              [](const View& v) {
                  return implies(has_ept(v), has_valid_levels(eptp(v), v.ept_vpid()));
              }},
        Check{title::execution, "EPT does not control supervisor shadow stacks",
              [](const View& v) {
                  return implies(has_ept(v), has_valid_shadow_stacks(eptp(v), v.ept_vpid()));
              }},
        Check{title::execution, "EPTP has no reserved bit",
              [](const View& v) {
                  return implies(has_ept(v),
                                 has_only_defined_bits(eptp(v), v.ept_vpid(), v.physical_bits()));
              }},
        Check{title::execution, "unrestricted guest needs EPT",
              [](const View& v) {
                  return implies(has(v, SecondaryControl::unrestricted_guest), has_ept(v));
              }},
        Check{title::execution, "PML needs EPT",
              [](const View& v) {
                  return implies(has(v, SecondaryControl::enable_pml), has_ept(v));
              }},
        Check{title::execution, "the PML address is aligned to a page",
              [](const View& v) {
                  return implies(has(v, SecondaryControl::enable_pml),
                                 get<F::pml_address>(v) % page_size == 0);
              }},
        Check{title::execution, "the PML address is physical",
              [](const View& v) {
                  return implies(has(v, SecondaryControl::enable_pml),
                                 is_physical(v, get<F::pml_address>(v)));
              }},
    };
};

}  // namespace postern::vm_entry
