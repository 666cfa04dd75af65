// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "Checks on Guest Non-Register State".
#pragma once

#include "arch/msr.h"
#include "arch/vmx/entry_checks/check.h"
#include "arch/vmx/interruptibility.h"

namespace postern::vm_entry {

/// Bits 11 (bus locks) and 16 (RTM) belong to features that are not here.
inline constexpr u64 pending_debug_defined =
    PendingDebugExceptions{PendingDebug::b0,
                           PendingDebug::b1,
                           PendingDebug::b2,
                           PendingDebug::b3,
                           PendingDebug::enabled_breakpoint,
                           PendingDebug::bs}
        .to_raw();

constexpr InterruptibilityState blocking(const EntryView auto& v) {
    return InterruptibilityState::from_raw(get<VmcsField::guest_interruptibility_state>(v));
}

constexpr bool is_shadowed(const EntryView auto& v) {
    return blocking(v).has_any({Interruptibility::sti, Interruptibility::mov_ss});
}

constexpr bool is_activity(const EntryView auto& v, ActivityState state) {
    return get<VmcsField::guest_activity_state>(v) == static_cast<u32>(state);
}

constexpr bool is_supported_activity(const EntryView auto& v) {
    const u32 state = get<VmcsField::guest_activity_state>(v);
    return state == 0 || (state <= 3 && v.misc().supports_activity(state));
}

/// A hardware exception of that vector: not what an instruction raises.
constexpr bool is_hardware(InterruptionInformation event, Vector vector) {
    return event.type() == InterruptionType::hardware_exception &&
           event.vector() == static_cast<u8>(vector);
}

constexpr bool wakes_from_halt(InterruptionInformation event) {
    return event.type() == InterruptionType::external || event.type() == InterruptionType::nmi ||
           is_hardware(event, Vector::debug) || is_hardware(event, Vector::machine_check) ||
           (event.type() == InterruptionType::other_event && event.vector() == 0);
}

constexpr bool wakes_from_shutdown(InterruptionInformation event) {
    return event.type() == InterruptionType::nmi || is_hardware(event, Vector::machine_check);
}

constexpr bool may_inject(const EntryView auto& v) {
    if (!injection(v).valid()) return true;
    if (is_activity(v, ActivityState::hlt)) return wakes_from_halt(injection(v));
    if (is_activity(v, ActivityState::shutdown)) return wakes_from_shutdown(injection(v));
    return !is_activity(v, ActivityState::wait_for_sipi);
}

/// The guest cannot take a single-step trap at once.
constexpr bool delays_trap(const EntryView auto& v) {
    return is_shadowed(v) || is_activity(v, ActivityState::hlt);
}

constexpr bool is_stepping(const EntryView auto& v) {
    const auto debugctl = DebugctlWord::from_raw(get<VmcsField::guest_ia32_debugctl>(v));
    return guest_flags(v).has(Rflag::tf) && !debugctl.has(Debugctl::btf);
}

constexpr bool is_step_pending(const EntryView auto& v) {
    return PendingDebugExceptions::from_raw(get<VmcsField::guest_pending_debug_exceptions>(v))
        .has(PendingDebug::bs);
}

/// A rule for the VMCS link pointer, if it points to something.
template <class Predicate>
constexpr bool of_link(const EntryView auto& v, Predicate holds) {
    const u64 link = get<VmcsField::vmcs_link_pointer>(v);
    return link == ~u64{0} || holds(link);
}

/// The same for what stands there; an address that is bad itself is not read.
template <class Predicate>
constexpr bool of_linked_vmcs(const EntryView auto& v, Predicate holds) {
    return of_link(v,
                   [&](u64 link) { return !is_physical_page(v, link) || holds(v.read_u32(link)); });
}

inline constexpr u32 shadow_vmcs = u32{1} << 31;

inline constexpr auto bad_link = EntryFailureQualification::vmcs_link_pointer;

template <EntryView View>
struct NonRegisterChecks {
    using Check = EntryCheck<View>;
    using F = VmcsField;

