// SPDX-License-Identifier: Apache-2.0
// The local APIC of one processor: xAPIC page, x2APIC MSRs, priorities, and the timer (one-shot,
// periodic, TSC deadline; a crystal of 25 MHz against a TSC of 1 GHz). It does not know other
// processors: an IPI to anyone but itself reaches nobody.
#pragma once

#include <array>
#include <type_traits>

#include "cpu/cpu.h"
#include "platform/bus.h"
#include "platform/layout.h"

namespace postern::platform {

class LocalApic final : public Device, public cpu::InterruptController {
public:
    static constexpr u64 never = ~u64{0};
    static constexpr u64 tick = 40;  // nanoseconds of the 25 MHz crystal

    using Vectors = std::array<u32, 8>;  // a bit for each vector

    struct State {
        Vectors in_service{};
        Vectors trigger_mode{};
        Vectors requested{};
        u32 id = 0;
        u32 task_priority = 0;
        u32 logical_destination = 0;
        u32 destination_format = ~u32{0};
        u32 spurious = 0xff;
        u32 error_status = 0;
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

    /// The processor gives the time and IA32_APIC_BASE, and must outlive the APIC.
    explicit LocalApic(const cpu::Cpu& processor);

    [[nodiscard]] std::span<const MmioRange> mmio() const override { return {&range, 1}; }
    u64 mmio_read(u64 offset, unsigned size) override;
    void mmio_write(u64 offset, unsigned size, u64 value) override;

    int pending_vector(u64 now) override;
    void acknowledge(u8 vector) override;
    [[nodiscard]] u64 next_event() const override { return state_.timer_due; }
    [[nodiscard]] u8 task_priority() const override;
    void set_task_priority(u8 cr8) override;
    u64 read_msr(u32 msr, u64 now, bool& fault) override;
    bool write_msr(u32 msr, u64 value, u64 now) override;

    /// A fixed interrupt arrives. Vectors below 16 are errors of the sender.
    void request(u8 vector);

    [[nodiscard]] const State& state() const { return state_; }
    void restore(const State& state) { state_ = state; }

private:
    enum class TimerMode : u8 { one_shot, periodic, tsc_deadline, reserved };

    u32 read_register(u32 index, u64 now);
    void write_register(u32 index, u32 value, u64 now);
    void write_spurious(u32 value);
    void write_lvt_timer(u32 value);
    void start_timer(u32 count, u64 now);
    void send(u64 command);
    void end_of_interrupt();
    void catch_up(u64 now);
    [[nodiscard]] u32 current_count(u64 now) const;
    [[nodiscard]] u64 tick_length() const;
    [[nodiscard]] TimerMode timer_mode() const;
    [[nodiscard]] u32 processor_priority() const;
    [[nodiscard]] u32* local_vector(u32 index);
    [[nodiscard]] bool enabled() const { return (state_.spurious & 0x100) != 0; }
    [[nodiscard]] bool globally_enabled() const;
    [[nodiscard]] bool x2apic() const;

    static constexpr MmioRange range{local_apic_base, page_size};
    State state_;
    const cpu::Cpu* processor_;
};

}  // namespace postern::platform
