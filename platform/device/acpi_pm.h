// SPDX-License-Identifier: Apache-2.0
// ACPI's fixed hardware: PM1a event and control registers, the 32-bit PM timer, SCI on request 9.
// No GPE block, no buttons; ACPI mode is always on. SLP_EN with S5's type powers off.
#pragma once

#include <type_traits>

#include "platform/bus.h"
#include "platform/device/oscillator.h"

namespace postern::platform {

class AcpiPm final : public Device {
public:
    static constexpr u16 base = 0x600;
    static constexpr u16 event_offset = 0;    // PM1a status, then enable
    static constexpr u16 control_offset = 4;  // PM1a control
    static constexpr u16 timer_offset = 8;
    static constexpr u16 block_size = 12;
    static constexpr unsigned line = 9;
    static constexpr u64 hertz = 3'579'545;
    static constexpr u8 sleep_type_s5 = 5;

    struct State {
        u64 seen = 0;  // ticks of the timer whose overflow has been noted
        u16 status = 0;
        u16 enable = 0;
        u16 control = 1;  // SCI_EN
        u16 unused = 0;
    };
    static_assert(std::is_standard_layout_v<State> && std::is_trivially_copyable_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);

    AcpiPm(const Clock& clock, InterruptLines& lines, Bus& bus)
        : clock_{&clock}, lines_{&lines}, bus_{&bus} {}

    [[nodiscard]] std::span<const PortRange> ports() const override { return {&range, 1}; }
    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;
    [[nodiscard]] u64 next_event() const override;
    void advance(u64 now) override;

    [[nodiscard]] const State& state() const { return state_; }
    void restore(const State& state) { state_ = state; }

private:
    [[nodiscard]] u8 read_byte(u16 offset, u32 timer) const;
    void write_control(u16 value);
    void catch_up(u64 now);
    void update_line();

    static constexpr PortRange range{base, block_size};
    Oscillator crystal_{hertz};
    State state_;
    const Clock* clock_;
    InterruptLines* lines_;
    Bus* bus_;
};

}  // namespace postern::platform
