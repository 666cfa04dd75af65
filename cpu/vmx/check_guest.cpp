// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "Checks on the Guest State Area": control registers, MSRs, descriptor tables, RIP,
// RFLAGS and non-register state. The segment registers' rows are in check_segments.cpp.
#include <array>

#include "arch/regs/efer.h"
#include "arch/regs/rflags.h"
#include "arch/vmx/interruptibility.h"
#include "arch/vmx/interruption_information.h"
#include "cpu/vmx/capability.h"
#include "cpu/vmx/check.h"
#include "cpu/vmx/region.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;

constexpr std::string_view registers =
    "Checks on Guest Control Registers, Debug Registers, and MSRs";
constexpr std::string_view tables = "Checks on Guest Descriptor-Table Registers";
constexpr std::string_view rip_rflags = "Checks on Guest RIP, RFLAGS, and SSP";
constexpr std::string_view non_register = "Checks on Guest Non-Register State";

/// IA32_DEBUGCTL without bus-lock detection and RTM.
constexpr u64 debugctl_defined = DebugctlWord{Debugctl::lbr,
                                              Debugctl::btf,
                                              Debugctl::tr,
                                              Debugctl::bts,
                                              Debugctl::btint,
                                              Debugctl::bts_off_os,
                                              Debugctl::bts_off_usr,
                                              Debugctl::freeze_lbrs_on_pmi,
                                              Debugctl::freeze_perfmon_on_pmi,
                                              Debugctl::enable_uncore_pmi,
                                              Debugctl::freeze_while_smm}
                                     .to_raw();

constexpr u64 pending_debug_defined = PendingDebugExceptions{PendingDebug::b0,
                                                             PendingDebug::b1,
                                                             PendingDebug::b2,
                                                             PendingDebug::b3,
                                                             PendingDebug::enabled_breakpoint,
                                                             PendingDebug::bs}
                                          .to_raw();

Cr0Word cr0(const Cpu& c) { return Cr0Word::from_raw(get<F::guest_cr0>(c)); }
Cr4Word cr4(const Cpu& c) { return Cr4Word::from_raw(get<F::guest_cr4>(c)); }
Rflags flags(const Cpu& c) { return Rflags::from_raw(get<F::guest_rflags>(c)); }
bool is_ia32e(const Cpu& c) { return has(c, EntryControl::ia32e_mode_guest); }

InterruptibilityState blocking(const Cpu& c) {
    return InterruptibilityState::from_raw(get<F::guest_interruptibility_state>(c));
}

InterruptionInformation injection(const Cpu& c) {
    return InterruptionInformation::from_raw(get<F::vm_entry_interruption_information>(c));
}

bool injects(const Cpu& c, InterruptionType type) {
    return injection(c).valid() && injection(c).type() == type;
}

bool is_valid_cr0(const Cpu& c) {
    const Cr0Word optional =
        has(c, SecondaryControl::unrestricted_guest) ? Cr0Word{Cr0::pe, Cr0::pg} : Cr0Word{};
    const u64 required = cr0_fixed0 & ~optional.to_raw();
    return (cr0(c).to_raw() & required) == required && (cr0(c).to_raw() & ~cr0_fixed1) == 0;
}

bool is_valid_efer(const Cpu& c) {
    const u64 raw = get<F::guest_ia32_efer>(c);
    const auto efer = EferWord::from_raw(raw);
    return (raw & ~efer_defined_mask) == 0 && efer.has(Efer::lma) == is_ia32e(c) &&
           implies(cr0(c).has(Cr0::pg), efer.has(Efer::lma) == efer.has(Efer::lme));
}

bool is_activity(const Cpu& c, ActivityState state) {
    return get<F::guest_activity_state>(c) == static_cast<u32>(state);
}

bool is_supported_activity(const Cpu& c) {
    const u32 state = get<F::guest_activity_state>(c);
    return state == 0 || (state <= 3 && vmx_misc.supports_activity(state));
}

/// Which events may be injected into a halted processor.
bool wakes_from_halt(InterruptionInformation event) {
    switch (event.type()) {
        case InterruptionType::external:
        case InterruptionType::nmi: return true;
        case InterruptionType::hardware_exception:
            return event.vector() == static_cast<u8>(Vector::debug) ||
                   event.vector() == static_cast<u8>(Vector::machine_check);
        case InterruptionType::other_event: return event.vector() == 0;
        default: return false;
    }
}

