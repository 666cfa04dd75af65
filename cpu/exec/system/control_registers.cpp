// SPDX-License-Identifier: Apache-2.0
// CR0, CR3, CR4, CR8 and XCR0. In a guest CR0 and CR4 are seen through mask and shadow.
#include "arch/vmx/exit_qualification.h"
#include "cpu/exec/system/common.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"
#include "cpu/vmx/virtual_apic.h"

namespace postern::cpu {

namespace {

/// Guest/host mask and read shadow; a mask of 0 outside a guest.
struct Shadowed {
    u64 mask, shadow;

    [[nodiscard]] u64 visible(u64 real) const { return (real & ~mask) | (shadow & mask); }
    [[nodiscard]] u64 effective(u64 written, u64 real) const {
        return (written & ~mask) | (real & mask);
    }
    [[nodiscard]] bool exits(u64 written) const { return ((written ^ shadow) & mask) != 0; }
};

Shadowed shadow_of_cr0(const Cpu& c) {
    if (!vmx::in_guest(c)) return {};
    return {c.vmx.vmcs.get<VmcsField::cr0_guest_host_mask>(),
            c.vmx.vmcs.get<VmcsField::cr0_read_shadow>()};
}

Shadowed shadow_of_cr4(const Cpu& c) {
    if (!vmx::in_guest(c)) return {};
    return {c.vmx.vmcs.get<VmcsField::cr4_guest_host_mask>(),
            c.vmx.vmcs.get<VmcsField::cr4_read_shadow>()};
}

Failed cr_exit(Cpu& c, CrAccess access) {
    return vmx::raise_exit(c, BasicReason::control_register_access, access.to_raw());
}

/// Bits that VMX operation holds at 1. SDM 3D, appendix "VMX-Fixed Bits in CR0".
Cr0Word fixed_cr0(const Cpu& c) {
    if (!c.vmx.on && !c.vmx.non_root) return {};
    if (wants(c, SecondaryControl::unrestricted_guest)) return {Cr0::ne};
    return {Cr0::pe, Cr0::ne, Cr0::pg};
}

/// Turning paging on with EFER.LME activates IA-32e mode. SDM 3A, "Initializing IA-32e Mode".
bool may_activate_ia32e_mode(const Cpu& c) {
    const bool tss_16 = c.segment[tr].type() == static_cast<unsigned>(SystemType::tss16_busy);
    return c.cr4.has(Cr4::pae) && !c.segment[cs].is_long() && !tss_16;
}

/// SDM 2B, "MOV—Move to/from Control Registers": what makes a value of CR0 #GP(0).
bool is_legal_cr0(const Cpu& c, u64 value) {
    const Cr0Word word = Cr0Word::from_raw(value);
    const bool paging = word.has(Cr0::pg);
    if (value >> 32 != 0 || (paging && !word.has(Cr0::pe))) return false;
    if (word.has(Cr0::nw) && !word.has(Cr0::cd)) return false;
    if (!paging && (in_64_bit_mode(c) || c.cr4.has(Cr4::pcide))) return false;
    const bool activates = paging && !c.cr0.has(Cr0::pg) && c.efer.has(Efer::lme);
    if (activates && !may_activate_ia32e_mode(c)) return false;
    return word.has_all(fixed_cr0(c));
}

/// Paging with PAE outside IA-32e mode, as CR0, CR4 and EFER.LME say.
bool is_pae_paging(const Cpu& c, Cr0Word cr0, Cr4Word cr4) {
    return cr0.has(Cr0::pg) && cr4.has(Cr4::pae) && !c.efer.has(Efer::lme);
}

/// The PDPTEs are loaded when one of these changes. SDM 3A, "PDPTE Registers".
constexpr Cr0Word cr0_of_pdptes{Cr0::cd, Cr0::nw, Cr0::pg};
constexpr Cr4Word cr4_of_pdptes{Cr4::pae, Cr4::pge, Cr4::pse, Cr4::smep};

Result<> write_cr0(Cpu& c, u64 value) {
    if (!is_legal_cr0(c, value)) return general_protection(c);
    const Cr0Word wanted = Cr0Word::from_raw(value & cr0_defined_mask).with(Cr0::et);
    const u64 changes = (wanted.to_raw() ^ c.cr0.to_raw()) & cr0_of_pdptes.to_raw();
    if (changes != 0 && is_pae_paging(c, wanted, c.cr4)) TRY(load_pdptes(c, c.cr3));
    const bool decides = ((wanted.to_raw() ^ c.cr0.to_raw()) & space_cr0) != 0;
    c.cr0 = wanted;
    c.efer.set(Efer::lma, wanted.has(Cr0::pg) && c.efer.has(Efer::lme));
    if (decides) flush_vpid(c);
    return Done{};
}

Result<> mov_to_cr0(Cpu& c, u64 value, Gpr source) {
    const Shadowed s = shadow_of_cr0(c);
    if (s.exits(value)) return cr_exit(c, CrAccess::mov_to(0, source));
    return write_cr0(c, s.effective(value, c.cr0.to_raw()));
}

bool is_cr3_target(const Cpu& c, u64 value) {
    const Vmcs& v = c.vmx.vmcs;
    const u64 targets[] = {
        v.get<VmcsField::cr3_target_value_0>(), v.get<VmcsField::cr3_target_value_1>(),
        v.get<VmcsField::cr3_target_value_2>(), v.get<VmcsField::cr3_target_value_3>()};
    const u64 count = v.get<VmcsField::cr3_target_count>();
    for (u64 n = 0; n < count && n < 4; ++n)
        if (targets[n] == value) return true;
    return false;
}

/// With PCIDs bit 63 of the source asks for no flush; it is never stored. SDM 3A, "Operations that
/// Invalidate TLBs and Paging-Structure Caches".
Result<> mov_to_cr3(Cpu& c, u64 value, Gpr source) {
    if (wants(c, PrimaryControl::cr3_load_exiting) && !is_cr3_target(c, value))
        return cr_exit(c, CrAccess::mov_to(3, source));
    constexpr u64 keep = u64{1} << 63;
    const u64 wanted = c.cr4.has(Cr4::pcide) ? value & ~keep : value;
    if ((wanted & (~u64{0} << c.system->physical_bits)) != 0) return general_protection(c);
    if (is_pae_paging(c, c.cr0, c.cr4)) TRY(load_pdptes(c, wanted));
    c.cr3 = wanted;
    if (wanted == value) flush_pcid(c, pcid_in_use(c));
    select_space(c);
    return Done{};
}

/// SDM 2B, "MOV—Move to/from Control Registers": what makes a value of CR4 #GP(0).
bool is_legal_cr4(const Cpu& c, u64 value) {
    const Cr4Word word = Cr4Word::from_raw(value);
    if ((value & ~supported_cr4(*c.system->model).to_raw()) != 0) return false;
    if (in_ia32e_mode(c)) {
        if (!word.has(Cr4::pae) || word.has(Cr4::la57) != c.cr4.has(Cr4::la57)) return false;
    }
    const bool sets_pcide = word.has(Cr4::pcide) && !c.cr4.has(Cr4::pcide);
    if (sets_pcide && (!in_ia32e_mode(c) || (c.cr3 & 0xfff) != 0)) return false;
    return word.has(Cr4::vmxe) || (!c.vmx.on && !c.vmx.non_root);
}

Result<> mov_to_cr4(Cpu& c, u64 value, Gpr source) {
    const Shadowed s = shadow_of_cr4(c);
    if (s.exits(value)) return cr_exit(c, CrAccess::mov_to(4, source));
    const u64 wanted = s.effective(value, c.cr4.to_raw());
    if (!is_legal_cr4(c, wanted)) return general_protection(c);
    const u64 changes = (wanted ^ c.cr4.to_raw()) & cr4_of_pdptes.to_raw();
    if (changes != 0 && is_pae_paging(c, c.cr0, Cr4Word::from_raw(wanted)))
        TRY(load_pdptes(c, c.cr3));
    const bool decides = ((wanted ^ c.cr4.to_raw()) & space_cr4) != 0;
    c.cr4 = Cr4Word::from_raw(wanted);
    if (decides) flush_vpid(c);
    return Done{};
}

Result<> mov_to_cr8(Cpu& c, u64 value, Gpr source) {
    if (wants(c, PrimaryControl::cr8_load_exiting)) return cr_exit(c, CrAccess::mov_to(8, source));
    if (value > 15) return general_protection(c);
    if (wants(c, PrimaryControl::use_tpr_shadow))
        vmx::write_virtual_cr8(c, value);
    else if (c.interrupts != nullptr)
        c.interrupts->set_task_priority(static_cast<u8>(value));
    return Done{};
}

Result<u64> mov_from_cr8(Cpu& c, Gpr destination) {
    if (wants(c, PrimaryControl::cr8_store_exiting))
        return cr_exit(c, CrAccess::mov_from(8, destination));
    if (wants(c, PrimaryControl::use_tpr_shadow)) return vmx::read_virtual_cr8(c);
    return c.interrupts != nullptr ? u64{c.interrupts->task_priority()} : u64{0};
}

Result<u64> mov_from_cr3(Cpu& c, Gpr destination) {
    if (wants(c, PrimaryControl::cr3_store_exiting))
        return cr_exit(c, CrAccess::mov_from(3, destination));
    return c.cr3;
}

bool exists(unsigned number) {
    return number == 0 || number == 2 || number == 3 || number == 4 || number == 8;
}

Result<> check_access(Cpu& c, unsigned number) {
    if (!exists(number)) return invalid_opcode(c);
    return require_supervisor(c);
}

Result<u64> read_cr(Cpu& c, unsigned number, Gpr destination) {
    switch (number) {
        case 0: return shadow_of_cr0(c).visible(c.cr0.to_raw());
        case 2: return c.cr2;
        case 3: return mov_from_cr3(c, destination);
        case 4: return shadow_of_cr4(c).visible(c.cr4.to_raw());
        default: return mov_from_cr8(c, destination);
    }
}

}  // namespace

/// SDM 2B, "MOV—Move to/from Control Registers".
Result<> exec_mov_to_cr(Cpu& c, const Insn& i) {
    TRY(check_access(c, i.dst));
    const u64 value = in_64_bit_mode(c) ? c.gpr[i.src] : static_cast<u32>(c.gpr[i.src]);
    const auto source = static_cast<Gpr>(i.src);
    switch (i.dst) {
        case 0: return mov_to_cr0(c, value, source);
        case 2: c.cr2 = value; return Done{};
        case 3: return mov_to_cr3(c, value, source);
        case 4: return mov_to_cr4(c, value, source);
        default: return mov_to_cr8(c, value, source);
    }
}

Result<> exec_mov_from_cr(Cpu& c, const Insn& i) {
    TRY(check_access(c, i.src));
    const u64 value = TRY(read_cr(c, i.src, static_cast<Gpr>(i.dst)));
    c.gpr[i.dst] = in_64_bit_mode(c) ? value : static_cast<u32>(value);
    return Done{};
}

/// SDM 2A, "CLTS".
Result<> exec_clts(Cpu& c, const Insn&) {
    TRY(require_supervisor(c));
    const Shadowed s = shadow_of_cr0(c);
    constexpr u64 ts = u64{1} << static_cast<unsigned>(Cr0::ts);
    if ((s.mask & s.shadow & ts) != 0) return cr_exit(c, CrAccess::clts());
    if ((s.mask & ts) == 0) c.cr0.set(Cr0::ts, false);
    return Done{};
}

/// SDM 2A, "LMSW": PE, MP, EM and TS; PE can only be set.
Result<> exec_lmsw(Cpu& c, const Insn& i) {
    TRY(require_supervisor(c));
    const bool memory = is_memory(i);
    const u64 source = memory ? TRY(load(c, linear_address(c, i), 2)) : c.gpr[i.src] & 0xffff;
    const Shadowed s = shadow_of_cr0(c);
    const bool sets_pe = (source & s.mask & ~s.shadow & 1) != 0;
    if (sets_pe || ((source ^ s.shadow) & s.mask & 0xe) != 0) {
        const auto access = CrAccess::lmsw(static_cast<u16>(source), memory);
        const Failed exit = cr_exit(c, access);
        if (memory) c.pending.guest_linear = linear_address(c, i).raw();
        return exit;
    }
    const u64 changed = 0xf & ~s.mask;
    const u64 before = c.cr0.to_raw();
    return write_cr0(c, (before & ~changed) | ((source | (before & 1)) & changed));
}

/// SDM 2B, "SMSW".
Result<> exec_smsw(Cpu& c, const Insn& i) {
    TRY(refuse_in_enclave(c));
    if (c.cr4.has(Cr4::umip) && c.cpl != 0) return general_protection(c);
    const u64 value = shadow_of_cr0(c).visible(c.cr0.to_raw());
    if (is_memory(i)) return store(c, linear_address(c, i), 2, value & 0xffff);
    put_register(c, i.dst, operand_size(i), value);
    return Done{};
}

/// ECX = 1: XCR0 & XINUSE; every component counts as in use (docs/model-defined.md). SDM 2D,
/// "XGETBV".
Result<> exec_xgetbv(Cpu& c, const Insn&) {
    if (!c.cr4.has(Cr4::osxsave)) return invalid_opcode(c);
    const u32 last = has_feature(*c.system->model, Feature::xgetbv1) ? 1 : 0;
    if (static_cast<u32>(c.gpr[rcx]) > last) return general_protection(c);
    c.gpr[rax] = static_cast<u32>(c.xcr0);
    c.gpr[rdx] = c.xcr0 >> 32;
    return Done{};
}

/// SDM 2D, "XSETBV".
Result<> exec_xsetbv(Cpu& c, const Insn&) {
    if (!c.cr4.has(Cr4::osxsave)) return invalid_opcode(c);
    TRY(require_supervisor(c));
    if (vmx::in_guest(c)) return vmx::raise_exit(c, BasicReason::xsetbv);
    if (static_cast<u32>(c.gpr[rcx]) != 0) return general_protection(c);
    const auto value = Xcr0Word::from_raw(c.gpr[rdx] << 32 | static_cast<u32>(c.gpr[rax]));
    if (!is_legal_xcr0(value, supported_xcr0(*c.system->model))) return general_protection(c);
    c.xcr0 = value.to_raw();
    return Done{};
}

}  // namespace postern::cpu
