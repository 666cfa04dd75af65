// SPDX-License-Identifier: Apache-2.0
// Numbers that look random and are a function of a seed: scramble(seed + n * golden_step) is the
// n-th of SplitMix64.
#pragma once

#include "base/types.h"

namespace postern {

inline constexpr u64 golden_step = 0x9e37'79b9'7f4a'7c15;

constexpr u64 scramble(u64 word) {
    word = (word ^ word >> 30) * 0xbf58'476d'1ce4'e5b9;
    word = (word ^ word >> 27) * 0x94d0'49bb'1331'11eb;
    return word ^ word >> 31;
}

}  // namespace postern
