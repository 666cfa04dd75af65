// SPDX-License-Identifier: Apache-2.0
// A crystal against the machine's nanoseconds: exact, for ever, in integers.
#pragma once

#include <numeric>

#include "base/types.h"

namespace postern::platform {

/// Tick n comes at the first nanosecond at which n ticks are over.
class Oscillator {
public:
    explicit constexpr Oscillator(u64 hertz)
        : ticks_{hertz / std::gcd(hertz, second)}, nanoseconds_{second / std::gcd(hertz, second)} {}

    static constexpr u64 second = 1'000'000'000;

    [[nodiscard]] constexpr u64 ticks_at(u64 time) const {
        return time / nanoseconds_ * ticks_ + time % nanoseconds_ * ticks_ / nanoseconds_;
    }
    [[nodiscard]] constexpr u64 time_of(u64 tick) const {
        return tick / ticks_ * nanoseconds_ + (tick % ticks_ * nanoseconds_ + ticks_ - 1) / ticks_;
    }

private:
    u64 ticks_;  // in so many nanoseconds; both below 2^30, so that products fit
    u64 nanoseconds_;
};

}  // namespace postern::platform
