// SPDX-License-Identifier: Apache-2.0
// The virtual local APIC of one virtual processor. Its registers lie in a page of physical memory
// laid out as the processor's virtual-APIC page, so that the processor can work on them itself;
// what has no register there is in State. Others (devices, virtual processors) only leave messages
// in State: the page is written by its own virtual processor alone, while its guest does not run.
#pragma once

#include <type_traits>
#include <utility>

#include "arch/apic.h"
#include "arch/msr.h"
#include "arch/vmx/interruptibility.h"
#include "base/address.h"

namespace postern::hv {

class Port;
class Vm;

class VirtualApic {
public:
    static constexpr u64 never = ~u64{0};

    struct State {
        u64 page = 0;           // physical address of the registers
        u64 base = 0;           // IA32_APIC_BASE
        u64 timer_due = never;  // one-shot and periodic: in ticks of the processor's TSC
        u64 tsc_deadline = 0;   // as written, in ticks of the guest's TSC; 0: disarmed
        u64 tsc_offset = 0;     // what the guest's TSC is ahead of the processor's
        apic::Vectors sent{};   // by others; not yet in the page
        apic::Vectors sent_by_level{};
        apic::Vectors waiting{};  // interrupts that are acknowledged, but not delivered
        u32 number = 0;           // of the virtual processor
        u32 lvt_timer = apic::lvt_masked;
        u32 initial_count = 0;
        u32 errors = 0;              // since the last write of ESR
        u32 external_level = 0;      // LINT0
        u32 external_requested = 0;  // by a message
        u32 nmi_pending = 0;
        u32 init_pending = 0;
        u32 start_up_pending = 0;
        u32 start_up_vector = 0;
        ActivityState activity = ActivityState::active;
        u32 reserved = 0;
    };
    static_assert(std::is_standard_layout_v<State> && std::is_trivially_copyable_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);

    /// How a WRMSR of IA32_APIC_BASE ended.
    enum class BaseWrite : u8 { done, fault, unimplemented };

    VirtualApic(Port& port, Vm& vm) : port_{port}, vm_{vm} {}
    VirtualApic(const VirtualApic&) = delete;
    VirtualApic& operator=(const VirtualApic&) = delete;

    /// As firmware leaves it: on; the first processor's listens to the 8259s, the others wait for
    /// a start-up message. False: `page` is no memory.
    [[nodiscard]] bool create(Hpa page, unsigned number);
    void init_reset();

    // For others. The processor may be at work on the page.
    [[nodiscard]] bool is_addressed(const ApicMessage& message) const;
    [[nodiscard]] bool accepts_fixed() const { return globally_enabled() && enabled(); }
    [[nodiscard]] u32 processor_priority() const;
    /// False: it is not taken.
    bool receive(const ApicMessage& message);
    void set_external(bool level);

    // For its own virtual processor, whose guest does not run.

    /// Time has passed, and messages may have come.
    void catch_up();
    /// The page is not as it was left: others than this object have changed requests or what is in
    /// service.
    void look_again();
    /// When the timer is due, in ticks of the processor's TSC.
    [[nodiscard]] u64 due() const;

    /// Of the page's requests the one that the priorities let through, or -1.
    [[nodiscard]] int deliverable() const;
    /// The request with the highest vector, whatever the priorities say, or -1.
    [[nodiscard]] int requested() const { return requested_; }
    [[nodiscard]] int in_service() const { return in_service_; }
    /// Of the acknowledged interrupts that wait the one in front, or -1.
    [[nodiscard]] int waiting() const { return waiting_; }
    [[nodiscard]] apic::Vectors level_triggered() const { return vectors(apic::reg_trigger_mode); }
    /// level_triggered() may be another than when this was asked before.
    [[nodiscard]] bool take_trigger_change() { return std::exchange(triggers_changed_, false); }
    /// A request is taken for delivery.
    void take(u8 vector);
    /// The delivery of what was taken last did not happen. False: it was not this vector.
    bool put_back(u8 vector);
    /// The 8259s ask, and are listened to.
    [[nodiscard]] bool external_asks() const {
        return state_.external_requested != 0 || (state_.external_level != 0 && hears_external());
    }
    u8 acknowledge_external();

