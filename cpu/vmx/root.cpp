// SPDX-License-Identifier: Apache-2.0
// Operands and flags of the VMX instructions in VMX root operation. SDM 3C, "VMX Instruction
// Reference", Operation of each.
#include "cpu/vmx/root.h"

#include "arch/msr.h"
#include "cpu/event/event.h"
#include "cpu/exec/segment_check.h"
#include "cpu/exec/system/common.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"
#include "cpu/vmx/capability.h"
#include "cpu/vmx/status.h"
#include "cpu/vmx/transition.h"

namespace postern::cpu::vmx {
namespace {

using enum VmInstructionError;

/// SDM 3C, "Conventions": VMsucceed, VMfailInvalid and VMfailValid clear what they do not set.
void set_status_flags(Cpu& c, Status::Kind kind) {
    constexpr u64 carry = 1, zero = 0x40;
    from_image(c, kind == Status::Kind::fail_invalid ? carry
                  : kind == Status::Kind::fail_valid ? zero
                                                     : 0);
}

Result<> finish(Cpu& c, Status status) {
    set_status_flags(c, status.kind);
    return Done{};
}

/// The operand is a pointer in memory: 64 bits in every mode.
Result<u64> load_pointer(Cpu& c, const Insn& i) { return load_checked(c, i, 8); }

/// Of VMREAD's and VMWRITE's operands; prefixes and CS.D do not matter. SDM 3C, "VMREAD",
/// "VMWRITE".
unsigned operand_bytes(const Cpu& c) { return in_64_bit_mode(c) ? 8 : 4; }

/// A register operand of that size.
u64 register_operand(const Cpu& c, u8 row) {
    return in_64_bit_mode(c) ? c.gpr[row] : static_cast<u32>(c.gpr[row]);
}

/// SDM 3C, "Restrictions on VMX Operation".
bool has_fixed_bits(const Cpu& c) {
    const u64 cr0 = c.cr0.to_raw(), cr4 = c.cr4.to_raw();
    return (cr0 & cr0_fixed0) == cr0_fixed0 && (cr0 & ~cr0_fixed1) == 0 &&
           (cr4 & cr4_fixed0) == cr4_fixed0 && (cr4 & ~allowed_cr4(c)) == 0;
}

/// SDM 3C, "Enabling and Entering VMX Operation".
bool is_allowed_by_firmware(const Cpu& c) {
    return FeatureControlWord::from_raw(c.msr.feature_control)
        .has_all({FeatureControl::lock, FeatureControl::vmx_outside_smx});
}

/// SDM 3C, "VMXON".
Result<> exec_vmxon(Cpu& c, const Insn& i) {
    if (c.vmx.on) return finish(c, fail(c, vmxon_in_root));
    if (c.cpl > 0 || !has_fixed_bits(c) || !is_allowed_by_firmware(c)) return general_protection(c);
    const Hpa region{TRY(load_pointer(c, i))};
    const Status status = vmxon(c, region);
    if (status.ok()) c.monitor = {};
    return finish(c, status);
}

Result<> exec_vmclear(Cpu& c, const Insn& i) {
    const Hpa region{TRY(load_pointer(c, i))};
    return finish(c, vmclear(c, region));
}

Result<> exec_vmptrld(Cpu& c, const Insn& i) {
    const Hpa region{TRY(load_pointer(c, i))};
    return finish(c, vmptrld(c, region));
}

/// SDM 3C, "VMPTRST": without a current VMCS, all ones.
Result<> exec_vmptrst(Cpu& c, const Insn& i) {
    TRY(store_checked(c, i, 8, c.vmx.current));
    return finish(c, succeed());
}

/// In 64-bit mode the operand that selects the field has 64 bits; no field has a number above 32.
bool selects_by_32_bits(u64 encoding) { return encoding >> 32 == 0; }

/// SDM 3C, "VMREAD".
Result<> exec_vmread(Cpu& c, const Insn& i) {
    const u64 encoding = register_operand(c, i.src);
    const unsigned size = operand_bytes(c);
    u64 value = 0;
    if (c.vmx.current != no_vmcs && !selects_by_32_bits(encoding))
        return finish(c, fail(c, unsupported_vmcs_component));
    const Status status = vmread(c, static_cast<u32>(encoding), value);
    if (!status.ok()) return finish(c, status);
    if (is_memory(i))
        TRY(store_checked(c, i, size, value));
    else
        put_register(c, i.dst, size, value);
    return finish(c, status);
}

/// VMWRITE's value: what of the field the operand does not fill becomes 0.
Result<u64> written_value(Cpu& c, const Insn& i) {
    if (!is_memory(i)) return register_operand(c, i.src);
    return load_checked(c, i, operand_bytes(c));
}

/// SDM 3C, "VMWRITE". Nothing is read from memory without a current VMCS.
Result<> exec_vmwrite(Cpu& c, const Insn& i) {
    if (c.vmx.current == no_vmcs) return finish(c, {Status::Kind::fail_invalid, {}});
    const u64 value = TRY(written_value(c, i));
    const u64 encoding = register_operand(c, i.dst);
    if (!selects_by_32_bits(encoding)) return finish(c, fail(c, unsupported_vmcs_component));
    return finish(c, vmwrite(c, static_cast<u32>(encoding), value));
}

/// INVEPT's and INVVPID's descriptor in memory: 16 bytes.
struct Descriptor {
    u64 low = 0, high = 0;
};

Result<Descriptor> load_descriptor(Cpu& c, const Insn& i) {
    Descriptor descriptor;
    const Gva at = TRY(checked_address(c, i, sizeof descriptor, Access::read));
    TRY(load_bytes(c, at, &descriptor, sizeof descriptor));
    return descriptor;
}

/// SDM 3C, "INVEPT": an unsupported type fails before the descriptor is read.
Result<> exec_invept(Cpu& c, const Insn& i) {
    const u64 type = register_operand(c, i.dst);
    constexpr auto first = static_cast<u64>(InveptType::single_context);
    constexpr auto last = static_cast<u64>(InveptType::all_contexts);
    if (type < first || type > last)
        return finish(c, fail(c, invalid_operand_to_invept_or_invvpid));
    const Descriptor descriptor = TRY(load_descriptor(c, i));
    if (descriptor.high != 0) return finish(c, fail(c, invalid_operand_to_invept_or_invvpid));
    return finish(c, invept(c, type, descriptor.low));
}

/// SDM 3C, "INVVPID": the same; bits 63:16 are reserved.
Result<> exec_invvpid(Cpu& c, const Insn& i) {
    const u64 type = register_operand(c, i.dst);
    if (type > static_cast<u64>(InvvpidType::single_context_retaining_globals))
        return finish(c, fail(c, invalid_operand_to_invept_or_invvpid));
    const Descriptor descriptor = TRY(load_descriptor(c, i));
    if (descriptor.low >> 16 != 0) return finish(c, fail(c, invalid_operand_to_invept_or_invvpid));
    return finish(c, invvpid(c, type, static_cast<u16>(descriptor.low), descriptor.high));
}

/// VMLAUNCH and VMRESUME. Whether the guest was entered or the entry failed late: RIP, flags and
/// the traps that are due are what was loaded.
Result<> exec_entry(Cpu& c, bool launch) {
    bool entered = false;
    const Status status = enter(c, launch, entered);
    if (!status.ok()) return finish(c, status);
    if (is_unimplemented(c)) return Failed{};
    // The entry itself is still to retire; the timer counts the guest's instructions.
    if (c.vmx.preemption_deadline != ~u64{0}) ++c.vmx.preemption_deadline;
    c.event.resume_loaded = true;
    c.event.trap_inhibited = true;
    return Done{};
}

}  // namespace

Result<> exec_in_root(Cpu& c, BasicReason which, const Insn& i) {
    switch (which) {
        case BasicReason::vmcall: return finish(c, vmcall(c));
        case BasicReason::vmclear: return exec_vmclear(c, i);
        case BasicReason::vmlaunch: return exec_entry(c, true);
        case BasicReason::vmptrld: return exec_vmptrld(c, i);
        case BasicReason::vmptrst: return exec_vmptrst(c, i);
        case BasicReason::vmread: return exec_vmread(c, i);
        case BasicReason::vmresume: return exec_entry(c, false);
        case BasicReason::vmwrite: return exec_vmwrite(c, i);
        case BasicReason::vmxoff: return finish(c, vmxoff(c));
        case BasicReason::vmxon: return exec_vmxon(c, i);
        case BasicReason::invept: return exec_invept(c, i);
        case BasicReason::invvpid: return exec_invvpid(c, i);
        default: return invalid_opcode(c);
    }
}

}  // namespace postern::cpu::vmx
