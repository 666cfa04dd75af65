// SPDX-License-Identifier: Apache-2.0
// What a chip under test is connected to: a clock that stands where the test puts it, and wires
// that remember.
#pragma once

#include <array>
#include <vector>

#include "platform/bus.h"

namespace postern::platform {

struct TestClock final : Clock {
    [[nodiscard]] u64 now() const override { return time; }
    u64 time = 0;
};

struct TestLines final : InterruptLines {
    void set(unsigned line, bool level) override {
        if (level && !levels[line]) ++rises[line];
        levels[line] = level;
    }
    std::array<bool, 24> levels{};
    std::array<unsigned, 24> rises{};
};

/// Lets the chip do all that it wants to do up to `until`, at its own times.
template <class Chip>
void pass_to(TestClock& clock, Chip& chip, u64 until) {
    while (chip.next_event() <= until) {
        clock.time = chip.next_event();
        chip.advance(clock.time);
    }
    clock.time = until;
    chip.advance(until);
}

}  // namespace postern::platform
