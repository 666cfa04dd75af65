// SPDX-License-Identifier: Apache-2.0
#include "hv/nested/instructions.h"

#include <cstring>

#include "arch/cpuid.h"
#include "arch/msr.h"
#include "arch/vmx/ept.h"
#include "base/table.h"
#include "hv/emulate/arithmetic.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

using enum VmInstructionError;

constexpr VmxStatus succeed{};
constexpr VmxStatus fail_invalid{false, none};
constexpr VmxStatus fail(VmInstructionError error) { return {false, error}; }

constexpr u64 carry_flag = Rflags{Rflag::cf}.to_raw();
constexpr u64 zero_flag = Rflags{Rflag::zf}.to_raw();

/// Retries of an instruction whose operand's paging structures change under our eyes.
constexpr unsigned retries_at_most = 8;

}  // namespace

VmxInstruction::VmxInstruction(Vcpu& vcpu, const Capture& exit)
    : vcpu_{vcpu}, exit_{exit}, view_{vcpu, exit}, nested_{vcpu.nested_},
      state_{vcpu.nested_.state_}, memory_{vcpu},
      information_{MemoryOperandInformation::from_raw(exit.instruction_information)} {
    memory_.begin(exit);
}

Next VmxInstruction::run() {
    const BasicReason which = exit_.reason.basic();
    if (!is_defined(which)) return take_fault(Event::exception(Vector::invalid_opcode));
    if (exit_.cpl != 0) return take_fault(Event::exception(Vector::general_protection));
    if (which == BasicReason::vmlaunch || which == BasicReason::vmresume)
        return enter(which == BasicReason::vmlaunch);
    const Result<VmxStatus> status = carry_out(which);
    return status.ok() ? finish(status.value()) : stumble();
}

Result<VmxStatus> VmxInstruction::carry_out(BasicReason which) {
    static constexpr std::array rows{
        Row{BasicReason::vmcall, &VmxInstruction::vmcall},
        Row{BasicReason::vmclear, &VmxInstruction::vmclear},
        Row{BasicReason::vmptrld, &VmxInstruction::vmptrld},
        Row{BasicReason::vmptrst, &VmxInstruction::vmptrst},
        Row{BasicReason::vmread, &VmxInstruction::read_field},
        Row{BasicReason::vmwrite, &VmxInstruction::write_field},
        Row{BasicReason::vmxoff, &VmxInstruction::vmxoff},
        Row{BasicReason::vmxon, &VmxInstruction::vmxon},
        Row{BasicReason::invept, &VmxInstruction::invept},
        Row{BasicReason::invvpid, &VmxInstruction::invvpid},
    };
    static_assert(is_strictly_sorted(rows, [](const Row& row) { return row.reason; }));
    for (const Row& row : rows)
        if (row.reason == which) return (this->*row.carry_out)();
    return memory_.not_implemented("this VMX instruction");
}

/// SDM 3C, "VMX Instruction Reference", Operation of each: what makes it #UD. VMXON makes VMX
/// operation, so that CR4.VMXE is all it asks for.
bool VmxInstruction::is_defined(BasicReason which) {
    const ControlRegisters now = vcpu_.control_registers();
    const bool virtual_8086 = Rflags::from_raw(exit_.rflags).has(Rflag::vm);
    const bool compatibility = now.efer.has(Efer::lma) && !now.long_code;
    if (!now.cr0.has(Cr0::pe) || virtual_8086 || compatibility) return false;
    return which == BasicReason::vmxon ? now.cr4.has(Cr4::vmxe) : nested_.in_vmx_operation();
}

/// A guest's hypervisor sees CF for VMfailInvalid, ZF for VMfailValid, and every other status flag
/// cleared.
Next VmxInstruction::finish(VmxStatus status) {
    vcpu_.retries_ = {};
    const bool valid = !status.ok && status.error != none && nested_.has_current();
    if (valid) state_.vmcs12.set<VmcsField::vm_instruction_error>(static_cast<u32>(status.error));
    const u64 failure = valid ? zero_flag : carry_flag;
    view_.set_status_flags(status.ok ? 0 : failure);
    return view_.done();
}

Next VmxInstruction::stumble() {
    const Obstacle& obstacle = memory_.obstacle();
    if (obstacle.kind == Obstacle::Kind::fault) return take_fault(obstacle.event, obstacle.cr2);
    if (obstacle.kind == Obstacle::Kind::retry && vcpu_.may_retry(exit_.rip, retries_at_most))
        return view_.retry();
    return view_.not_implemented(obstacle.what);
}

