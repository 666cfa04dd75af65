// SPDX-License-Identifier: Apache-2.0
// Nested virtualization: a guest that is itself a hypervisor (L1) and runs a guest of its own (L2).
// L1 sees a processor with VMX; its VMCS is kept as Vmcs12. L2 runs on a second VMCS of ours
// (VMCS02), merged from L1's wishes and our own at each of L1's entries; L1 keeps the first
// (VMCS01). Either is current while its guest runs, so that everything else in hv/ speaks of the
// guest that exited without knowing which.
#pragma once

#include <type_traits>

#include "arch/vmx/exit_reason.h"
#include "arch/vmx/instruction_error.h"
#include "hv/config.h"
#include "hv/exit/capture.h"
#include "hv/inject.h"
#include "hv/nested/capability.h"
#include "hv/nested/shadow_ept.h"
#include "hv/nested/vmcs12.h"

namespace postern::hv {

class Vcpu;

class Nested {
public:
    static constexpr u64 none = ~u64{0};

    struct State {
        Vmcs12 vmcs12;       // while there is a current one
        u64 vmxon = none;    // L1's VMXON region; none: L1 is not in VMX operation
        u64 current = none;  // L1's current VMCS
        u64 vmcs01 = 0;      // pages of ours
        u64 vmcs02 = 0;
        u64 msr_bitmap01 = 0;
        u64 msr_bitmap02 = 0;
        u32 primary02 = 0;  // of L2, without the windows that we ask for
        u16 vpid12 = 0;     // of the entry before; 0: none
        u8 in_l2 = 0;
        u8 entering = 0;  // VMLAUNCH or VMRESUME of L1 is done, its guest has not run yet
        u8 launched01 = 0;
        u8 launched02 = 0;
        std::array<u8, 6> unused{};
    };
    static_assert(std::is_trivially_copyable_v<State> && std::is_standard_layout_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);

    Nested(Vcpu& vcpu, Port& port, Vm& vm) : vcpu_{vcpu}, ept_{port, vm} {}
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;

    /// By Vcpu::build. False: the pool has no pages.
    [[nodiscard]] bool create();

    /// What L1 is offered; not present() before the virtual processor is built.
    [[nodiscard]] const NestedCapabilities& capabilities() const { return capabilities_; }
    [[nodiscard]] bool in_vmx_operation() const { return state_.vmxon != none; }
    [[nodiscard]] bool in_l2() const { return state_.in_l2 != 0; }
    [[nodiscard]] bool has_current() const { return state_.current != none; }
    [[nodiscard]] Vmcs12& vmcs12() { return state_.vmcs12; }
    [[nodiscard]] const Vmcs12& vmcs12() const { return state_.vmcs12; }
    [[nodiscard]] ShadowEpt& ept() { return ept_; }

    /// VMLAUNCH and VMRESUME of L1, privilege and mode checked. `none`: on with whichever guest is
    /// now current (L2, or L1 after an entry that failed with an exit). Otherwise VMfailValid.
    struct Entered {
        VmInstructionError error = VmInstructionError::none;
        Next next = Next::resume;
    };
    [[nodiscard]] Entered enter(bool launch);

    [[nodiscard]] const State& state() const { return state_; }

private:
    friend class VmxInstruction;

    Vcpu& vcpu_;
    NestedCapabilities capabilities_;
    ShadowEpt ept_;
    State state_;
};

}  // namespace postern::hv
