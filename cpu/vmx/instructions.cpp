// SPDX-License-Identifier: Apache-2.0
// What the VMX instructions other than VM entry do, from fetched operands on. SDM 3C, "VMX
// Instruction Reference".
#include <array>

#include "arch/vmx/ept.h"
#include "cpu/mmu/access.h"
#include "cpu/vmx/capability.h"
#include "cpu/vmx/region.h"
#include "cpu/vmx/status.h"
#include "cpu/vmx/vmx.h"

namespace postern::cpu::vmx {
namespace {

using enum VmInstructionError;

bool is_region_address(const Cpu& c, Hpa region) {
    return region.offset() == 0 && is_physical(c, region.raw());
}

bool has_our_revision(Cpu& c, Hpa region) {
    // Bit 31 would make it a shadow VMCS, which this processor does not have.
    return read_revision(c, region) == vmcs_revision;
}

/// Values are kept in the field's own width.
u64 truncated(VmcsField field, u64 value) {
    switch (bytes_of(field)) {
        case 2: return static_cast<u16>(value);
        case 4: return static_cast<u32>(value);
        default: return value;
    }
}

/// By row: does this processor have the field?
constexpr auto existing_rows = [] {
    std::array<bool, vmcs_field_count> exists{};
    for (size_t row = 0; row < vmcs_field_count; ++row)
        exists[row] = field_exists(vmcs_field_rows[row].field);
    return exists;
}();

/// The row of a field that this processor has, or -1.
int find_field(u32 encoding) {
    const int row = vmcs_find(encoding);
    return row >= 0 && existing_rows[static_cast<size_t>(row)] ? row : -1;
}

}  // namespace

Status succeed() { return {}; }

Status fail(Cpu& c, VmInstructionError error) {
    if (c.vmx.current == no_vmcs) return {Status::Kind::fail_invalid, {}};
    c.vmx.vmcs.set<VmcsField::vm_instruction_error>(static_cast<u32>(error));
    return {Status::Kind::fail_valid, error};
}

/// SDM 3C, "VMXON". The caller checked CR0, CR4 and IA32_FEATURE_CONTROL.
Status vmxon(Cpu& c, Hpa region) {
    if (c.vmx.on) return fail(c, vmxon_in_root);
    if (!is_region_address(c, region) || !has_our_revision(c, region))
        return {Status::Kind::fail_invalid, {}};
    c.vmx.on = true;
    c.vmx.non_root = false;
    c.vmx.vmxon_region = region.raw();
    c.vmx.current = no_vmcs;
    c.vmx.preemption_deadline = ~u64{0};
    flush_translations(c);
    return succeed();
}

/// SDM 3C, "VMXOFF". The current VMCS goes back to memory first: software is told to VMCLEAR it,
/// and nothing but its own data would be lost if it did not.
Status vmxoff(Cpu& c) {
    if (c.vmx.current != no_vmcs) write_region(c, Hpa{c.vmx.current});
    c.vmx.on = false;
    c.vmx.current = no_vmcs;
    c.vmx.vmxon_region = 0;
    flush_translations(c);
    return succeed();
}

/// SDM 3C, "VMCLEAR".
Status vmclear(Cpu& c, Hpa region) {
    if (!is_region_address(c, region)) return fail(c, vmclear_invalid_address);
    if (region.raw() == c.vmx.vmxon_region) return fail(c, vmclear_vmxon_pointer);
    if (region.raw() != c.vmx.current) {
        clear_launch_state(c, region);
        return succeed();
    }
    c.vmx.vmcs.launched = false;
    write_region(c, region);
    c.vmx.current = no_vmcs;
    return succeed();
}

/// SDM 3C, "VMPTRLD".
Status vmptrld(Cpu& c, Hpa region) {
    if (!is_region_address(c, region)) return fail(c, vmptrld_invalid_address);
    if (region.raw() == c.vmx.vmxon_region) return fail(c, vmptrld_vmxon_pointer);
    if (!has_our_revision(c, region)) return fail(c, vmptrld_incorrect_revision);
    if (region.raw() == c.vmx.current) return succeed();
    if (c.vmx.current != no_vmcs) write_region(c, Hpa{c.vmx.current});
    read_region(c, region);
    c.vmx.current = region.raw();
    return succeed();
}

/// SDM 3C, "VMREAD".
Status vmread(Cpu& c, u32 encoding, u64& value) {
    if (c.vmx.current == no_vmcs) return {Status::Kind::fail_invalid, {}};
    const int row = find_field(encoding);
    if (row < 0) return fail(c, unsupported_vmcs_component);
    const u64 whole = c.vmx.vmcs.slot[static_cast<size_t>(row)];
    value = is_high_access(encoding) ? whole >> 32 : whole;
    return succeed();
}

/// SDM 3C, "VMWRITE".
Status vmwrite(Cpu& c, u32 encoding, u64 value) {
    if (c.vmx.current == no_vmcs) return {Status::Kind::fail_invalid, {}};
    const int row = find_field(encoding);
    if (row < 0) return fail(c, unsupported_vmcs_component);
    const VmcsField field = vmcs_field_rows[static_cast<size_t>(row)].field;
    if (is_read_only(field) && !vmx_misc.vmwrite_any_field())
        return fail(c, vmwrite_read_only_component);
    u64& slot = c.vmx.vmcs.slot[static_cast<size_t>(row)];
    slot = is_high_access(encoding) ? with_bits<63, 32>(slot, value) : truncated(field, value);
    return succeed();
}

/// SDM 3C, "INVEPT".
Status invept(Cpu& c, u64 type, u64 ept_pointer) {
    switch (type) {
        case static_cast<u64>(InveptType::single_context):
            if (!is_valid_ept_pointer(Eptp::from_raw(ept_pointer), ept_vpid_capabilities,
                                      c.system->physical_bits))
                return fail(c, invalid_operand_to_invept_or_invvpid);
            flush_ept(c, ept_pointer);
            return succeed();
        case static_cast<u64>(InveptType::all_contexts): flush_all_epts(c); return succeed();
        default: return fail(c, invalid_operand_to_invept_or_invvpid);
    }
}

/// SDM 3C, "INVVPID". The reserved bits of the descriptor are the caller's to check.
Status invvpid(Cpu& c, u64 type, u16 vpid, u64 linear) {
    const auto kind = static_cast<InvvpidType>(type);
    const bool known = type <= static_cast<u64>(InvvpidType::single_context_retaining_globals);
    const bool all = kind == InvvpidType::all_contexts;
    const bool one_address = kind == InvvpidType::individual_address;
    if (!known || (!all && vpid == 0) || (one_address && !is_canonical_48(linear)))
        return fail(c, invalid_operand_to_invept_or_invvpid);
    switch (kind) {
        case InvvpidType::individual_address: flush_vpid_page(c, vpid, Gva{linear}); break;
        case InvvpidType::single_context: flush_vpid(c, vpid); break;
        case InvvpidType::all_contexts: flush_all_vpids(c); break;
        case InvvpidType::single_context_retaining_globals: flush_vpid_but_global(c, vpid); break;
    }
    return succeed();
}

/// SDM 3C, "VMCALL": the dual-monitor treatment of SMIs is not supported.
Status vmcall(Cpu& c) { return fail(c, vmcall_in_root); }

}  // namespace postern::cpu::vmx