Next VmxInstruction::take_fault(const Event& event, u64 cr2) {
    vcpu_.retries_ = {};
    const InterruptionInformation what = event.information;
    if (what.is_exception(Vector::page_fault)) vcpu_.registers_.cr2 = cr2;
    if (what.is_exception(Vector::general_protection)) ++vcpu_.counters_.injected_gp;
    if (what.is_exception(Vector::invalid_opcode)) ++vcpu_.counters_.injected_ud;
    vcpu_.set_resume_flag();
    vcpu_.act(Action::faulted);
    return vcpu_.inject(event);
}

/// VMREAD's and VMWRITE's, in bytes; prefixes and CS.D do not matter.
unsigned VmxInstruction::operand_bytes() const {
    return memory_.code_size() == CodeSize::bits64 ? 8 : 4;
}

u64 VmxInstruction::register_operand(Gpr gpr) {
    return vcpu_.read_gpr(gpr) & size_mask(operand_bytes());
}

/// An address size that the mode does not have, or no segment register.
Result<> VmxInstruction::check_operand_format() {
    const MemoryOperandParts parts = information_.parts();
    const bool mode64 = memory_.code_size() == CodeSize::bits64;
    const AddressSize impossible = mode64 ? AddressSize::bits16 : AddressSize::bits64;
    if (parts.address_size > AddressSize::bits64 || parts.address_size == impossible ||
        parts.segment > gs)
        return memory_.not_implemented("an operand that no VMX instruction has");
    return Done{};
}

/// SDM 3C, "Exit Qualification": the displacement, with RIP in it if it is relative to that.
u64 VmxInstruction::offset() {
    const MemoryOperandParts parts = information_.parts();
    u64 sum = exit_.qualification;
    if (parts.has_base) sum += vcpu_.read_gpr(parts.base);
    if (parts.has_index) sum += vcpu_.read_gpr(parts.index) << parts.scaling;
    return sum & size_mask(2u << static_cast<unsigned>(parts.address_size));
}

Result<> VmxInstruction::locate(Operand& operand, u64 displacement, unsigned size,
                                GuestAccess access) {
    TRY(check_operand_format());
    return memory_.locate(operand, information_.parts().segment, offset() + displacement, size,
                          access);
}

Result<u64> VmxInstruction::load(unsigned size) {
    Operand operand;
    TRY(locate(operand, 0, size, GuestAccess::read));
    return memory_.read(operand);
}

Result<> VmxInstruction::store(unsigned size, u64 value) {
    Operand operand;
    TRY(locate(operand, 0, size, GuestAccess::write));
    memory_.write(operand, value);
    return Done{};
}

Result<> VmxInstruction::load_descriptor(Descriptor& descriptor) {
    Operand whole, low, high;
    TRY(locate(whole, 0, sizeof descriptor, GuestAccess::read));
    TRY(locate(low, 0, sizeof descriptor.low, GuestAccess::read));
    TRY(locate(high, sizeof descriptor.low, sizeof descriptor.high, GuestAccess::read));
    descriptor = {memory_.read(low), memory_.read(high)};
    return Done{};
}

/// No field has a number above 32 bits, which in 64-bit mode the operand can hold.
int VmxInstruction::find_field(u64 encoding) const {
    if (encoding >> 32 != 0) return -1;
    const int row = vmcs_find(static_cast<u32>(encoding));
    if (row < 0) return -1;
    const VmcsField field = vmcs_field_rows[static_cast<size_t>(row)].field;
    return nested_.capabilities().field_exists(field) ? row : -1;
}

/// SDM 3C, "Enabling and Entering VMX Operation" and "Restrictions on VMX Operation".
bool VmxInstruction::may_enter_vmx_operation() {
    const NestedCapabilities& vmx = nested_.capabilities();
    const auto control = FeatureControlWord::from_raw(vcpu_.vm_.sgx().feature_control());
    return control.has_all({FeatureControl::lock, FeatureControl::vmx_outside_smx}) &&
           has_fixed_bits(vcpu_.seen_cr0(), vmx.cr0_fixed0(), vmx.cr0_fixed1()) &&
           has_fixed_bits(vcpu_.seen_cr4(), vmx.cr4_fixed0(), vmx.cr4_fixed1());
}

