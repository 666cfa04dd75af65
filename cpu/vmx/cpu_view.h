// SPDX-License-Identifier: Apache-2.0
// A processor that enters with its current VMCS, as the checks of VM entry see it.
#pragma once

#include "arch/vmx/entry_checks/view.h"
#include "cpu/mmu/access.h"
#include "cpu/msr.h"
#include "cpu/vmx/capability.h"
#include "cpu/vmx/guest_segment.h"
#include "cpu/vmx/status.h"

namespace postern::cpu::vmx {

class CpuView {
public:
    // Implicit: to the checks the two are one.
    CpuView(Cpu& c) : c_{c} {}  // NOLINT(google-explicit-constructor)

    template <VmcsField field>
    [[nodiscard]] VmcsValue<field> get() const {
        return static_cast<VmcsValue<field>>(c_.vmx.vmcs.get<field>());
    }
    [[nodiscard]] Segment segment(unsigned index) const {
        return guest_segment(c_.vmx.vmcs, index);
    }
    [[nodiscard]] u64 current_vmcs() const { return c_.vmx.current; }

    template <ControlWord word>
    [[nodiscard]] static constexpr ControlCapability capability() {
        constexpr ControlCapability of_word = true_capability(word);
        return of_word;
    }
    [[nodiscard]] static constexpr VmxBasic basic() { return vmx_basic; }
    [[nodiscard]] static constexpr VmxMisc misc() { return vmx_misc; }
    [[nodiscard]] static constexpr EptVpidCapabilities ept_vpid() { return ept_vpid_capabilities; }
    [[nodiscard]] static constexpr u64 cr0_fixed0() { return vmx::cr0_fixed0; }
    [[nodiscard]] static constexpr u64 cr0_fixed1() { return vmx::cr0_fixed1; }
    [[nodiscard]] static constexpr u64 cr4_fixed0() { return vmx::cr4_fixed0; }
    [[nodiscard]] u64 cr4_fixed1() const { return allowed_cr4(c_); }

    [[nodiscard]] unsigned physical_bits() const { return c_.system->physical_bits; }
    [[nodiscard]] bool has_sgx() const { return vmx::has_sgx(c_); }
    [[nodiscard]] u64 debugctl_reserved() const {
        return find_msr(c_, static_cast<u32>(Msr::debugctl))->reserved;
    }
    [[nodiscard]] bool is_in_ia32e_mode() const { return c_.efer.has(Efer::lma); }

    [[nodiscard]] u32 read_u32(u64 address) const {
        return static_cast<u32>(read_physical(c_, Hpa{address}, 4));
    }
    [[nodiscard]] u64 read_u64(u64 address) const { return read_physical(c_, Hpa{address}, 8); }

private:
    Cpu& c_;
};

static_assert(vm_entry::EntryView<CpuView>);

}  // namespace postern::cpu::vmx
