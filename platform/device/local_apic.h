// SPDX-License-Identifier: Apache-2.0
// The local APIC of one processor: xAPIC page, x2APIC MSRs, priorities, and the timer (one-shot,
// periodic, TSC deadline; a crystal of 25 MHz against a TSC of 1 GHz). It talks to others through
// the network; without one an IPI to anyone but itself reaches nobody.
#pragma once

#include <array>
#include <type_traits>

#include "arch/apic.h"
#include "cpu/cpu.h"
#include "platform/bus.h"
#include "platform/device/pic.h"
#include "platform/layout.h"

namespace postern::platform {

class ApicNetwork;

class LocalApic final : public Device, public cpu::InterruptController, public Pic::Output {
public:
    static constexpr u64 never = ~u64{0};
    static constexpr u64 tick = apic::timer_tick;

    using Vectors = apic::Vectors;

    struct State {
        Vectors in_service{};
        Vectors trigger_mode{};
        Vectors requested{};
        u32 id = 0;
        u32 task_priority = 0;
        u32 logical_destination = 0;
        u32 destination_format = ~u32{0};
        u32 spurious = 0xff;
        u32 error_status = 0;        // as the last write of ESR left it
        u32 errors = 0;              // since then
        u32 external_level = 0;      // LINT0
        u32 nmi_level = 0;           // LINT1
        u32 external_requested = 0;  // by a message
        u64 interrupt_command = 0;
        u32 lvt_timer = 0x1'0000;
        u32 lvt_thermal = 0x1'0000;
        u32 lvt_performance = 0x1'0000;
        u32 lvt_lint0 = 0x1'0000;
        u32 lvt_lint1 = 0x1'0000;
        u32 lvt_error = 0x1'0000;
        u32 initial_count = 0;
        u32 divide = 0;
        u64 timer_due = never;  // absolute time at which the count reaches 0
        u64 tsc_deadline = 0;   // as written; 0: disarmed
    };
    static_assert(std::is_standard_layout_v<State> && std::is_trivially_copyable_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);

    /// The processor gives the time and IA32_APIC_BASE, and must outlive the APIC.
    explicit LocalApic(cpu::Cpu& processor, ApicNetwork* network = nullptr);
    /// The 8259s' INT output is its LINT0, and their vectors are what ExtINT means.
    void connect(Pic& pic);
    /// As firmware leaves the first processor's: on, LINT0 ExtINT, LINT1 NMI. MultiProcessor
    /// Specification, "Virtual Wire Mode".
    void set_virtual_wire();

    [[nodiscard]] std::span<const MmioRange> mmio() const override { return {&range, 1}; }
    u64 mmio_read(u64 offset, unsigned size) override;
    void mmio_write(u64 offset, unsigned size, u64 value) override;

    int pending_vector(u64 now) override;
    void acknowledge(u8 vector) override;
    void end_of_interrupt() override;
    [[nodiscard]] u64 next_event() const override { return state_.timer_due; }
    [[nodiscard]] u8 task_priority() const override;
    void set_task_priority(u8 cr8) override;
    u64 read_msr(u32 msr, u64 now, bool& fault) override;
    bool write_msr(u32 msr, u64 value, u64 now) override;
    [[nodiscard]] bool can_be_moved() const override { return network_ != nullptr; }
    void base_written(u64 before) override;
    void init_reset() override;

    void set_external(bool level) override;  // LINT0
    void set_nmi(bool level);                // LINT1

    [[nodiscard]] bool is_addressed(const ApicMessage& message) const;
    [[nodiscard]] bool accepts_fixed() const { return globally_enabled() && enabled(); }
    [[nodiscard]] u32 processor_priority() const;
    /// A message for this processor. False: it is not taken.
    bool receive(const ApicMessage& message);
    /// A fixed interrupt arrives, by an edge. Vectors below 16 are errors of the sender.
    void request(u8 vector) { accept(vector, false); }

    /// Where its processor sees the registers.
    [[nodiscard]] u64 base() const;

    [[nodiscard]] const State& state() const { return state_; }
    void restore(const State& state) { state_ = state; }

private:
    u32 read_register(u32 index, u64 now);
    void write_register(u32 index, u32 value, u64 now);
    void write_spurious(u32 value);
    void write_lvt_timer(u32 value);
    void start_timer(u32 count, u64 now);
    void arm_deadline(u64 deadline, u64 now);
    void accept(u8 vector, bool level);
    void start_up(u8 vector);
    void send(u64 command);
    void deliver(const ApicMessage& message);
    void raise_error(u32 error);
    void local_interrupt(u32 entry);
    [[nodiscard]] int external_vector() const;
    void catch_up(u64 now);
    [[nodiscard]] u32 current_count(u64 now) const;
    [[nodiscard]] u64 tick_length() const;
    [[nodiscard]] apic::TimerMode timer_mode() const;
    [[nodiscard]] u32* local_vector(u32 index);
    [[nodiscard]] bool enabled() const { return (state_.spurious & 0x100) != 0; }
    [[nodiscard]] bool globally_enabled() const;
    [[nodiscard]] bool x2apic() const;

    static constexpr MmioRange range{local_apic_base, page_size};
    State state_;
    cpu::Cpu* processor_;
    ApicNetwork* network_;
    Pic* pic_ = nullptr;
};

}  // namespace postern::platform
