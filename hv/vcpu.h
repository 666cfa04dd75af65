// SPDX-License-Identifier: Apache-2.0
// One virtual processor: its VMCS, the loop's one step, and everything between an exit and the
// next entry. Handlers reach it only through the views of exit/exit.h.
#pragma once

#include "arch/msr.h"
#include "arch/regs/rflags.h"
#include "arch/vmx/controls.h"
#include "arch/vmx/interruptibility.h"
#include "hv/apic/virtual_apic.h"
#include "hv/config.h"
#include "hv/control_registers.h"
#include "hv/emulate/emulator.h"
#include "hv/exit/capture.h"
#include "hv/inject.h"
#include "hv/memory/guest_walk.h"
#include "hv/msr.h"
#include "hv/nested/nested.h"
#include "hv/port.h"
#include "hv/reset.h"
#include "hv/rip.h"
#include "hv/sgx/sgx.h"
#include "hv/vm.h"
#include "hv/watch.h"

namespace postern::hv {

class Vcpu {
public:
    /// The processor behind `port` is in VMX root operation and is this virtual processor's alone.
    /// `vm` has its memory. `number`: below Vm::vcpu_limit, also its APIC ID.
    Vcpu(Port& port, Vm& vm, unsigned number = 0)
        : port_{port}, vm_{vm}, number_{number}, apic_{port, vm} {
        vm.join(*this, number);
    }
    Vcpu(const Vcpu&) = delete;
    Vcpu& operator=(const Vcpu&) = delete;

    /// Builds and loads the VMCS. False: stop_report() says why; the watcher has been told.
    [[nodiscard]] bool start(const StartState& state);
    /// The same, as INIT leaves a processor other than the first: it waits for a start-up message.
    [[nodiscard]] bool start_waiting();

    /// RESET, also of one that was stopped. Between exits only: not while run_once() has said
    /// `paused` and no exit has come since. False: stop_report() says why.
    [[nodiscard]] bool reset();
    /// RESET, and then what firmware and a boot loader leave, as start() and start_waiting() make
    /// it.
    [[nodiscard]] bool restart(const StartState& state);
    [[nodiscard]] bool restart_waiting();

    /// Runs the guest to its next exit and handles that.
    [[nodiscard]] Next run_once();

    [[nodiscard]] unsigned number() const { return number_; }
    [[nodiscard]] u16 vpid() const { return static_cast<u16>(vm_.config().vpid + number_); }
    /// Of the guest that its guest runs.
    [[nodiscard]] u16 vpid02() const { return static_cast<u16>(vpid() + Vm::vcpu_limit); }
    /// What RDTSC gives the guest: Port::tsc() and VmcsField::tsc_offset.
    [[nodiscard]] u64 guest_tsc();
    /// False: halted, or never started, and nothing that would wake it is waiting.
    [[nodiscard]] bool wants_to_run();

    /// What a snapshot saves, beside the processor (its VMCS included) and the memory. It is too
    /// large to be returned. Between two calls of run_once.
    struct State;
    void save(State& to) const;
    /// Instead of a start, into a virtual processor with the same number and configuration, whose
    /// processor and memory are what they were. False: it is none that save() gives, and nothing is
    /// changed.
    [[nodiscard]] bool restore(const State& from);

    /// An external interrupt for the guest that does not come through its local APIC: delivered
    /// as soon as it can take one. False: one before is still waiting.
    bool queue_interrupt(u8 vector);

    [[nodiscard]] const VirtualApic& apic() const { return apic_; }
    [[nodiscard]] const Nested& nested() const { return nested_; }
    /// Since start().
    [[nodiscard]] bool has_apic() const { return apic_.state().page != 0; }
    /// A message from others. False: it is not taken.
    bool receive(const ApicMessage& message);
    /// The wire from the 8259s.
    void set_external(bool level);
    /// Its local APIC is where the APIC-access page can be.
    [[nodiscard]] bool uses_apic_page() const;

    /// Sets the guest's interruptibility state from outside, as a restore does. Blocking by
    /// MOV SS beside enclave interruption would fail the next entry: refused.
    bool set_interruptibility(InterruptibilityState state);

    /// The one setter of the guest's RIP: false, and an anomaly, if the last exit was an
    /// enclave's and `cause` would pass over one of its instructions.
    bool set_rip(RipCause cause, u64 rip);

    /// Vm::forget, counted.
    bool forget(Gpa page) {
        const bool forgotten = vm_.forget(page);
        if (forgotten) ++counters_.ept_forgets;
        return forgotten;
    }

