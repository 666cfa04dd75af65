// SPDX-License-Identifier: Apache-2.0
// Violated VM-execution control fields of EPT. EPTP: type 2:0, levels less one 5:3, accessed and
// dirty flags bit 6, supervisor shadow stacks bit 7. Secondary controls: EPT bit 1, VPID bit 5,
// unrestricted guest bit 7, PML bit 17.
#include "unit/cpu/vmx/violation.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using M = VmxMachine;

constexpr u64 vpid_alone = 0x20, unrestricted = 0x80, pml = 0x2'0000;

void log_modifications(M& m, u64 address) {
    m.turn_on(F::secondary_processor_based_controls, pml);
    m.set(F::pml_address, address);
}

constexpr Violation violations[]{
    {"EPT's own tables are uncacheable or write-back", [](M& m) { m.set(F::ept_pointer, 0x801c); }},
    {"EPT's own tables are uncacheable or write-back", [](M& m) { m.set(F::ept_pointer, 0x8019); }},
    {"EPT walks 4 levels", [](M& m) { m.set(F::ept_pointer, 0x8026); }},
    {"EPT walks 4 levels", [](M& m) { m.set(F::ept_pointer, 0x8006); }},
    {"EPT does not control supervisor shadow stacks", [](M& m) { m.set(F::ept_pointer, 0x809e); }},
    {"EPTP has no reserved bit", [](M& m) { m.set(F::ept_pointer, 0x811e); }},
    {"EPTP has no reserved bit", [](M& m) { m.set(F::ept_pointer, too_wide | 0x801e); }},
    {"unrestricted guest needs EPT",
     [](M& m) { m.set(F::secondary_processor_based_controls, vpid_alone | unrestricted); }},
    {"PML needs EPT", [](M& m) { m.set(F::secondary_processor_based_controls, vpid_alone | pml); }},
    {"the PML address is aligned to a page", [](M& m) { log_modifications(m, 0x9008); }},
    {"the PML address is physical", [](M& m) { log_modifications(m, too_wide); }},
};

}  // namespace

std::span<const Violation> ept_violations() { return violations; }

}  // namespace postern::cpu::vmx
