// SPDX-License-Identifier: Apache-2.0
#include "hv/sgx/sgx.h"

#include "arch/sgx/error.h"
#include "hv/memory/memory_map.h"
#include "hv/nested/capability.h"

namespace postern::hv {
namespace {

constexpr u32 sgx_leaf_number = static_cast<u32>(CpuidLeaf::sgx);
constexpr u32 first_section = 2;
constexpr u32 section_limit = 64;  // subleaves that are looked at

CpuidRegisters registers_of(const CpuidResult& leaf) {
    return {leaf.eax, leaf.ebx, leaf.ecx, leaf.edx};
}

}  // namespace

SgxProcessor Sgx::processor() const {
    return {port_.cpuid(static_cast<u32>(CpuidLeaf::extended_features), 0),
            port_.cpuid(sgx_leaf_number, 0), port_.cpuid(sgx_leaf_number, 1),
            port_.rdmsr(static_cast<u32>(Msr::feature_control))};
}

SgxCapability Sgx::offered() const {
    if (config_.epc.size == 0) return {};
    return offered_sgx(processor(), config_.sgx, config_.provision_key);
}

FeatureControlWord Sgx::defined_feature_control() const {
    const SgxCapability guest = capability();
    FeatureControlWord word{FeatureControl::lock};
    word.set(FeatureControl::vmx_outside_smx, NestedCapabilities{port_, config_.nested}.present());
    word.set(FeatureControl::sgx_enable, guest.present());
    word.set(FeatureControl::sgx_lc, guest.launch_control);
    return word;
}

void Sgx::reset() {
    capability_ = offered();
    set_feature_control(defined_feature_control().to_raw());
}

void Sgx::set_feature_control(u64 value) {
    state_.feature_control = value;
    encls_bitmap_ = encls_exiting_bitmap(capability_, value);
    ++state_.generation;
}

void Sgx::restore(const State& state) {
    state_ = state;
    encls_bitmap_ = encls_exiting_bitmap(capability_, state.feature_control);
}

/// SDM 4, "Architectural MSRs", IA32_FEATURE_CONTROL.
bool Sgx::write_feature_control(u64 value) {
    const FeatureControlWord defined = defined_feature_control();
    const auto old = FeatureControlWord::from_raw(state_.feature_control);
    if (old.has(FeatureControl::lock) || (value & ~defined.to_raw()) != 0) return false;
    set_feature_control(value);
    return true;
}

/// Firmware sets them before it locks; afterwards bit 17 decides. SDM 3D, "Intel SGX Launch Control
/// Configuration".
bool Sgx::may_set_launch_key() const {
    const auto control = FeatureControlWord::from_raw(state_.feature_control);
    const bool open = !control.has(FeatureControl::lock) || control.has(FeatureControl::sgx_lc);
    return has_launch_key() && open;
}

void Sgx::note_refusal(const SgxRefusal& refusal) {
    const u64 number = state_.last_refusal.number + 1;
    state_.last_refusal = refusal;
    state_.last_refusal.number = number;
}

bool Sgx::backs(const MemorySlot& slot) const {
    for (u32 i = 0; i < section_limit; ++i) {
        const CpuidRegisters leaf = registers_of(port_.cpuid(sgx_leaf_number, first_section + i));
        if (!is_epc_section(leaf)) return false;
        const auto section = epc_section(leaf);
        const u64 offset = slot.host.raw() - section.base;
        if (offset < section.size && slot.size <= section.size - offset) return true;
    }
    return false;
}

/// Nobody else works on the page: a fault is a conflict that passes, or stays. SDM 3D, "EREMOVE".
EnclsResult Sgx::remove(Hpa page) {
    constexpr unsigned attempts = 64;
    EnclsOperands operands;
    operands.window[2] = page;
    operands.rcx = encls_window(2);
    EnclsResult end = port_.encls(EnclsLeaf::eremove, operands);
    for (unsigned n = 1; end.faulted && n < attempts; ++n)
        end = port_.encls(EnclsLeaf::eremove, operands);
    return end;
}

/// One pass.
void Sgx::remove_all(const MemorySlot& slot, EpcScrub& result) {
    for (u64 offset = 0; offset < slot.size; offset += page_size) {
        ++result.pages;
        const EnclsResult end = remove(slot.host + offset);
        const auto status = static_cast<SgxError>(static_cast<u32>(end.rax));
        if (!end.faulted && status == SgxError::success) continue;
        if (result.left++ == 0) result.first_left = slot.base + offset;
        if (end.faulted)
            ++result.faults;
        else if (status == SgxError::enclave_act)
            ++result.in_use;
        else if (status == SgxError::child_present)
            ++result.parents;
    }
}

EpcScrub Sgx::scrub(const MemoryMap& memory) {
    EpcScrub result;
    for (unsigned pass = 0; pass < 2; ++pass) {
        result = {};
        for (size_t i = 0; i < memory.slot_count(); ++i)
            if (memory.slot(i).kind == SlotKind::epc) remove_all(memory.slot(i), result);
        if (result.left == 0) break;
    }
    return result;
}

}  // namespace postern::hv