    [[nodiscard]] const Counters& counters() const { return counters_; }
    [[nodiscard]] const ExitRecord& last_exit() const { return record_; }
    [[nodiscard]] const StopReport& stop_report() const { return stop_; }
    [[nodiscard]] GuestRegisters& registers() { return registers_; }
    [[nodiscard]] const GuestRegisters& registers() const { return registers_; }
    [[nodiscard]] Vm& vm() { return vm_; }

    struct LastEnclaveExit {
        u64 aep = 0, tcs = 0, qualification = 0, guest_physical = 0, tsc = 0;
        u32 raw_reason = 0;
        u32 repeats = 0;
    };
    /// Of its local APIC: what the VMCS was told last.
    struct ApicV {
        u32 tpr_shadow = 0, whole = 0;  // whole: the page is the processor's to work on
        u32 tpr_threshold = 0;
        apic::Vectors eoi_exits{};
    };

private:
    friend class Exit;
    friend class NormalExit;
    friend class EnclaveExit;
    friend class EnclaveDelivery;
    friend struct MsrAccess;
    friend class EnclsTrap;
    friend class Emulator;
    friend class OperandMemory;
    friend class Nested;
    friend class VmxInstruction;

    struct Retries {
        u64 rip = 0;
        unsigned count = 0;
    };

    // vmcs.cpp: the state a guest starts with
    bool load_vmcs();
    bool write_controls();
    bool write_control(VmcsField field, u32 wanted, Msr plain, Msr true_msr, const char* what);
    [[nodiscard]] bool allowed(SecondaryControl control);
    [[nodiscard]] PrimaryControls primary_wanted() const;
    [[nodiscard]] SecondaryControls secondary_wanted();
    void write_host_state();
    bool build();
    void write_guest_state(const GuestState& state);
    void write_segment(unsigned index, const Segment& segment);

    // reset.cpp. No caller has a GuestState on its stack: it is large.
    void take_start_state(const StartState& start);
    void take_init_state(u64 cr0_before);
    void take_reset_state();
    // By the local APIC, between exits.
    void reset_by_init();
    void start_up(u8 vector);
    void forget_events();
    void forget_run();
    [[nodiscard]] u32 signature();

    // control_registers.cpp: what MOV to a control register does. False: #GP(0).
    [[nodiscard]] u64 seen_cr0();
    [[nodiscard]] u64 seen_cr4();
    [[nodiscard]] ControlRegisters control_registers();
    [[nodiscard]] bool write_cr0(u64 value);
    [[nodiscard]] bool write_cr3(u64 value);
    [[nodiscard]] bool write_cr4(u64 value);
    void store_cr0(Cr0Word value);
    void store_cr4(u64 value);
    /// The bits of CR4 that the guest has.
    [[nodiscard]] u64 offered_cr4();
    /// After VMXON and VMXOFF: what is fixed in VMX operation is ours to hold.
    void agree_about_fixed_bits();
    void store_efer(EferWord efer);
    [[nodiscard]] bool load_pdptes(u64 cr3);

    // msr.cpp
    bool write_msr_bitmap();
    void take_over_msrs();
    void write_tsc_offset();
    [[nodiscard]] u64 tsc_of_l1();
    /// The bits above the processor's physical addresses.
    [[nodiscard]] u64 beyond_physical();

    // sgx/vcpu.cpp
    [[nodiscard]] bool start_sgx();
    /// False: the VMCS has it already, or there is none.
    bool write_encls_bitmap();

    // vcpu.cpp: the step
    Next handle(Capture& capture);
    Next dispatch(const Capture& capture);
    Next failed_entry(const Capture& capture);
    void begin_record(const Capture& capture);
    [[nodiscard]] u64 secs_of(u64 tcs);
    void end_record();
    void watch_for_livelock(const Capture& capture);
    void report(Anomaly anomaly);
    Next report_stop();
    Next stop(StopReason reason, const char* what = nullptr, u64 detail = 0);

    // apic/: the local APIC, and what a processor does while it does not run
    void choose_apicv();
    [[nodiscard]] PrimaryControls primary_for_apic() const;
    [[nodiscard]] SecondaryControls secondary_for_apic() const;
    [[nodiscard]] bool start_apic();
    [[nodiscard]] bool agree_about_apic_mode();
    void write_eoi_exits(const apic::Vectors& level_triggered);
    [[nodiscard]] u32 tpr_threshold() const;
    void write_interrupt_status(u64 status);
    void hand_over_apic();
    void take_over_apic();
    [[nodiscard]] bool write_apic_base(u64 value);
    [[nodiscard]] bool device_read(Gpa address, unsigned size, u64& value);
    bool device_write(Gpa address, unsigned size, u64 value);
    void call_out();
    [[nodiscard]] bool interrupt_waits() const;
    [[nodiscard]] bool init_waits() const;  // and is not blocked
    [[nodiscard]] bool wake_up();
    [[nodiscard]] Next fall_asleep();
    void arm_timer();

