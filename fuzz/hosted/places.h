// SPDX-License-Identifier: Apache-2.0
// For fuzz_hosted_guest: numbers from the input.
#pragma once

#include <array>
#include <random>
#include <span>

#include "support/hosted_kernel.h"

namespace postern::fuzz {

using namespace postern::test::hosted;

/// From the input, then from a generator that the input seeds.
class Random {
public:
    explicit Random(std::span<const u8> bytes) : bytes_{bytes} {
        u64 seed = 0;
        for (const u8 byte : bytes) seed = seed * 0x100'0000'01b3 + byte;
        generator_.seed(seed);
    }
    u8 byte() {
        if (bytes_.empty()) return static_cast<u8>(generator_() >> 32);
        const u8 first = bytes_.front();
        bytes_ = bytes_.subspan(1);
        return first;
    }
    u64 word() { return generator_(); }
    u64 below(u64 limit) { return (u64{byte()} << 8 | byte()) % limit; }
    bool once_in(u64 n) { return below(n) == 0; }
    template <class T, size_t n>
    const T& one_of(const std::array<T, n>& choices) {
        return choices[below(n)];
    }

private:
    std::span<const u8> bytes_;
    std::mt19937_64 generator_;
};

}  // namespace postern::fuzz
