// SPDX-License-Identifier: Apache-2.0
// Random numbers for tests that try many cases.
#pragma once

#include "base/types.h"

namespace postern::test {

/// xorshift64*: the same numbers everywhere.
class Random {
public:
    explicit Random(u64 seed) : state_{seed} {}
    u64 next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545'f491'4f6c'dd1d;
    }
    u32 next32() { return static_cast<u32>(next() >> 32); }
    u64 below(u64 limit) { return next() % limit; }
    bool once_in(u64 n) { return below(n) == 0; }

private:
    u64 state_;
};

}  // namespace postern::test