/// While the guest cannot take a single-step trap at once, BS must say what TF says.
bool is_single_step_consistent(const Cpu& c) {
    const bool delayed = blocking(c).has_any({Interruptibility::sti, Interruptibility::mov_ss}) ||
                         is_activity(c, ActivityState::hlt);
    const u64 btf = get<F::guest_ia32_debugctl>(c) >> static_cast<unsigned>(Debugctl::btf) & 1;
    const bool stepping = flags(c).has(Rflag::tf) && btf == 0;
    const auto pending =
        PendingDebugExceptions::from_raw(get<F::guest_pending_debug_exceptions>(c));
    return !delayed || pending.has(PendingDebug::bs) == stepping;
}

bool is_valid_link_pointer(Cpu& c) {
    const u64 link = get<F::vmcs_link_pointer>(c);
    if (link == ~u64{0}) return true;
    return is_physical_page(c, link) && link != c.vmx.current &&
           read_revision(c, Hpa{link}) == vmcs_revision;
}

constexpr std::array checks{
    EntryCheck{registers, "guest CR0 has its fixed bits", [](Cpu& c) { return is_valid_cr0(c); }},
    EntryCheck{registers, "guest paging needs protection",
               [](Cpu& c) { return implies(cr0(c).has(Cr0::pg), cr0(c).has(Cr0::pe)); }},
    EntryCheck{registers, "guest CR4 has its fixed bits",
               [](Cpu& c) {
                   const u64 raw = cr4(c).to_raw();
                   return (raw & cr4_fixed0) == cr4_fixed0 && (raw & ~allowed_cr4(c)) == 0;
               }},
    EntryCheck{registers, "guest IA32_DEBUGCTL has no reserved bit",
               [](Cpu& c) {
                   return implies(has(c, EntryControl::load_debug_controls),
                                  (get<F::guest_ia32_debugctl>(c) & ~debugctl_defined) == 0);
               }},
    EntryCheck{
        registers, "an IA-32e mode guest has PG and PAE",
        [](Cpu& c) { return implies(is_ia32e(c), cr0(c).has(Cr0::pg) && cr4(c).has(Cr4::pae)); }},
    EntryCheck{registers, "a guest outside IA-32e mode has no PCIDE",
               [](Cpu& c) { return implies(!is_ia32e(c), !cr4(c).has(Cr4::pcide)); }},
    EntryCheck{registers, "guest CR3 is physical",
               [](Cpu& c) { return is_valid_cr3(c, get<F::guest_cr3>(c)); }},
    EntryCheck{registers, "guest DR7 has 32 bits",
               [](Cpu& c) {
                   return implies(has(c, EntryControl::load_debug_controls),
                                  get<F::guest_dr7>(c) >> 32 == 0);
               }},
    EntryCheck{registers, "guest IA32_SYSENTER_ESP and EIP are canonical",
               [](Cpu& c) {
                   return is_canonical_48(get<F::guest_ia32_sysenter_esp>(c)) &&
                          is_canonical_48(get<F::guest_ia32_sysenter_eip>(c));
               }},
    EntryCheck{registers, "guest IA32_PAT is valid",
               [](Cpu& c) {
                   return implies(has(c, EntryControl::load_ia32_pat),
                                  is_valid_pat(get<F::guest_ia32_pat>(c)));
               }},
    EntryCheck{
        registers, "guest IA32_EFER fits IA-32e mode and paging",
        [](Cpu& c) { return implies(has(c, EntryControl::load_ia32_efer), is_valid_efer(c)); }},

    EntryCheck{tables, "guest GDTR and IDTR bases are canonical",
               [](Cpu& c) {
                   return is_canonical_48(get<F::guest_gdtr_base>(c)) &&
                          is_canonical_48(get<F::guest_idtr_base>(c));
               }},
    EntryCheck{tables, "guest GDTR and IDTR limits have 16 bits",
               [](Cpu& c) {
                   return ((get<F::guest_gdtr_limit>(c) | get<F::guest_idtr_limit>(c)) >> 16) == 0;
               }},

    EntryCheck{rip_rflags, "guest RIP has 32 bits outside 64-bit mode",
               [](Cpu& c) { return implies(!is_64_bit_code(c), get<F::guest_rip>(c) >> 32 == 0); }},
    // One bit weaker than canonical: the instruction after the last canonical one is reachable.
    EntryCheck{rip_rflags, "guest RIP has identical bits 63:48 in 64-bit mode",
               [](Cpu& c) {
                   const u64 high = get<F::guest_rip>(c) >> 48;
                   return implies(is_64_bit_code(c), high == 0 || high == 0xffff);
               }},
    EntryCheck{rip_rflags, "guest RFLAGS has bit 1 and no reserved bit",
               [](Cpu& c) {
                   const u64 raw = flags(c).to_raw();
                   return (raw & ~rflags_defined_mask) == rflags_fixed_one;
               }},
    EntryCheck{rip_rflags, "guest RFLAGS.VM is 0 in IA-32e mode and without protection",
               [](Cpu& c) {
                   return implies(is_ia32e(c) || !cr0(c).has(Cr0::pe), !flags(c).has(Rflag::vm));
               }},
    EntryCheck{rip_rflags, "an external interrupt needs guest RFLAGS.IF",
               [](Cpu& c) {
                   return implies(injects(c, InterruptionType::external), flags(c).has(Rflag::if_));
               }},

    EntryCheck{non_register, "activity state is supported",
               [](Cpu& c) { return is_supported_activity(c); }},
    EntryCheck{non_register, "only CPL 0 halts",
               [](Cpu& c) {
                   return implies(is_activity(c, ActivityState::hlt),
                                  guest_segment(c.vmx.vmcs, ss).dpl() == 0);
               }},
    EntryCheck{non_register, "blocking by STI or MOV SS needs the active state",
               [](Cpu& c) {
                   return implies(
                       blocking(c).has_any({Interruptibility::sti, Interruptibility::mov_ss}),
                       is_activity(c, ActivityState::active));
               }},
    EntryCheck{non_register, "the injected event wakes a halted processor",
               [](Cpu& c) {
                   return implies(is_activity(c, ActivityState::hlt) && injection(c).valid(),
                                  wakes_from_halt(injection(c)));
               }},
    EntryCheck{non_register, "interruptibility has no reserved bit",
               [](Cpu& c) { return (blocking(c).to_raw() & interruptibility_reserved) == 0; }},
    EntryCheck{non_register, "STI and MOV SS do not block together",
               [](Cpu& c) {
                   return !blocking(c).has_all({Interruptibility::sti, Interruptibility::mov_ss});
               }},
    EntryCheck{non_register, "blocking by STI needs RFLAGS.IF",
               [](Cpu& c) {
                   return implies(blocking(c).has(Interruptibility::sti), flags(c).has(Rflag::if_));
               }},
    EntryCheck{non_register, "no external interrupt while STI or MOV SS blocks",
               [](Cpu& c) {
                   return implies(
                       injects(c, InterruptionType::external),
                       !blocking(c).has_any({Interruptibility::sti, Interruptibility::mov_ss}));
               }},
    EntryCheck{non_register, "no NMI while MOV SS blocks",
               [](Cpu& c) {
                   return implies(injects(c, InterruptionType::nmi),
                                  !blocking(c).has(Interruptibility::mov_ss));
               }},
    EntryCheck{non_register, "no blocking by SMI outside SMM",
               [](Cpu& c) { return !blocking(c).has(Interruptibility::smi); }},
    EntryCheck{non_register, "no virtual NMI while virtual NMIs are blocked",
               [](Cpu& c) {
                   return implies(
                       has(c, PinControl::virtual_nmis) && injects(c, InterruptionType::nmi),
                       !blocking(c).has(Interruptibility::nmi));
               }},
    EntryCheck{non_register, "an enclave interruption excludes blocking by MOV SS",
               [](Cpu& c) {
                   return implies(blocking(c).has(Interruptibility::enclave),
                                  !blocking(c).has(Interruptibility::mov_ss));
               }},
    EntryCheck{
        non_register, "an enclave interruption needs SGX",
        [](Cpu& c) { return implies(blocking(c).has(Interruptibility::enclave), has_sgx(c)); }},
    EntryCheck{non_register, "pending debug exceptions have no reserved bit",
               [](Cpu& c) {
                   return (get<F::guest_pending_debug_exceptions>(c) & ~pending_debug_defined) == 0;
               }},
    EntryCheck{non_register, "pending single step agrees with TF and BTF",
               [](Cpu& c) { return is_single_step_consistent(c); }},
    EntryCheck{non_register, "VMCS link pointer is none or another VMCS",
               [](Cpu& c) { return is_valid_link_pointer(c); },
               EntryFailureQualification::vmcs_link_pointer},
};
static_assert(has_unique_keys(checks, [](const EntryCheck& check) { return check.rule; }));

}  // namespace

std::span<const EntryCheck> guest_checks() { return checks; }

}  // namespace postern::cpu::vmx
