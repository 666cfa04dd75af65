// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "VM-Execution Control Fields" of "Checks on VMX Controls": EPT and what needs it.
#include <array>

#include "cpu/vmx/check.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;

constexpr std::string_view execution = "VM-Execution Control Fields";

Eptp eptp(const Cpu& c) { return Eptp::from_raw(get<F::ept_pointer>(c)); }

bool has_ept(const Cpu& c) { return has(c, SecondaryControl::enable_ept); }

constexpr std::array checks{
    EntryCheck{execution, "EPT's own tables are uncacheable or write-back",
               [](Cpu& c) { return implies(has_ept(c), has_valid_type(eptp(c))); }},
    EntryCheck{execution, "EPT walks 4 levels",
               [](Cpu& c) { return implies(has_ept(c), has_valid_length(eptp(c))); }},
    EntryCheck{
        execution, "EPT does not control supervisor shadow stacks",
        [](Cpu& c) { return implies(has_ept(c), !eptp(c).supervisor_shadow_stack_control()); }},
    EntryCheck{execution, "EPTP has no reserved bit",
               [](Cpu& c) {
                   return implies(has_ept(c), !eptp(c).has_reserved_bits(c.system->physical_bits));
               }},
    EntryCheck{
        execution, "unrestricted guest needs EPT",
        [](Cpu& c) { return implies(has(c, SecondaryControl::unrestricted_guest), has_ept(c)); }},
    EntryCheck{execution, "PML needs EPT",
               [](Cpu& c) { return implies(has(c, SecondaryControl::enable_pml), has_ept(c)); }},
    EntryCheck{execution, "the PML address is aligned to a page",
               [](Cpu& c) {
                   return implies(has(c, SecondaryControl::enable_pml),
                                  get<F::pml_address>(c) % page_size == 0);
               }},
    EntryCheck{execution, "the PML address is physical",
               [](Cpu& c) {
                   return implies(has(c, SecondaryControl::enable_pml),
                                  is_physical(c, get<F::pml_address>(c)));
               }},
};
static_assert(has_unique_keys(checks, [](const EntryCheck& check) { return check.rule; }));

}  // namespace

CheckRows ept_checks() { return check_rows<checks>(); }

}  // namespace postern::cpu::vmx
