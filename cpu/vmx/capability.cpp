// SPDX-License-Identifier: Apache-2.0
// The VMX capability MSRs. SDM 3D, appendix "VMX Capability Reporting Facility".
#include "cpu/vmx/capability.h"

#include "cpu/model.h"
#include "cpu/vmx/status.h"
#include "cpu/vmx/vmx.h"

namespace postern::cpu::vmx {
namespace {

/// SDM 3D, appendix "VMCS Enumeration": the highest index of a field that exists, in bits 9:1.
constexpr u64 vmcs_enumeration() {
    u64 highest = 0;
    for (const VmcsFieldRow& row : vmcs_field_rows) {
        const u64 index = static_cast<u32>(row.field) & 0x3fe;
        if (field_exists(row.field) && index > highest) highest = index;
    }
    return highest;
}

struct CapabilityRow {
    Msr msr;
    u64 value;
};

// IA32_VMX_CR4_FIXED1 is the model's. IA32_VMX_VMFUNC, PROCBASED_CTLS3 and EXIT_CTLS2 exist only
// with controls that are not here.
constexpr std::array capability_rows{
    CapabilityRow{Msr::vmx_basic, vmx_basic.to_raw()},
    CapabilityRow{Msr::vmx_pinbased_ctls, plain_capability(ControlWord::pin).to_raw()},
    CapabilityRow{Msr::vmx_procbased_ctls, plain_capability(ControlWord::primary).to_raw()},
    CapabilityRow{Msr::vmx_exit_ctls, plain_capability(ControlWord::exit).to_raw()},
    CapabilityRow{Msr::vmx_entry_ctls, plain_capability(ControlWord::entry).to_raw()},
    CapabilityRow{Msr::vmx_misc, vmx_misc.to_raw()},
    CapabilityRow{Msr::vmx_cr0_fixed0, cr0_fixed0},
    CapabilityRow{Msr::vmx_cr0_fixed1, cr0_fixed1},
    CapabilityRow{Msr::vmx_cr4_fixed0, cr4_fixed0},
    CapabilityRow{Msr::vmx_vmcs_enum, vmcs_enumeration()},
    CapabilityRow{Msr::vmx_procbased_ctls2, plain_capability(ControlWord::secondary).to_raw()},
    CapabilityRow{Msr::vmx_ept_vpid_cap, ept_vpid_capabilities.to_raw()},
    CapabilityRow{Msr::vmx_true_pinbased_ctls, true_capability(ControlWord::pin).to_raw()},
    CapabilityRow{Msr::vmx_true_procbased_ctls, true_capability(ControlWord::primary).to_raw()},
    CapabilityRow{Msr::vmx_true_exit_ctls, true_capability(ControlWord::exit).to_raw()},
    CapabilityRow{Msr::vmx_true_entry_ctls, true_capability(ControlWord::entry).to_raw()},
};
static_assert(is_strictly_sorted(capability_rows, [](const CapabilityRow& row) {
    return static_cast<u32>(row.msr);
}));

const CapabilityRow* find_capability(u32 msr) {
    for (const CapabilityRow& row : capability_rows)
        if (static_cast<u32>(row.msr) == msr) return &row;
    return nullptr;
}

bool read_capability(u32 msr, const Model& model, u64& value) {
    const CapabilityRow* row = find_capability(msr);
    const bool is_cr4 = static_cast<Msr>(msr) == Msr::vmx_cr4_fixed1;
    if (row == nullptr && !is_cr4) return false;
    value = is_cr4 ? supported_cr4(model).to_raw() : row->value;
    return true;
}

const Model& model_of(const Cpu& c) {
    return c.system->model != nullptr ? *c.system->model : default_model();
}

}  // namespace

bool has_sgx(const Cpu& c) {
    return c.system->memory.epc_size != 0 && has_feature(model_of(c), Feature::sgx);
}

u64 allowed_cr4(const Cpu& c) { return supported_cr4(model_of(c)).to_raw(); }

bool read_capability(u32 msr, u64& value) { return read_capability(msr, default_model(), value); }

bool read_capability(const Cpu& c, u32 msr, u64& value) {
    return read_capability(msr, model_of(c), value);
}

}  // namespace postern::cpu::vmx
