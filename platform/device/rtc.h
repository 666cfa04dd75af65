// SPDX-License-Identifier: Apache-2.0
// The real-time clock and its CMOS memory: an MC146818A at ports 70H and 71H, interrupt request 8.
// Its time is a start date plus the machine's time.
#pragma once

#include <array>
#include <type_traits>

#include "platform/bus.h"
#include "platform/device/oscillator.h"
#include "platform/layout.h"

namespace postern::platform {

/// 2024-01-01 00:00:00 UTC, in seconds since 1970.
inline constexpr u64 rtc_start_default = 1'704'067'200;

class Rtc final : public Device {
public:
    static constexpr u16 base = 0x70;
    static constexpr unsigned line = 8;
    static constexpr u8 century_index = 0x32;  // as the FADT says
    static constexpr u64 never = ~u64{0};

    struct State {
        std::array<u8, 128> memory{};
        u64 second_zero = 0;  // machine time at which the divider last began a second
        u64 seconds = 0;      // since 1970, at second_zero
        u64 seen = 0;         // machine time up to which the flags of register C are right
        u64 alarm_due = never;
        u8 index = 0;
        u8 flags = 0;  // register C without IRQF
        u8 held = 0;   // the divider is held in reset: second_zero means nothing
        std::array<u8, 5> unused{};
    };
    static_assert(std::is_standard_layout_v<State> && std::is_trivially_copyable_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);

    /// `layout` is what the memory-size bytes tell.
    Rtc(const Clock& clock, InterruptLines& lines, const Layout& layout,
        u64 start = rtc_start_default);

    [[nodiscard]] std::span<const PortRange> ports() const override { return {&range, 1}; }
    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;
    [[nodiscard]] u64 next_event() const override;
    void advance(u64 now) override;

    /// Its RESET pin: nothing asks for an interrupt. Clock and memory have a battery.
    void reset();

    [[nodiscard]] const State& state() const { return state_; }
    void restore(const State& state) { state_ = state; }
    static bool plausible(const State& state) { return state.index < state.memory.size(); }

private:
    [[nodiscard]] u8 read_register(u64 now);
    void write_register(u8 value, u64 now);
    void write_divider(u8 value, u64 now);
    void write_control(u8 value, u64 now);
    [[nodiscard]] bool runs() const;  // the divider does, and updates are not held back
    [[nodiscard]] u64 seconds_at(u64 now) const;
    [[nodiscard]] bool updating(u64 now) const;
    [[nodiscard]] u64 next_second(u64 now) const;
    [[nodiscard]] u64 next_period(u64 now) const;
    void store_time(u64 seconds);
    [[nodiscard]] u64 stored_time() const;
    [[nodiscard]] u8 encode(u32 value) const;
    [[nodiscard]] u32 decode(u8 value) const;
    [[nodiscard]] u8 encode_hour(u32 hour) const;
    [[nodiscard]] u32 decode_hour(u8 value) const;
    [[nodiscard]] bool is_alarm(u64 seconds) const;
    void plan_alarm(u64 now);
    void catch_up(u64 now);
    void update_line();

    static constexpr PortRange range{base, 2};
    Oscillator crystal_{32'768};
    State state_;
    const Clock* clock_;
    InterruptLines* lines_;
};

}  // namespace postern::platform
