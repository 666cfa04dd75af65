// SPDX-License-Identifier: Apache-2.0
// The 8254 timer of a PC: channel 0 is interrupt request 0, channel 2 the speaker's, gated by
// port 61H. Channel 1 refreshed memory once and only counts.
#pragma once

#include <algorithm>
#include <array>
#include <type_traits>

#include "platform/bus.h"
#include "platform/device/oscillator.h"
#include "platform/device/port_window.h"

namespace postern::platform {

/// One counter, in ticks of its own crystal.
class TimerChannel {
public:
    static constexpr u64 never = ~u64{0};

    struct State {
        u64 start = never;       // tick at which the count was loaded; never: no count yet
        u64 next_start = never;  // tick at which next_count takes over
        u64 stopped_at = never;  // by its gate
        u32 count = 0;           // 1 to 10000H
        u32 next_count = 0;
        u16 latched = 0;
        u8 mode = 0;    // 0 to 5
        u8 access = 3;  // 1 low byte, 2 high byte, 3 both
        u8 bcd = 0;
        u8 gate = 1;
        u8 written_low = 0;  // waits for its high byte
        u8 writes_high = 0;
        u8 reads_high = 0;
        u8 latched_bytes = 0;  // of `latched` still to be read
        u8 status = 0;
        u8 status_latched = 0;
        std::array<u8, 4> unused{};
    };
    static_assert(std::is_standard_layout_v<State> && std::is_trivially_copyable_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);

    void write_control(u8 word);
    void write_count(u8 byte, u64 tick);
    u8 read(u64 tick);
    void latch_count(u64 tick);
    void latch_status(u64 tick);
    void set_gate(bool gate, u64 tick);

    [[nodiscard]] bool output(u64 tick) const;
    /// The first tick after `tick` at which the output differs, or never.
    [[nodiscard]] u64 next_change(u64 tick) const;

    [[nodiscard]] const State& state() const { return state_; }
    void restore(const State& state) { state_ = state; }
    /// A count that runs, or will, divides.
    static bool plausible(const State& state) {
        return (state.start == never || state.count != 0) &&
               (state.next_start == never || state.next_count != 0);
    }

private:
    void load(u32 count, u64 tick);
    void settle(u64 tick);
    [[nodiscard]] bool periodic() const { return state_.mode == 2 || state_.mode == 3; }
    [[nodiscard]] u64 elapsed(u64 tick) const;
    [[nodiscard]] u16 counter(u64 tick) const;

    State state_;
};

class Pit {
public:
    static constexpr u16 first_port = 0x40;
    static constexpr u16 control_port = 0x43;
    static constexpr u16 speaker_port = 0x61;
    static constexpr unsigned line = 0;
    static constexpr u64 hertz = 1'193'182;

    struct State {
        std::array<TimerChannel::State, 3> channels;
        u64 seen = 0;    // tick up to which the line has followed channel 0
        u8 speaker = 0;  // port 61H, bits 3 to 0
        std::array<u8, 7> unused{};
    };
    static_assert(std::is_standard_layout_v<State> && std::is_trivially_copyable_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);

    /// Channel 0's output is high, as firmware's square wave leaves it; nothing counts.
    Pit(const Clock& clock, InterruptLines& lines);
    Pit(const Pit&) = delete;
    Pit& operator=(const Pit&) = delete;

    [[nodiscard]] bool attach(Bus& bus);
    [[nodiscard]] u64 next_event() const { return next_event_; }
    void advance(u64 now);

    u32 read_port(u16 port, unsigned size);
    void write_port(u16 port, unsigned size, u32 value);

    [[nodiscard]] State state() const;
    void restore(const State& state);
    static bool plausible(const State& state) {
        return std::ranges::all_of(state.channels, &TimerChannel::plausible);
    }

private:
    [[nodiscard]] u8 read_byte(u16 port, u64 tick);
    void write_byte(u16 port, u8 value, u64 tick);
    void read_back(u8 word, u64 tick);
    void catch_up(u64 tick);
    void plan();
    [[nodiscard]] u8 speaker(u64 tick) const;

    Oscillator crystal_{hertz};
    const Clock* clock_;
    InterruptLines* lines_;
    std::array<TimerChannel, 3> channels_;
    u64 seen_ = 0;
    u64 next_event_ = TimerChannel::never;
    u8 speaker_ = 0;
    std::array<PortWindow<Pit>, 2> windows_{PortWindow<Pit>{*this, {first_port, 4}},
                                            PortWindow<Pit>{*this, {speaker_port, 1}}};
};

}  // namespace postern::platform
