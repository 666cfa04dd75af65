// SPDX-License-Identifier: Apache-2.0
// Random numbers that are the same everywhere, and values worth trying.
#pragma once

#include "base/types.h"

namespace postern::silicon {

/// splitmix64: the same everywhere.
class Random {
public:
    explicit Random(u64 seed) : state_{seed} {}
    u64 next();
    /// 0 to n - 1.
    u64 below(u64 n) { return next() % n; }
    bool one_in(u64 n) { return below(n) == 0; }

private:
    u64 state_;
};

/// Small, large, single bits, masks, signs; else anything.
u64 interesting(Random& random);

/// A double or two singles: zeros, infinities, NaNs, denormals, moderate ones; else anything.
u64 interesting_float(Random& random);

}  // namespace postern::silicon