    /// The registers are at `address`, in xAPIC mode.
    [[nodiscard]] bool claims(Gpa address) const;
    [[nodiscard]] u64 mmio_read(u32 offset, unsigned size);
    void mmio_write(u32 offset, u64 value);
    /// The processor has written to the page what the guest wrote to the register at `offset`.
    void written(u32 offset);
    /// The processor has ended this interrupt.
    void ended(u8 vector);
    /// One of IA32_APIC_BASE (to be read), IA32_TSC_DEADLINE, 800H to 8FFH. False: #GP(0).
    [[nodiscard]] bool read_msr(u32 msr, u64& value);
    [[nodiscard]] bool write_msr(u32 msr, u64 value);
    [[nodiscard]] BaseWrite write_base(u64 value, unsigned physical_bits, bool has_x2apic);

    [[nodiscard]] u64 cr8() const { return at(apic::reg_task_priority) >> 4 & 0xf; }
    void set_cr8(u64 value) { put(apic::reg_task_priority, static_cast<u32>(value & 0xf) << 4); }

    [[nodiscard]] bool globally_enabled() const { return base().has(ApicBase::global_enable); }
    [[nodiscard]] bool x2apic() const { return base().has(ApicBase::x2apic_enable); }
    /// In xAPIC mode, and its registers where they are at reset.
    [[nodiscard]] bool is_in_its_place() const;
    [[nodiscard]] ApicBaseWord base() const { return ApicBaseWord::from_raw(state_.base); }

    [[nodiscard]] const State& state() const { return state_; }
    /// The page is restored with the memory it lies in. False: it is no memory.
    [[nodiscard]] bool restore(const State& state);

    // What else of a virtual processor waits for an event.
    void set_activity(ActivityState activity) { state_.activity = activity; }
    void set_nmi_pending(bool pending) { state_.nmi_pending = pending ? 1 : 0; }
    void set_waiting(u8 vector, bool waits) {
        apic::assign(state_.waiting, vector, waits);
        waiting_ = apic::highest(state_.waiting);
    }
    void set_tsc_offset(u64 offset) { state_.tsc_offset = offset; }
    void drop_init() { state_.init_pending = 0; }
    void take_init();
    u8 take_start_up();

private:
    [[nodiscard]] u32 at(u32 index) const { return registers_[size_t{index} * 4]; }
    void put(u32 index, u32 value) { registers_[size_t{index} * 4] = value; }
    [[nodiscard]] apic::Vectors vectors(u32 first) const;
    void set_requested(u8 vector, bool on);
    void set_in_service(u8 vector, bool on);
    void assign(u32 first, u8 vector, bool on);
    void collect();
    [[nodiscard]] bool hears_external() const;

    [[nodiscard]] bool enabled() const {
        return (at(apic::reg_spurious) & apic::software_enable) != 0;
    }
    [[nodiscard]] u32 read_register(u32 index);
    void write_register(u32 index, u32 value);
    void write_spurious(u32 value);
    void write_lvt_timer(u32 value);
    void end_of_interrupt();
    void agree_about_identity();
    [[nodiscard]] u64 command() const;
    void put_command(u64 command);
    void send(u64 word);
    void request(u8 vector, bool level);
    void note_request(u8 vector, bool level);
    void raise_error(u32 error);
    void local_interrupt(u32 entry);

    void start_timer(u32 count);
    void arm_deadline(u64 deadline);
    void fire_timer(u64 now);
    [[nodiscard]] u32 current_count() const;
    [[nodiscard]] u64 tick_length() const { return apic::timer_tick_length(at(apic::reg_divide)); }
    [[nodiscard]] apic::TimerMode timer_mode() const {
        return apic::timer_mode_of(state_.lvt_timer);
    }

    Port& port_;
    Vm& vm_;
    u32* registers_ = nullptr;
    State state_;
    // What is found by a look at all vectors, kept. No snapshot has it: restore() looks again.
    int requested_ = -1;   // of the page
    int in_service_ = -1;  // of the page
    int waiting_ = -1;
    bool has_messages_ = false;  // State::sent may not be empty
    bool triggers_changed_ = false;
};

}  // namespace postern::hv
