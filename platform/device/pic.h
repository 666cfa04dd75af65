// SPDX-License-Identifier: Apache-2.0
// The two 8259As of a PC, the second on the first one's request 2, with the edge/level registers
// at 4d0H and 4d1H. What takes their interrupts is the local APIC's LINT0.
#pragma once

#include <array>
#include <type_traits>

#include "platform/bus.h"
#include "platform/device/port_window.h"

namespace postern::platform {

/// One 8259A. Intel, 8259A data sheet.
class InterruptChip {
public:
    struct State {
        u8 requested = 0;  // IRR
        u8 lines = 0;      // as they are
        u8 mask = 0;
        u8 in_service = 0;
        u8 level_triggered = 0;  // the edge/level register
        u8 vector_base = 0;
        u8 lowest = 7;      // the request of lowest priority; 7: 0 is the highest
        u8 next_word = 0;   // the initialization word expected at the odd port; 0: none
        u8 single = 0;      // ICW1: no ICW3
        u8 needs_icw4 = 0;  // ICW1
        u8 automatic_end = 0;
        u8 rotates_automatically = 0;
        u8 special_mask = 0;
        u8 fully_nested_specially = 0;
        u8 reads_in_service = 0;
        u8 polled = 0;  // the next read is an acknowledgement
    };
    static_assert(std::is_standard_layout_v<State> && std::is_trivially_copyable_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);

    explicit InterruptChip(u8 level_capable) : level_capable_{level_capable} {}

    void set_line(unsigned line, bool level);
    /// The request that asks for service now, or -1.
    [[nodiscard]] int pending() const;
    /// The request is taken: the vector, and what follows from the mode.
    void take(unsigned request);
    [[nodiscard]] u8 vector(unsigned request) const {
        return static_cast<u8>(state_.vector_base + request);
    }

    void write_even(u8 value);  // ICW1, OCW2, OCW3
    void write_odd(u8 value);   // ICW2 to ICW4, OCW1
    u8 read(bool odd);

    [[nodiscard]] u8 levels() const { return state_.level_triggered; }
    void set_levels(u8 value);

    [[nodiscard]] const State& state() const { return state_; }
    void restore(const State& state) { state_ = state; }

private:
    void initialize(u8 word1);
    void end_of_interrupt(u8 word);
    [[nodiscard]] unsigned rank(unsigned request) const {
        return (request - state_.lowest - 1) & 7;
    }
    [[nodiscard]] int foremost(u8 requests) const;
    u8 poll();

    State state_;
    u8 level_capable_;
};

class Pic {
public:
    static constexpr u16 first_ports = 0x20;
    static constexpr u16 second_ports = 0xa0;
    static constexpr u16 edge_level_ports = 0x4d0;
    static constexpr unsigned cascade = 2;

    struct State {
        InterruptChip::State first;
        InterruptChip::State second;
    };
    static_assert(std::is_standard_layout_v<State> && std::is_trivially_copyable_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);

    /// Hears the level of the first chip's INT output when it may have changed.
    class Output {
    public:
        virtual void set_external(bool level) = 0;

    protected:
        ~Output() = default;
    };

    Pic() = default;
    Pic(const Pic&) = delete;
    Pic& operator=(const Pic&) = delete;

    [[nodiscard]] bool attach(Bus& bus);
    void connect(Output& output) { output_ = &output; }

    /// Lines 0 to 15; 2 is the second chip's.
    void set_line(unsigned line, bool level);
    [[nodiscard]] bool output() const { return chips_[0].pending() >= 0; }
    /// The vector that an acknowledgement would give now.
    [[nodiscard]] u8 vector() const;
    /// INTA. Where nothing asks any more it gives the spurious interrupt 7.
    u8 acknowledge();

    u32 read_port(u16 port, unsigned size);
    void write_port(u16 port, unsigned size, u32 value);

    [[nodiscard]] State state() const { return {chips_[0].state(), chips_[1].state()}; }
    void restore(const State& state);

private:
    [[nodiscard]] u8 read_byte(u16 port);
    void write_byte(u16 port, u8 value);
    void update();

    std::array<InterruptChip, 2> chips_{InterruptChip{0xf8}, InterruptChip{0xde}};
    Output* output_ = nullptr;
    std::array<PortWindow<Pic>, 3> windows_{PortWindow<Pic>{*this, {first_ports, 2}},
                                            PortWindow<Pic>{*this, {second_ports, 2}},
                                            PortWindow<Pic>{*this, {edge_level_ports, 2}}};
};

}  // namespace postern::platform
