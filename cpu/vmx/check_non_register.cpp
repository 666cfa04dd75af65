// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "Checks on Guest Non-Register State".
#include "arch/vmx/interruptibility.h"
#include "cpu/vmx/capability.h"
#include "cpu/vmx/check.h"
#include "cpu/vmx/region.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;

constexpr std::string_view title = "Checks on Guest Non-Register State";

/// Bits 11 (bus locks) and 16 (RTM) belong to features that are not here.
constexpr u64 pending_debug_defined = PendingDebugExceptions{PendingDebug::b0,
                                                             PendingDebug::b1,
                                                             PendingDebug::b2,
                                                             PendingDebug::b3,
                                                             PendingDebug::enabled_breakpoint,
                                                             PendingDebug::bs}
                                          .to_raw();

InterruptibilityState blocking(const Cpu& c) {
    return InterruptibilityState::from_raw(get<F::guest_interruptibility_state>(c));
}

bool is_shadowed(const Cpu& c) {
    return blocking(c).has_any({Interruptibility::sti, Interruptibility::mov_ss});
}

bool is_activity(const Cpu& c, ActivityState state) {
    return get<F::guest_activity_state>(c) == static_cast<u32>(state);
}

bool is_supported_activity(const Cpu& c) {
    const u32 state = get<F::guest_activity_state>(c);
    return state == 0 || (state <= 3 && vmx_misc.supports_activity(state));
}

/// A hardware exception of that vector: not what an instruction raises.
bool is_hardware(InterruptionInformation event, Vector vector) {
    return event.type() == InterruptionType::hardware_exception &&
           event.vector() == static_cast<u8>(vector);
}

bool wakes_from_halt(InterruptionInformation event) {
    return event.type() == InterruptionType::external || event.type() == InterruptionType::nmi ||
           is_hardware(event, Vector::debug) || is_hardware(event, Vector::machine_check) ||
           (event.type() == InterruptionType::other_event && event.vector() == 0);
}

bool wakes_from_shutdown(InterruptionInformation event) {
    return event.type() == InterruptionType::nmi || is_hardware(event, Vector::machine_check);
}

bool may_inject(const Cpu& c) {
    if (!injection(c).valid()) return true;
    if (is_activity(c, ActivityState::hlt)) return wakes_from_halt(injection(c));
    if (is_activity(c, ActivityState::shutdown)) return wakes_from_shutdown(injection(c));
    return !is_activity(c, ActivityState::wait_for_sipi);
}

/// The guest cannot take a single-step trap at once.
bool delays_trap(const Cpu& c) { return is_shadowed(c) || is_activity(c, ActivityState::hlt); }

bool is_stepping(const Cpu& c) {
    const auto debugctl = DebugctlWord::from_raw(get<F::guest_ia32_debugctl>(c));
    return guest_flags(c).has(Rflag::tf) && !debugctl.has(Debugctl::btf);
}

bool is_step_pending(const Cpu& c) {
    return PendingDebugExceptions::from_raw(get<F::guest_pending_debug_exceptions>(c))
        .has(PendingDebug::bs);
}

/// A rule for the VMCS link pointer, if it points to something.
template <class Predicate>
bool of_link(const Cpu& c, Predicate holds) {
    const u64 link = get<F::vmcs_link_pointer>(c);
    return link == ~u64{0} || holds(link);
}

/// The same for what stands there; an address that is bad itself is not read.
template <class Predicate>
bool of_linked_vmcs(Cpu& c, Predicate holds) {
    return of_link(c, [&](u64 link) {
        return !is_physical_page(c, link) || holds(read_revision(c, Hpa{link}));
    });
}

constexpr u32 shadow_vmcs = u32{1} << 31;

constexpr auto bad_link = EntryFailureQualification::vmcs_link_pointer;

