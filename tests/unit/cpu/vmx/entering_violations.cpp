// SPDX-License-Identifier: Apache-2.0
// Violated VM-entry control fields.
#include "unit/cpu/vmx/violation.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using M = VmxMachine;

void set_area(M& m, u64 count, u64 address) {
    m.set(F::vm_entry_msr_load_count, count);
    m.set(F::vm_entry_msr_load_address, address);
}

constexpr std::string_view delivered =
    "an error code is delivered exactly where the exception has one";
constexpr std::string_view length = "a software event has the length of an instruction";

constexpr Violation violations[]{
    {"VM-entry controls have their fixed bits",
     [](M& m) { m.turn_on(F::vm_entry_controls, bit_of(16)); }},
    {"VM-entry controls have their fixed bits",
     [](M& m) { m.turn_on(F::vm_entry_controls, bit_of(10)); }},
    {"VM-entry controls have their fixed bits",
     [](M& m) { m.turn_off(F::vm_entry_controls, bit_of(12)); }},
    {"the interruption type is not reserved", [](M& m) { inject(m, 0x8000'0100); }},
    {"an NMI has vector 2", [](M& m) { inject(m, 0x8000'0203); }},
    {"a hardware exception has a vector of at most 31", [](M& m) { inject(m, 0x8000'0320); }},
    {"an other event has vector 0", [](M& m) { inject(m, 0x8000'0701); }},
    {delivered, [](M& m) { inject(m, 0x8000'0308); }},  // #DF, #TS, #NP, #SS, #GP, #PF and #AC
    {delivered, [](M& m) { inject(m, 0x8000'030a); }},  // without one
    {delivered, [](M& m) { inject(m, 0x8000'030b); }},
    {delivered, [](M& m) { inject(m, 0x8000'030c); }},
    {delivered, [](M& m) { inject(m, 0x8000'030d); }},
    {delivered, [](M& m) { inject(m, 0x8000'030e); }},
    {delivered, [](M& m) { inject(m, 0x8000'0311); }},
    {delivered, [](M& m) { inject(m, 0x8000'0b06); }},        // #UD with one
    {delivered, [](M& m) { inject(m, 0x8000'0b15); }},        // #CP without CET
    {delivered, [](M& m) { inject(m, 0x8000'0820); }},        // an external interrupt
    {delivered, [](M& m) { inject(m, 0x8000'0a02); }},        // an NMI
    {delivered, [](M& m) { inject(m, 0x8000'0c0d, 0, 2); }},  // INT 13
    {delivered,
     [](M& m) {
         make_guest_real(m);
         inject(m, 0x8000'0b0d);
     }},
    {"the interruption information has no reserved bit", [](M& m) { inject(m, 0x8000'1020); }},
    {"the interruption information has no reserved bit", [](M& m) { inject(m, 0xc000'0020); }},
    {"a delivered error code has no bit above 15", [](M& m) { inject(m, 0x8000'0b0e, 0x1'0000); }},
    {length, [](M& m) { inject(m, 0x8000'0480, 0, 16); }},
    {length, [](M& m) { inject(m, 0x8000'0501, 0, 16); }},
    {length, [](M& m) { inject(m, 0x8000'0603, 0, 0x8000'0001); }},
    {"the VM-entry MSR-load area begins at a multiple of 16, physical",
     [](M& m) { set_area(m, 1, 4); }},
    {"the VM-entry MSR-load area begins at a multiple of 16, physical",
     [](M& m) { set_area(m, 1, too_wide); },
     "the VM-entry MSR-load area ends at a physical address"},
    {"the VM-entry MSR-load area ends at a physical address",
     [](M& m) { set_area(m, 2, too_wide - 16); }},
};

}  // namespace

std::span<const Violation> entering_violations() { return violations; }

}  // namespace postern::cpu::vmx
