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
#include "hv/memory/guest_walk.h"
#include "hv/nested/capability.h"
#include "hv/nested/shadow_ept.h"
#include "hv/nested/vmcs12.h"

namespace postern::hv {

class Vcpu;

/// A VM exit as L1 is to see it.
struct L1Exit {
    ExitReason reason = ExitReason::from_vmcs(0);
    u64 qualification = 0;
    u64 guest_linear = 0;
    u64 guest_physical = 0;
    InterruptionInformation interruption;
    InterruptionInformation idt_vectoring;
    u32 interruption_error_code = 0;
    u32 idt_vectoring_error_code = 0;
    u32 instruction_length = 0;
    u32 instruction_information = 0;
};

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
        PrimaryControls windows01;
        u16 vpid12 = 0;  // of the entry before; 0: none
        u8 in_l2 = 0;
        u8 entering = 0;  // VMLAUNCH or VMRESUME of L1 is done, its guest has not run yet
        u8 launched01 = 0;
        u8 launched02 = 0;
        u8 built = 0;       // VMCS02 has what never changes
        u8 trap_exits = 0;  // an instruction of L2 was carried out under the monitor trap flag
    };
    static_assert(std::is_trivially_copyable_v<State> && std::is_standard_layout_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);

    Nested(Vcpu& vcpu, Port& port, Vm& vm) : vcpu_{vcpu}, ept_{port, vm} {}
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;

    /// By Vcpu::build. False: the pool has no pages.
    [[nodiscard]] bool create();
    /// By Vcpu::load_vmcs.
    void set_vmcs01(Hpa region) { state_.vmcs01 = region.raw(); }

    /// What L1 is offered; not present() before the virtual processor is built.
    [[nodiscard]] const NestedCapabilities& capabilities() const { return capabilities_; }
    [[nodiscard]] bool in_vmx_operation() const { return state_.vmxon != none; }
    [[nodiscard]] bool in_l2() const { return state_.in_l2 != 0; }
    /// L1 runs, in VMX root operation.
    [[nodiscard]] bool in_root() const { return in_vmx_operation() && !in_l2(); }
    /// INIT stays pending in VMX root operation; for L2 it is an exit to L1. SDM 3C, "Restrictions
    /// on VMX Operation".
    [[nodiscard]] bool holds_init() const { return in_vmx_operation(); }
    [[nodiscard]] bool has_current() const { return state_.current != none; }
    [[nodiscard]] Vmcs12& vmcs12() { return state_.vmcs12; }
    [[nodiscard]] const Vmcs12& vmcs12() const { return state_.vmcs12; }
    [[nodiscard]] ShadowEpt& ept() { return ept_; }
    [[nodiscard]] const ShadowEpt& ept() const { return ept_; }

    /// VMLAUNCH and VMRESUME of L1, privilege, mode and launch state checked. `none`: on with
    /// whichever guest is now current (L2, or L1 after an entry that failed with an exit).
    /// Otherwise VMfail with that number.
    struct Entered {
        VmInstructionError error = VmInstructionError::none;
        Next next = Next::resume;
    };
    [[nodiscard]] Entered enter();

    /// What the entry before has left to be done is done: L2 has run.
    void has_entered() { state_.entering = 0; }
    [[nodiscard]] bool entering() const { return state_.entering != 0; }

    /// An exit of L2: passed on to L1, or mapped; or left to us, with the addresses that are L1's.
    struct Sorted {
        bool done = false;  // nothing is left
        Next next = Next::resume;
    };
    [[nodiscard]] Sorted sort(Capture& exit);
    /// An entry of L2 that failed late, by the processor's checks of guest state.
    Next entry_failed(const Capture& exit);
    /// An exception that is to be injected into L2: L1 may want it. False: it does not.
    [[nodiscard]] bool takes_exception(const Event& event);
    /// An access that we make for L2's instruction, and that L1's EPT refuses: L1's exit.
    Next refuse_access(const SecondLevelFault& fault, Gva linear);
    /// A third fault while L2's #DF was delivered.
    Next shut_down();
    /// An instruction of L2 was carried out for it.
    void has_completed_instruction() {
        if (in_l2() && state_.vmcs12.has(PrimaryControl::monitor_trap_flag)) state_.trap_exits = 1;
    }
    /// Before L2 runs on, or wakes up: interrupts, NMIs and INIT are L1's exits.
    void leave_for_events();
    [[nodiscard]] bool exits_for_interrupts() const {
        return in_l2() && state_.vmcs12.has(PinControl::external_interrupt_exiting);
    }
    /// The window is the first of L2's boundaries where an interrupt could be delivered.
    [[nodiscard]] bool exits_for_window() const {
        return in_l2() && state_.vmcs12.has(PrimaryControl::interrupt_window_exiting);
    }
    [[nodiscard]] bool exits_for_nmis() const {
        return in_l2() && state_.vmcs12.has(PinControl::nmi_exiting);
    }

    /// An event for L1 waits for the entry of L2 to be over.
    [[nodiscard]] bool leaves_soon() const { return leaves_soon_; }

    // What differs in L2 from what hv/ would write for L1.
    [[nodiscard]] u64 tsc_of_l2(u64 tsc_of_l1) const;
    [[nodiscard]] u64 tsc_offset_of_l2(u64 offset_of_l1) const;
    [[nodiscard]] u64 encls_bitmap(u64 ours) const;
    /// How L2's physical addresses become L1's; null: they are, or there is no L2.
    [[nodiscard]] const SecondLevel* second_level();
    /// The same of one address that is read. False: L1's EPT does not have it.
    [[nodiscard]] bool translate(Gpa& address) const;
    [[nodiscard]] PrimaryControls primary02() const {
        return PrimaryControls::from_raw(state_.primary02);
    }
    /// Bits of a control register that L2 does not own: L1's values in place of those in `value`.
    [[nodiscard]] u64 real_cr0(u64 value) const;
    [[nodiscard]] u64 real_cr4(u64 value) const;
    /// Likewise what L1 has it read of them.
    [[nodiscard]] u64 shown_cr0(u64 value) const;
    /// L2, too, keeps the bits that VMX operation fixes. True outside L2.
    [[nodiscard]] bool allows_cr0(u64 value) const;
    [[nodiscard]] bool allows_cr4(u64 value) const;

    /// VMXOFF, and RESET. A current VMCS is not written back.
    void leave_vmx_operation();

    [[nodiscard]] const State& state() const { return state_; }
    /// Instead of create(), after the Vm's own restore. False: it is none that state() gives, and
    /// nothing is changed.
    [[nodiscard]] bool restore(const State& state, const ShadowEpt::State& ept);