constexpr std::array rows{
    EntryCheck{title, "the activity state is supported",
               [](Cpu& c) { return is_supported_activity(c); }},
    EntryCheck{title, "only CPL 0 halts",
               [](Cpu& c) {
                   return implies(is_activity(c, ActivityState::hlt),
                                  guest_segment(c.vmx.vmcs, ss).dpl() == 0);
               }},
    EntryCheck{
        title, "blocking by STI or MOV SS needs the active state",
        [](Cpu& c) { return implies(is_shadowed(c), is_activity(c, ActivityState::active)); }},
    EntryCheck{title, "the activity state does not block the injected event",
               [](Cpu& c) { return may_inject(c); }},

    EntryCheck{title, "interruptibility has no reserved bit",
               [](Cpu& c) { return (blocking(c).to_raw() & interruptibility_reserved) == 0; }},
    EntryCheck{title, "STI and MOV SS do not block together",
               [](Cpu& c) {
                   return !blocking(c).has_all({Interruptibility::sti, Interruptibility::mov_ss});
               }},
    EntryCheck{title, "blocking by STI needs RFLAGS.IF",
               [](Cpu& c) {
                   return implies(blocking(c).has(Interruptibility::sti),
                                  guest_flags(c).has(Rflag::if_));
               }},
    EntryCheck{
        title, "no external interrupt while STI or MOV SS blocks",
        [](Cpu& c) { return implies(injects(c, InterruptionType::external), !is_shadowed(c)); }},
    // Blocking by STI does not keep an NMI from being injected here, so that no VM entry fails
    // with qualification 3.
    EntryCheck{title, "no NMI while MOV SS blocks",
               [](Cpu& c) {
                   return implies(injects(c, InterruptionType::nmi),
                                  !blocking(c).has(Interruptibility::mov_ss));
               }},
    EntryCheck{title, "no blocking by SMI outside SMM",
               [](Cpu& c) { return !blocking(c).has(Interruptibility::smi); }},
    EntryCheck{title, "no virtual NMI while virtual NMIs are blocked",
               [](Cpu& c) {
                   return implies(
                       has(c, PinControl::virtual_nmis) && injects(c, InterruptionType::nmi),
                       !blocking(c).has(Interruptibility::nmi));
               }},
    EntryCheck{title, "an enclave interruption excludes blocking by MOV SS",
               [](Cpu& c) {
                   return implies(blocking(c).has(Interruptibility::enclave),
                                  !blocking(c).has(Interruptibility::mov_ss));
               }},
    EntryCheck{
        title, "an enclave interruption needs SGX",
        [](Cpu& c) { return implies(blocking(c).has(Interruptibility::enclave), has_sgx(c)); }},

    EntryCheck{title, "pending debug exceptions have no reserved bit",
               [](Cpu& c) {
                   return (get<F::guest_pending_debug_exceptions>(c) & ~pending_debug_defined) == 0;
               }},
    EntryCheck{
        title, "a delayed single step is pending under TF without BTF",
        [](Cpu& c) { return implies(delays_trap(c) && is_stepping(c), is_step_pending(c)); }},
    EntryCheck{
        title, "no delayed single step is pending without TF or under BTF",
        [](Cpu& c) { return implies(delays_trap(c) && !is_stepping(c), !is_step_pending(c)); }},

    EntryCheck{title, "the VMCS link pointer is aligned to a page",
               [](Cpu& c) { return of_link(c, [](u64 link) { return link % page_size == 0; }); },
               bad_link},
    EntryCheck{title, "the VMCS link pointer is physical",
               [](Cpu& c) { return of_link(c, [&c](u64 link) { return is_physical(c, link); }); },
               bad_link},
    EntryCheck{title, "the linked VMCS has our revision",
               [](Cpu& c) {
                   return of_linked_vmcs(
                       c, [](u32 head) { return (head & ~shadow_vmcs) == vmcs_revision; });
               },
               bad_link},
    EntryCheck{title, "the linked VMCS is a shadow VMCS exactly under VMCS shadowing",
               [](Cpu& c) {
                   return of_linked_vmcs(c, [&c](u32 head) {
                       return ((head & shadow_vmcs) != 0) ==
                              has(c, SecondaryControl::vmcs_shadowing);
                   });
               },
               bad_link},
    EntryCheck{title, "the VMCS link pointer is not the current VMCS",
               [](Cpu& c) { return of_link(c, [&c](u64 link) { return link != c.vmx.current; }); },
               bad_link},
};
static_assert(has_unique_keys(rows, [](const EntryCheck& check) { return check.rule; }));

}  // namespace

CheckRows non_register_checks() { return check_rows<rows>(); }

}  // namespace postern::cpu::vmx
