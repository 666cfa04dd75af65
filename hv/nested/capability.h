// SPDX-License-Identifier: Apache-2.0
// What of VMX a guest is offered: what both the processor has and hv/nested carries out. SDM 3D,
// appendix "VMX Capability Reporting Facility".
#pragma once

#include "arch/vmx/capability.h"
#include "arch/vmx/controls.h"
#include "arch/vmx/vmcs_field.h"
#include "base/types.h"
#include "hv/config.h"

namespace postern::hv {

class Port;

/// Of struct Vmcs12, unless the processor's own regions have it.
inline constexpr u32 vmcs12_revision = 0x0012'5354;

class NestedCapabilities {
public:
    NestedCapabilities() = default;
    /// `offer`: false hides VMX whatever the processor has. What is for a feature that is hidden
    /// from the guest is not offered either.
    NestedCapabilities(Port& port, bool offer, HiddenFeatures hidden = {});

    /// CPUID.1:ECX.VMX.
    [[nodiscard]] bool present() const { return present_; }
    /// RDMSR of 480H to 493H. False: #GP(0).
    [[nodiscard]] bool read(u32 msr, u64& value) const;

    /// What VM entry and VMX operation go by: the TRUE capabilities.
    [[nodiscard]] ControlCapability pin() const { return true_.pin; }
    [[nodiscard]] ControlCapability primary() const { return true_.primary; }
    [[nodiscard]] ControlCapability secondary() const { return true_.secondary; }
    [[nodiscard]] ControlCapability exit() const { return true_.exit; }
    [[nodiscard]] ControlCapability entry() const { return true_.entry; }
    [[nodiscard]] bool field_exists(VmcsField field) const {
        return has_capability(supported_, vmcs_field_rows[vmcs_index(field)].capability);
    }
    [[nodiscard]] VmxBasic basic() const { return basic_; }
    [[nodiscard]] VmxMisc misc() const { return misc_; }
    [[nodiscard]] EptVpidCapabilities ept_vpid() const { return ept_vpid_; }
    [[nodiscard]] u64 cr0_fixed0() const { return cr0_fixed0_; }
    [[nodiscard]] u64 cr0_fixed1() const { return cr0_fixed1_; }
    [[nodiscard]] u64 cr4_fixed0() const { return cr4_fixed0_; }
    [[nodiscard]] u64 cr4_fixed1() const { return cr4_fixed1_; }

private:
    struct Controls {
        ControlCapability pin, primary, secondary, exit, entry;
    };

    [[nodiscard]] u64 enumeration() const;

    bool present_ = false;
    Controls plain_, true_;
    SupportedControls supported_{};
    VmxBasic basic_{};
    VmxMisc misc_{};
    EptVpidCapabilities ept_vpid_{};
    u64 cr0_fixed0_ = 0, cr0_fixed1_ = 0, cr4_fixed0_ = 0, cr4_fixed1_ = 0;
};

}  // namespace postern::hv
