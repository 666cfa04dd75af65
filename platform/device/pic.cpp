// SPDX-License-Identifier: Apache-2.0
// The 8259A's words and priorities. Intel, 8259A data sheet, "Programming the 8259A".
#include "platform/device/pic.h"

namespace postern::platform {

namespace {

constexpr u8 bit_of(unsigned request) { return static_cast<u8>(1u << (request & 7)); }
constexpr u8 without(u8 set, unsigned request) { return static_cast<u8>(set & ~bit_of(request)); }

constexpr unsigned spurious = 7;

}  // namespace

/// A request must stay until it is acknowledged, with edges too.
void InterruptChip::set_line(unsigned line, bool level) {
    const u8 mask = bit_of(line);
    const bool before = (state_.lines & mask) != 0;
    const bool by_level = (state_.level_triggered & mask) != 0;
    state_.lines = level ? state_.lines | mask : without(state_.lines, line);
    if (!level)
        state_.requested = without(state_.requested, line);
    else if (by_level || !before)
        state_.requested |= mask;
}

void InterruptChip::set_levels(u8 value) {
    state_.level_triggered = value & level_capable_;
    state_.requested |= state_.lines & state_.level_triggered;
}

int InterruptChip::foremost(u8 requests) const {
    for (unsigned i = 1; i <= 8; ++i) {
        const unsigned request = (state_.lowest + i) & 7;
        if ((requests & bit_of(request)) != 0) return static_cast<int>(request);
    }
    return -1;
}

int InterruptChip::pending() const {
    if (state_.next_word != 0) return -1;
    const int request = foremost(static_cast<u8>(state_.requested & ~state_.mask));
    if (request < 0) return -1;
    u8 in_service = state_.in_service;
    if (state_.special_mask != 0) in_service &= static_cast<u8>(~state_.mask);
    const int serving = foremost(in_service);
    if (serving < 0) return request;
    const unsigned asked = rank(static_cast<unsigned>(request));
    const unsigned held = rank(static_cast<unsigned>(serving));
    // Specially fully nested: the cascaded chip may ask again while it is being served.
    const bool again = state_.fully_nested_specially != 0 && request == 2;
    return asked < held || (again && asked == held) ? request : -1;
}

void InterruptChip::take(unsigned request) {
    const u8 mask = bit_of(request);
    if ((state_.level_triggered & mask) == 0) state_.requested = without(state_.requested, request);
    if (state_.automatic_end == 0)
        state_.in_service |= mask;
    else if (state_.rotates_automatically != 0)
        state_.lowest = static_cast<u8>(request & 7);
}

void InterruptChip::initialize(u8 word1) {
    State fresh;
    fresh.lines = state_.lines;
    fresh.level_triggered = state_.level_triggered;
    fresh.requested = state_.lines & state_.level_triggered;
    fresh.needs_icw4 = word1 & 1;
    fresh.single = word1 >> 1 & 1;
    fresh.next_word = 2;
    state_ = fresh;
}

/// OCW2: rotate, specific, end of interrupt, level.
void InterruptChip::end_of_interrupt(u8 word) {
    const bool rotates = (word & 0x80) != 0;
    const bool specific = (word & 0x40) != 0;
    const bool ends = (word & 0x20) != 0;
    if (!ends && !specific) {
        state_.rotates_automatically = rotates ? 1 : 0;
        return;
    }
    u8 in_service = state_.in_service;
    if (state_.special_mask != 0) in_service &= static_cast<u8>(~state_.mask);
    const int request = specific ? word & 7 : foremost(in_service);
    if (request < 0) return;
    if (ends) state_.in_service = without(state_.in_service, static_cast<unsigned>(request));
    if (rotates) state_.lowest = static_cast<u8>(request);
}

void InterruptChip::write_even(u8 value) {
    if ((value & 0x10) != 0) {
        initialize(value);
    } else if ((value & 0x08) == 0) {
        end_of_interrupt(value);
    } else {  // OCW3
        if ((value & 0x40) != 0) state_.special_mask = value >> 5 & 1;
        state_.polled = value >> 2 & 1;
        if ((value & 0x02) != 0) state_.reads_in_service = value & 1;
    }
}

void InterruptChip::write_odd(u8 value) {
    switch (state_.next_word) {
        case 2:
            state_.vector_base = value & 0xf8;
            state_.next_word = state_.single == 0 ? 3 : 4;
            break;
        case 3: state_.next_word = 4; break;  // the wiring is what it is
        case 4:
            state_.automatic_end = value >> 1 & 1;
            state_.fully_nested_specially = value >> 4 & 1;
            state_.next_word = 0;
            break;
        default: state_.mask = value; break;
    }
    if (state_.next_word == 4 && state_.needs_icw4 == 0) state_.next_word = 0;
}

u8 InterruptChip::poll() {
    state_.polled = 0;
    const int request = pending();
    if (request < 0) return 0;
    take(static_cast<unsigned>(request));
    return static_cast<u8>(0x80 | request);
}

u8 InterruptChip::read(bool odd) {
    if (state_.polled != 0) return poll();
    if (odd) return state_.mask;
    return state_.reads_in_service != 0 ? state_.in_service : state_.requested;
}

bool Pic::attach(Bus& bus) {
    bool complete = true;
    for (PortWindow<Pic>& window : windows_) complete = bus.attach(window, "pic") && complete;
    return complete;
}

void Pic::set_line(unsigned line, bool level) {
    chips_[line / 8].set_line(line % 8, level);
    update();
}

void Pic::update() {
    chips_[0].set_line(cascade, chips_[1].pending() >= 0);
    if (output_ != nullptr) output_->set_external(output());
}

u8 Pic::vector() const {
    const int request = chips_[0].pending();
    if (request < 0) return chips_[0].vector(spurious);
    if (request != static_cast<int>(cascade))
        return chips_[0].vector(static_cast<unsigned>(request));
    const int second = chips_[1].pending();
    return chips_[1].vector(second < 0 ? spurious : static_cast<unsigned>(second));
}

u8 Pic::acknowledge() {
    const u8 given = vector();
    const int request = chips_[0].pending();
    if (request >= 0) chips_[0].take(static_cast<unsigned>(request));
    if (request == static_cast<int>(cascade)) {
        const int second = chips_[1].pending();
        if (second >= 0) chips_[1].take(static_cast<unsigned>(second));
        // Its INT falls at the acknowledgement, even if it asks for more at once.
        chips_[0].set_line(cascade, false);
    }
    update();
    return given;
}

u8 Pic::read_byte(u16 port) {
    if (port >= edge_level_ports) return chips_[port & 1].levels();
    const u8 value = chips_[port >= second_ports ? 1 : 0].read((port & 1) != 0);
    update();  // a poll acknowledges
    return value;
}

void Pic::write_byte(u16 port, u8 value) {
    if (port >= edge_level_ports)
        chips_[port & 1].set_levels(value);
    else if (InterruptChip& chip = chips_[port >= second_ports ? 1 : 0]; (port & 1) != 0)
        chip.write_odd(value);
    else
        chip.write_even(value);
    update();
}

u32 Pic::read_port(u16 port, unsigned size) {
    u32 value = static_cast<u32>(all_ones(size));
    for (unsigned i = 0; i < size && (port & 1) + i < 2; ++i) {
        value &= ~(u32{0xff} << (8 * i));
        value |= u32{read_byte(static_cast<u16>(port + i))} << (8 * i);
    }
    return value;
}

void Pic::write_port(u16 port, unsigned size, u32 value) {
    for (unsigned i = 0; i < size && (port & 1) + i < 2; ++i)
        write_byte(static_cast<u16>(port + i), static_cast<u8>(value >> (8 * i)));
}

void Pic::restore(const State& state) {
    chips_[0].restore(state.first);
    chips_[1].restore(state.second);
}

}  // namespace postern::platform