private:
    friend class VmxInstruction;

    /// What L1 has while it runs, read from VMCS01 before VMCS02 becomes current.
    struct Outer {
        PinControls pin;
        PrimaryControls primary;
        SecondaryControls secondary;
        ExitControls exit;
        EntryControls entry;
        u64 cr0 = 0, efer = 0, pat = 0, dr7 = 0, debugctl = 0;
    };
    [[nodiscard]] Outer outer() const;

    // checks.cpp
    class View;
    [[nodiscard]] VmInstructionError refused() const;
    /// The qualification of the failed entry, or `none`.
    [[nodiscard]] u64 bad_guest_state() const;
    [[nodiscard]] EptRules ept_rules() const;

    // wants.cpp
    [[nodiscard]] bool wants(const Capture& exit) const;
    [[nodiscard]] bool wants_exception(unsigned vector, u32 error_code) const;
    [[nodiscard]] bool wants_control_register(u64 qualification) const;
    [[nodiscard]] bool wants_io(u64 qualification) const;
    [[nodiscard]] bool wants_msr(u32 msr, bool write) const;

    // vmcs02.cpp
    [[nodiscard]] bool select(u64 region);
    [[nodiscard]] bool build();
    [[nodiscard]] Next write_controls(const Outer& outer);
    void write_processor_controls(const Outer& outer);
    [[nodiscard]] Next write_apic_pages();
    [[nodiscard]] u64 ept_pointer12() const;
    [[nodiscard]] Next write_translation();
    void write_msr_bitmap() const;
    void write_guest_state(const Outer& outer);
    [[nodiscard]] bool write_pdptes();

    // entry.cpp
    [[nodiscard]] Entered fail_entry(BasicReason reason, u64 qualification);
    [[nodiscard]] Next switch_to_l2(const Outer& outer);
    [[nodiscard]] u32 load_msrs(u64 list, u32 count);
    [[nodiscard]] bool store_msrs(u64 list, u32 count);

    // leave.cpp
    Next leave(const L1Exit& exit);
    void record(const L1Exit& exit);
    [[nodiscard]] bool blocks_nmis() const;
    [[nodiscard]] InterruptibilityState shown_interruptibility() const;
    void save_guest_state();
    void switch_to_l1();
    [[nodiscard]] Next load_host_state();
    void load_host_registers();
    void load_host_segments();
    [[nodiscard]] Next abort(const char* what);
    enum class ForL1 : u8 { nothing, start_up, init, trap, nmi, interrupt };
    [[nodiscard]] ForL1 event_for_l1() const;
    void leave_for(ForL1 event);
    [[nodiscard]] L1Exit synthesized(BasicReason reason);
    [[nodiscard]] L1Exit reflected(const Capture& exit) const;
    Sorted sort_ept(Capture& exit);

    template <VmcsField field>
    [[nodiscard]] VmcsValue<field> l1() const {
        return state_.vmcs12.get<field>();
    }

    Vcpu& vcpu_;
    NestedCapabilities capabilities_;
    ShadowEpt ept_;
    SecondLevel second_level_{};
    State state_;
    bool leaves_soon_ = false;  // found anew before each entry
};

}  // namespace postern::hv