/// SDM 3C, "VMXON".
Result<VmxStatus> VmxInstruction::vmxon() {
    if (nested_.in_vmx_operation()) return fail(vmxon_in_root);
    if (!may_enter_vmx_operation())
        return memory_.fault(Event::exception(Vector::general_protection));
    const u64 region = TRY(load(sizeof(u64)));
    if (!is_region_address(region) || !has_our_revision(region)) return fail_invalid;
    state_.vmxon = region;
    state_.current = Nested::none;
    vcpu_.agree_about_fixed_bits();
    return succeed;
}

/// SDM 3C, "VMXOFF". The current VMCS goes back to memory, as on a processor that keeps it: nothing
/// but L1's own data would be lost if it did not.
Result<VmxStatus> VmxInstruction::vmxoff() {
    write_back();
    nested_.leave_vmx_operation();
    return succeed;
}

/// SDM 3C, "VMCALL": the dual-monitor treatment of SMIs is not offered.
// NOLINTNEXTLINE(readability-convert-member-functions-to-static): a row's member
Result<VmxStatus> VmxInstruction::vmcall() { return fail(vmcall_in_root); }

/// SDM 3C, "VMCLEAR".
Result<VmxStatus> VmxInstruction::vmclear() {
    const u64 region = TRY(load(sizeof(u64)));
    if (!is_region_address(region)) return fail(vmclear_invalid_address);
    if (region == state_.vmxon) return fail(vmclear_vmxon_pointer);
    if (region != state_.current) {
        clear_launch_state(region);
        return succeed;
    }
    state_.vmcs12.launched = 0;
    write_back();
    state_.current = Nested::none;
    return succeed;
}

/// SDM 3C, "VMPTRLD".
Result<VmxStatus> VmxInstruction::vmptrld() {
    const u64 region = TRY(load(sizeof(u64)));
    if (!is_region_address(region)) return fail(vmptrld_invalid_address);
    if (region == state_.vmxon) return fail(vmptrld_vmxon_pointer);
    if (!has_our_revision(region)) return fail(vmptrld_incorrect_revision);
    if (region == state_.current) return succeed;
    write_back();
    load_region(region);
    return succeed;
}

/// SDM 3C, "VMPTRST": without a current VMCS, all ones.
Result<VmxStatus> VmxInstruction::vmptrst() {
    static_assert(Nested::none == ~u64{0});
    TRY(store(sizeof(u64), state_.current));
    return succeed;
}

/// SDM 3C, "VMREAD".
Result<VmxStatus> VmxInstruction::read_field() {
    if (!nested_.has_current()) return fail_invalid;
    const u64 encoding = register_operand(information_.register2());
    const int row = find_field(encoding);
    if (row < 0) return fail(unsupported_vmcs_component);
    const u64 whole = state_.vmcs12.slot[static_cast<size_t>(row)];
    const u64 value = is_high_access(static_cast<u32>(encoding)) ? whole >> 32 : whole;
    if (information_.is_register())
        vcpu_.write_gpr(information_.register1(), value & size_mask(operand_bytes()));
    else
        TRY(store(operand_bytes(), value));
    return succeed;
}

/// SDM 3C, "VMWRITE". What of the field the operand does not fill becomes 0.
Result<VmxStatus> VmxInstruction::write_field() {
    if (!nested_.has_current()) return fail_invalid;
    u64 value = 0;
    if (information_.is_register())
        value = register_operand(information_.register1());
    else
        value = TRY(load(operand_bytes()));
    const u64 encoding = register_operand(information_.register2());
    const int row = find_field(encoding);
    if (row < 0) return fail(unsupported_vmcs_component);
    const VmcsField field = vmcs_field_rows[static_cast<size_t>(row)].field;
    if (is_read_only(field)) return fail(vmwrite_read_only_component);
    u64& slot = state_.vmcs12.slot[static_cast<size_t>(row)];
    slot = is_high_access(static_cast<u32>(encoding)) ? with_bits<63, 32>(slot, value)
                                                      : value & size_mask(bytes_of(field));
    return succeed;
}

/// SDM 3C, "INVEPT": an unsupported type fails before the descriptor is read.
Result<VmxStatus> VmxInstruction::invept() {
    const u64 type = register_operand(information_.register2());
    const bool single = type == static_cast<u64>(InveptType::single_context);
    if (!single && type != static_cast<u64>(InveptType::all_contexts))
        return fail(invalid_operand_to_invept_or_invvpid);
    Descriptor descriptor;
    TRY(load_descriptor(descriptor));
    const bool valid = is_valid_ept_pointer(
        Eptp::from_raw(descriptor.low), nested_.capabilities().ept_vpid(), vcpu_.physical_bits());
    if (descriptor.high != 0 || (single && !valid))
        return fail(invalid_operand_to_invept_or_invvpid);
    if (single)
        nested_.ept().forget(descriptor.low);
    else
        nested_.ept().forget_all();
    return succeed;
}