    // inject.cpp
    Next inject(const Event& event);
    void take_debug_status(u64 qualification);
    void requeue(const Capture& capture);
    [[nodiscard]] bool can_take(const Event& event);
    [[nodiscard]] bool debug_trap_is_due();
    [[nodiscard]] bool protected_mode();
    [[nodiscard]] InterruptionInformation entry_word(const Event& event);
    Next settle_event(Next next, const Capture& capture);
    void postpone(const Event& event);
    [[nodiscard]] Event next_event();
    [[nodiscard]] bool asks_for_entry() const;
    [[nodiscard]] u8 take_interrupt();
    void ask_for_windows();
    void before_entry();
    void keep_nmis_blocked(const Capture& capture);
    void agree_about_single_step();
    void write_entry_event(const Event& event);

    // rip.cpp
    bool skip(u32 length, RipCause cause);
    void end_interrupt_shadow();
    void trap_if_stepping(Rflags flags);
    /// Of the image that the delivery of a fault pushes.
    void set_resume_flag();

    // emulate.cpp
    [[nodiscard]] CodeSize code_size();
    [[nodiscard]] unsigned physical_bits();
    /// The guest's own page tables: what translates its linear addresses.
    [[nodiscard]] PagingRegisters paging_registers();
    /// False: the instruction at `rip` has been let run again so often without being carried out.
    [[nodiscard]] bool may_retry(u64 rip, unsigned at_most);
    [[nodiscard]] u64 read_device(Gpa address, unsigned size);
    void write_device(Gpa address, unsigned size, u64 value);
    [[nodiscard]] u32 read_port(u16 number, unsigned size);
    void write_port(u16 number, unsigned size, u32 value);

    [[nodiscard]] u64 read_gpr(Gpr gpr);
    void write_gpr(Gpr gpr, u64 value);
    [[nodiscard]] u32 read32(VmcsField field) { return static_cast<u32>(port_.vmread(field)); }
    [[nodiscard]] InterruptibilityState interruptibility() {
        return InterruptibilityState::from_raw(read32(VmcsField::guest_interruptibility_state));
    }
    void act(Action action) { record_.action = action; }

    Port& port_;
    Vm& vm_;
    unsigned number_;
    GuestRegisters registers_;
    Counters counters_;
    ExitRecord record_;
    StopReport stop_;
    Event pending_;  // for the next entry
    LastEnclaveExit last_enclave_exit_;
    Retries retries_;             // of an instruction that was not the one that exited
    unsigned physical_bits_ = 0;  // 0: not asked yet
    Emulator emulator_{*this};
    ExitKind current_ = ExitKind::normal;
    u64 cr2_at_exit_ = 0;
    bool launched_ = false;
    bool running_ = false;  // the last enter() came back without an exit
    bool injected_on_entry_ = false;
    bool entry_field_set_ = false;
    VirtualMsrs msrs_;
    SgxVcpu sgx_;
    Nested nested_{*this, port_, vm_};
    VirtualApic apic_;
    ApicV apicv_;
    PrimaryControls windows_;  // asked for
    u64 armed_ = VirtualApic::never;
    // Of VMCS01, which nobody else writes; the processor does while L1 runs.
    static constexpr u64 unknown_status = ~u64{0};
    u64 interrupt_status_ = unknown_status;
};

struct Vcpu::State {
    GuestRegisters registers;
    Counters counters;
    ExitRecord record;
    Event pending;
    u32 reserved = 0;
    LastEnclaveExit last_enclave_exit;
    VirtualMsrs msrs;
    SgxVcpu sgx;
    Nested::State nested;
    ShadowEpt::State shadow_ept;
    VirtualApic::State apic;
    ApicV apicv;
    PrimaryControls windows;
    u64 armed = VirtualApic::never;
    u64 stop_detail = 0;
    u32 number = 0;
    StopReason stop_reason = StopReason::none;  // its text is not kept
    ExitKind current = ExitKind::normal;
    u8 launched = 0;
    u8 running = 0;
    u8 injected_on_entry = 0;
    u8 entry_field_set = 0;
    std::array<u8, 6> unused{};
};
static_assert(std::is_trivially_copyable_v<Vcpu::State> && std::is_standard_layout_v<Vcpu::State>);
static_assert(std::has_unique_object_representations_v<Vcpu::State>);

}  // namespace postern::hv
