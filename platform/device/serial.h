// SPDX-License-Identifier: Apache-2.0
// A 16550A serial port. Bytes leave at once, so the transmitter is always empty; received bytes
// wait in a FIFO of 16. The interrupt line is a level that whoever owns an interrupt controller
// may ask for, or be told. With a clock there is also the FIFO's time-out.
#pragma once

#include <array>
#include <type_traits>

#include "platform/bus.h"
#include "platform/device/sink.h"

namespace postern::platform {

class Serial final : public Device {
public:
    static constexpr u16 com1 = 0x3f8;
    static constexpr unsigned com1_line = 4;
    static constexpr unsigned fifo_size = 16;
    static constexpr u64 never = ~u64{0};

    /// How it is connected to a PC; null: not.
    struct Wiring {
        const Clock* clock = nullptr;
        InterruptLines* lines = nullptr;
        unsigned line = com1_line;
    };

    struct State {
        u8 interrupt_enable = 0;
        u8 line_control = 0;
        u8 modem_control = 0;
        u8 scratch = 0;
        u8 divisor_low = 1;
        u8 divisor_high = 0;
        u8 fifo_enabled = 0;
        u8 fifo_trigger = 1;
        u8 overrun = 0;
        u8 transmitter_empty_pending = 0;  // THRE interrupt not yet acknowledged
        u8 fifo_first = 0;
        u8 fifo_count = 0;
        std::array<u8, fifo_size> fifo{};
        u8 timed_out = 0;  // bytes have waited too long below the trigger level
        std::array<u8, 3> unused{};
        u64 timeout_due = never;  // absolute time at which they will have
    };
    static_assert(std::is_standard_layout_v<State> && std::is_trivially_copyable_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);

    explicit Serial(Sink& sink, u16 base = com1) : sink_{&sink}, range_{base, 8} {}
    Serial(Sink& sink, const Wiring& wiring, u16 base = com1)
        : sink_{&sink}, wiring_{wiring}, range_{base, 8} {}

    [[nodiscard]] std::span<const PortRange> ports() const override { return {&range_, 1}; }
    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;
    [[nodiscard]] u64 next_event() const override { return state_.timeout_due; }
    void advance(u64 now) override;

    /// A byte arrives on the line; lost (overrun) if the FIFO is full.
    void receive(u8 byte);
    [[nodiscard]] bool interrupt() const;

    [[nodiscard]] const State& state() const { return state_; }
    void restore(const State& state) { state_ = state; }
    static bool plausible(const State& state) {
        return state.fifo_first < fifo_size && state.fifo_count <= fifo_size;
    }

private:
    [[nodiscard]] u8 read_register(u16 offset);
    void write_register(u16 offset, u8 value);
    [[nodiscard]] u8 interrupt_identification() const;
    [[nodiscard]] u8 read_identification();
    [[nodiscard]] u8 read_line_status();
    [[nodiscard]] u8 modem_status() const;
    [[nodiscard]] bool divisor_selected() const { return (state_.line_control & 0x80) != 0; }
    u8 take();
    void transmit(u8 byte);
    void control_fifo(u8 value);
    void restart_timeout();
    [[nodiscard]] u64 character_time() const;
    void update_line();

    State state_;
    Sink* sink_;
    Wiring wiring_;
    PortRange range_;
};

}  // namespace postern::platform
