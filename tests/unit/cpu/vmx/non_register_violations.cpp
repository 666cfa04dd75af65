// SPDX-License-Identifier: Apache-2.0
// Violated guest non-register state.
#include "unit/cpu/vmx/violation.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using M = VmxMachine;

constexpr u64 hlt = 1, shutdown = 2, wait_for_sipi = 3;
constexpr u64 by_sti = 1, by_mov_ss = 2;

void set_activity(M& m, u64 state, u64 event = 0) {
    m.set(F::guest_activity_state, state);
    if (event != 0) inject(m, event, 0, 1);
}

void block(M& m, u64 interruptibility, u64 event = 0) {
    m.set(F::guest_interruptibility_state, interruptibility);
    if (event != 0) inject(m, event);
}

/// RFLAGS.TF, DEBUGCTL.BTF and the pending BS.
void step(M& m, bool trap_flag, bool branches_only, bool pending) {
    m.set(F::guest_rflags, trap_flag ? 0x302 : 0x202);
    m.set(F::guest_ia32_debugctl, branches_only ? 2 : 0);
    m.set(F::guest_pending_debug_exceptions, pending ? 0x4000 : 0);
}

void link(M& m, u64 head) {
    write_physical(m.c, Hpa{other_vmcs_at}, 4, head);
    m.set(F::vmcs_link_pointer, other_vmcs_at);
}

u64 revision(M& m) { return read_physical(m.c, Hpa{vmcs_at}, 4); }

constexpr std::string_view injected = "the activity state does not block the injected event";
constexpr std::string_view must_pend = "a delayed single step is pending under TF without BTF";
constexpr std::string_view must_not_pend =
    "no delayed single step is pending without TF or under BTF";
constexpr std::string_view pending = "pending debug exceptions have no reserved bit";

constexpr Violation violations[]{
    {"the activity state is supported", [](M& m) { set_activity(m, 4); }},
    {"the activity state is supported", [](M& m) { set_activity(m, 0x8000'0000); }},
    {"only CPL 0 halts",
     [](M& m) {
         set_activity(m, hlt);
         m.set(F::guest_cs_selector, 0x0b);
         set_rights(m, cs, 0xa0fb);
         m.set(F::guest_ss_selector, 0x13);
         set_rights(m, ss, 0xc0f3);
     }},
    {"blocking by STI or MOV SS needs the active state",
     [](M& m) {
         set_activity(m, hlt);
         block(m, by_sti);
     }},
    {"blocking by STI or MOV SS needs the active state",
     [](M& m) {
         set_activity(m, wait_for_sipi);
         block(m, by_mov_ss);
     }},
    {injected, [](M& m) { set_activity(m, hlt, 0x8000'0306); }},  // #UD
    {injected, [](M& m) { set_activity(m, hlt, 0x8000'0501); }},  // INT1
    {injected, [](M& m) { set_activity(m, hlt, 0x8000'0480); }},
    {injected, [](M& m) { set_activity(m, shutdown, 0x8000'0020); }},
    {injected, [](M& m) { set_activity(m, shutdown, 0x8000'0301); }},  // #DB
    {injected, [](M& m) { set_activity(m, shutdown, 0x8000'0700); }},
    {injected, [](M& m) { set_activity(m, wait_for_sipi, 0x8000'0202); }},
    {injected, [](M& m) { set_activity(m, wait_for_sipi, 0x8000'0312); }},
    {injected, [](M& m) { set_activity(m, wait_for_sipi, 0x8000'0700); }},

    {"interruptibility has no reserved bit", [](M& m) { block(m, 0x20); }},
    {"interruptibility has no reserved bit", [](M& m) { block(m, 0x8000'0000); }},
    {"STI and MOV SS do not block together", [](M& m) { block(m, by_sti | by_mov_ss); }},
    {"blocking by STI needs RFLAGS.IF",
     [](M& m) {
         block(m, by_sti);
         m.set(F::guest_rflags, 2);
     }},
    {"no external interrupt while STI or MOV SS blocks",
     [](M& m) { block(m, by_sti, 0x8000'0020); }},
    {"no external interrupt while STI or MOV SS blocks",
     [](M& m) { block(m, by_mov_ss, 0x8000'0020); }},
    {"no NMI while MOV SS blocks", [](M& m) { block(m, by_mov_ss, 0x8000'0202); }},
    {"no blocking by SMI outside SMM", [](M& m) { block(m, 4); }},
    {"no virtual NMI while virtual NMIs are blocked",
     [](M& m) {
         m.turn_on(F::pin_based_controls, 0x28);
         block(m, 8, 0x8000'0202);
     }},
    {"an enclave interruption excludes blocking by MOV SS",
     [](M& m) { block(m, 0x10 | by_mov_ss); }},
    {"an enclave interruption needs SGX",
     [](M& m) {
         m.system.memory.epc_size = 0;
         block(m, 0x10);
     }},

    {pending, [](M& m) { m.set(F::guest_pending_debug_exceptions, 0x10); }},
    {pending, [](M& m) { m.set(F::guest_pending_debug_exceptions, 0x800); }},
    {pending, [](M& m) { m.set(F::guest_pending_debug_exceptions, 0x2000); }},
    {pending, [](M& m) { m.set(F::guest_pending_debug_exceptions, 0x8000); }},
    {pending, [](M& m) { m.set(F::guest_pending_debug_exceptions, 0x1'1000); }},
    {pending, [](M& m) { m.set(F::guest_pending_debug_exceptions, bit_of(63)); }},
    {must_pend,
     [](M& m) {
         block(m, by_sti);
         step(m, true, false, false);
     }},
    {must_pend,
     [](M& m) {
         block(m, by_mov_ss);
         step(m, true, false, false);
     }},
    {must_pend,
     [](M& m) {
         set_activity(m, hlt);
         step(m, true, false, false);
     }},
    {must_not_pend,
     [](M& m) {
         block(m, by_sti);
         step(m, false, false, true);
     }},
    {must_not_pend,
     [](M& m) {
         block(m, by_mov_ss);
         step(m, true, true, true);
     }},
    {must_not_pend,
     [](M& m) {
         set_activity(m, hlt);
         step(m, false, false, true);
     }},

    {"the VMCS link pointer is aligned to a page",
     [](M& m) { m.set(F::vmcs_link_pointer, other_vmcs_at + 0x10); },
     {},
     4},
    {"the VMCS link pointer is physical",
     [](M& m) { m.set(F::vmcs_link_pointer, too_wide); },
     {},
     4},
    {"the linked VMCS has our revision", [](M& m) { link(m, revision(m) + 1); }, {}, 4},
    {"the linked VMCS is a shadow VMCS exactly under VMCS shadowing",
     [](M& m) { link(m, revision(m) | bit_of(31)); },
     {},
     4},
    {"the VMCS link pointer is not the current VMCS",
     [](M& m) { m.set(F::vmcs_link_pointer, vmcs_at); },
     {},
     4},
};

}  // namespace

std::span<const Violation> non_register_violations() { return violations; }

}  // namespace postern::cpu::vmx