    static constexpr std::array rows{
        Check{title::non_register, "the activity state is supported",
              [](const View& v) { return is_supported_activity(v); }},
        Check{title::non_register, "only CPL 0 halts",
              [](const View& v) {
                  return implies(is_activity(v, ActivityState::hlt), v.segment(ss).dpl() == 0);
              }},
        Check{title::non_register, "blocking by STI or MOV SS needs the active state",
              [](const View& v) {
                  return implies(is_shadowed(v), is_activity(v, ActivityState::active));
              }},
        Check{title::non_register, "the activity state does not block the injected event",
              [](const View& v) { return may_inject(v); }},

        Check{
            title::non_register, "interruptibility has no reserved bit",
            [](const View& v) { return (blocking(v).to_raw() & interruptibility_reserved) == 0; }},
        Check{title::non_register, "STI and MOV SS do not block together",
              [](const View& v) {
                  return !blocking(v).has_all({Interruptibility::sti, Interruptibility::mov_ss});
              }},
        Check{title::non_register, "blocking by STI needs RFLAGS.IF",
              [](const View& v) {
                  return implies(blocking(v).has(Interruptibility::sti),
                                 guest_flags(v).has(Rflag::if_));
              }},
        Check{title::non_register, "no external interrupt while STI or MOV SS blocks",
              [](const View& v) {
                  return implies(injects(v, InterruptionType::external), !is_shadowed(v));
              }},
        // Blocking by STI does not keep an NMI from being injected here, so that no VM entry fails
        // with qualification 3.
        Check{title::non_register, "no NMI while MOV SS blocks",
              [](const View& v) {
                  return implies(injects(v, InterruptionType::nmi),
                                 !blocking(v).has(Interruptibility::mov_ss));
              }},
        Check{title::non_register, "no blocking by SMI outside SMM",
              [](const View& v) { return !blocking(v).has(Interruptibility::smi); }},
        Check{title::non_register, "no virtual NMI while virtual NMIs are blocked",
              [](const View& v) {
                  return implies(
                      has(v, PinControl::virtual_nmis) && injects(v, InterruptionType::nmi),
                      !blocking(v).has(Interruptibility::nmi));
              }},
        Check{title::non_register, "an enclave interruption excludes blocking by MOV SS",
              [](const View& v) {
                  return implies(blocking(v).has(Interruptibility::enclave),
                                 !blocking(v).has(Interruptibility::mov_ss));
              }},
        Check{title::non_register, "an enclave interruption needs SGX",
              [](const View& v) {
                  return implies(blocking(v).has(Interruptibility::enclave), v.has_sgx());
              }},

        Check{title::non_register, "pending debug exceptions have no reserved bit",
              [](const View& v) {
                  return (get<F::guest_pending_debug_exceptions>(v) & ~pending_debug_defined) == 0;
              }},
        Check{title::non_register, "a delayed single step is pending under TF without BTF",
              [](const View& v) {
                  return implies(delays_trap(v) && is_stepping(v), is_step_pending(v));
              }},
        Check{title::non_register, "no delayed single step is pending without TF or under BTF",
              [](const View& v) {
                  return implies(delays_trap(v) && !is_stepping(v), !is_step_pending(v));
              }},

        Check{title::non_register, "the VMCS link pointer is aligned to a page",
              [](const View& v) {
                  return of_link(v, [](u64 link) { return link % page_size == 0; });
              },
              bad_link},
        Check{title::non_register, "the VMCS link pointer is physical",
              [](const View& v) {
                  return of_link(v, [&v](u64 link) { return is_physical(v, link); });
              },
              bad_link},
        Check{title::non_register, "the linked VMCS has our revision",
              [](const View& v) {
                  return of_linked_vmcs(
                      v, [&v](u32 head) { return (head & ~shadow_vmcs) == v.basic().revision(); });
              },
              bad_link},
        Check{title::non_register, "the linked VMCS is a shadow VMCS exactly under VMCS shadowing",
              [](const View& v) {
                  return of_linked_vmcs(v, [&v](u32 head) {
                      return ((head & shadow_vmcs) != 0) ==
                             has(v, SecondaryControl::vmcs_shadowing);
                  });
              },
              bad_link},
        Check{title::non_register, "the VMCS link pointer is not the current VMCS",
              [](const View& v) {
                  return of_link(v, [&v](u64 link) { return link != v.current_vmcs(); });
              },
              bad_link},
    };
};

}  // namespace postern::vm_entry