/// Canonical for the processor, whatever paging L1 uses.
bool VmxInstruction::is_linear(u64 address) {
    constexpr auto leaf = static_cast<u32>(CpuidLeaf::address_sizes);
    const u32 bits = vcpu_.port_.cpuid(leaf, 0).eax >> 8 & 0xff;
    return is_canonical(address, bits == 57 ? 57 : 48);
}

/// SDM 3C, "INVVPID": the same; bits 63:16 are reserved. All of L1's VPIDs share ours for L2, and
/// forgetting more than was asked for is allowed.
Result<VmxStatus> VmxInstruction::invvpid() {
    const u64 type = register_operand(information_.register2());
    if (type > static_cast<u64>(InvvpidType::single_context_retaining_globals))
        return fail(invalid_operand_to_invept_or_invvpid);
    Descriptor descriptor;
    TRY(load_descriptor(descriptor));
    const auto kind = static_cast<InvvpidType>(type);
    const bool legal = descriptor.low >> 16 == 0 &&
                       (kind == InvvpidType::all_contexts || descriptor.low != 0) &&
                       (kind != InvvpidType::individual_address || is_linear(descriptor.high));
    if (!legal) return fail(invalid_operand_to_invept_or_invvpid);
    vcpu_.port_.invvpid(vcpu_.vpid02());
    return succeed;
}

/// SDM 3C, "VMLAUNCH/VMRESUME", Operation: what comes before the checks of the VMCS.
Next VmxInstruction::enter(bool launch) {
    if (!nested_.has_current()) return finish(fail_invalid);
    if (exit_.interruptibility.has(Interruptibility::mov_ss))
        return finish(fail(entry_events_blocked_by_mov_ss));
    const bool launched = state_.vmcs12.launched != 0;
    if (launch && launched) return finish(fail(vmlaunch_non_clear_vmcs));
    if (!launch && !launched) return finish(fail(vmresume_non_launched_vmcs));
    vcpu_.retries_ = {};
    vcpu_.act(Action::emulated);
    const Nested::Entered entered = nested_.enter();
    return entered.error == none ? entered.next : finish(fail(entered.error));
}

bool VmxInstruction::is_region_address(u64 address) {
    return is_aligned(address, page_size) && address >> vcpu_.physical_bits() == 0;
}

/// With bit 31 it would be a shadow VMCS, which is not offered.
bool VmxInstruction::has_our_revision(u64 region) {
    u32 revision = ~u32{0};
    const u8* const bytes = vcpu_.vm_.ram_at(Gpa{region});
    if (bytes != nullptr) std::memcpy(&revision, bytes, sizeof revision);
    return revision == nested_.capabilities().basic().revision();
}

/// Its memory is L1's, and another of its processors may write it at any time: what is kept is made
/// what this processor could have written.
void VmxInstruction::load_region(u64 region) {
    Vmcs12& vmcs12 = state_.vmcs12;
    const u8* const bytes = vcpu_.vm_.ram_at(Gpa{region});
    std::memcpy(&vmcs12, bytes, sizeof vmcs12);
    vmcs12.revision = nested_.capabilities().basic().revision();
    for (size_t row = 0; row < vmcs_field_count; ++row)
        vmcs12.slot[row] &= size_mask(bytes_of(vmcs_field_rows[row].field));
    state_.current = region;
}

void VmxInstruction::write_back() {
    if (nested_.has_current())
        write_region(state_.current, 0, &state_.vmcs12, sizeof state_.vmcs12);
}

void VmxInstruction::clear_launch_state(u64 region) {
    constexpr u32 clear = 0;
    write_region(region, offsetof(Vmcs12, launched), &clear, sizeof clear);
}

void VmxInstruction::write_region(u64 region, size_t at, const void* bytes, size_t size) {
    u8* const page = vcpu_.vm_.ram_at(Gpa{region});
    const MemorySlot* const slot = vcpu_.vm_.memory().find(Gpa{region});
    if (page == nullptr || slot == nullptr) return;
    vcpu_.port_.about_to_write(MemoryMap::host_address(*slot, Gpa{region + at}), size);
    std::memcpy(page + at, bytes, size);
}

}  // namespace postern::hv
