// SPDX-License-Identifier: Apache-2.0
#include "hv/nested/nested.h"

#include <cstring>

#include "hv/vcpu.h"

namespace postern::hv {

/// SDM 3C, "Software Use of Virtual-Machine Control Structures": VMCS02 is cleared, and every MSR
/// exits.
bool Nested::create() {
    Port& port = vcpu_.port_;
    const Config& config = vcpu_.vm_.config();
    capabilities_ = NestedCapabilities{port, config.nested, config.hidden};
    state_.msr_bitmap01 = port.vmread(VmcsField::msr_bitmap);
    if (!capabilities_.present() || state_.vmcs02 != 0) return true;
    const Result<Hpa> region = vcpu_.vm_.pages().take();
    const Result<Hpa> bitmap = vcpu_.vm_.pages().take();
    if (!region.ok() || !bitmap.ok()) return false;
    const u64 basic = port.rdmsr(static_cast<u32>(Msr::vmx_basic));
    const u32 revision = VmxBasic::from_raw(basic).revision();
    std::memcpy(port.page(region.value()), &revision, sizeof revision);
    std::memset(port.page(bitmap.value()), 0xff, page_size);
    if (!port.vmclear(region.value())) return false;
    state_.vmcs02 = region.value().raw();
    state_.msr_bitmap02 = bitmap.value().raw();
    return true;
}

void Nested::leave_vmx_operation() {
    if (!in_vmx_operation()) return;
    if (in_l2()) switch_to_l1();
    state_.vmxon = state_.current = none;
    ept_.forget_all();
    vcpu_.port_.invvpid(vcpu_.vpid02());
    vcpu_.agree_about_fixed_bits();
}

bool Nested::restore(const State& state, const ShadowEpt::State& ept) {
    const auto is_flag = [](u8 value) { return value <= 1; };
    const NestedCapabilities capabilities{vcpu_.port_, vcpu_.vm_.config().nested,
                                          vcpu_.vm_.config().hidden};
    const auto is_ours = [&](u64 page) { return vcpu_.vm_.pages().could_own(page); };
    const bool pages =
        state.vmxon == none || (is_ours(state.vmcs01) && is_ours(state.msr_bitmap01) &&
                                is_ours(state.vmcs02) && is_ours(state.msr_bitmap02));
    const bool in_order = (state.in_l2 == 0 || (state.built != 0 && state.current != none)) &&
                          (state.current == none || state.vmxon != none) &&
                          (state.vmxon == none || capabilities.present());
    if (!pages || !in_order || !is_flag(state.in_l2) || !is_flag(state.entering) ||
        !is_flag(state.launched01) || !is_flag(state.launched02) || !is_flag(state.built) ||
        !is_flag(state.trap_exits) || !ept_.restore(ept))
        return false;
    capabilities_ = capabilities;
    state_ = state;
    return true;
}

}  // namespace postern::hv
