// SPDX-License-Identifier: Apache-2.0
// What fuzzers make of their input, and how they say that a rule does not hold.
#pragma once

#include <array>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <span>
#include <string>

#include "base/types.h"

namespace postern::fuzz {

[[noreturn]] inline void broken(const std::string& rule, const std::string& what) {
    std::fprintf(stderr, "broken: %s: %s\n", rule.c_str(), what.c_str());
    std::abort();
}
[[noreturn]] inline void broken(const char* rule, u64 value) {
    std::fprintf(stderr, "broken: %s (%#llx)\n", rule, static_cast<unsigned long long>(value));
    std::abort();
}
inline void hold(bool rule_holds, const char* rule, u64 value = 0) {
    if (!rule_holds) broken(rule, value);
}

/// The input, read from front to back; zeros behind its end.
class Input {
public:
    explicit Input(std::span<const u8> bytes) : bytes_{bytes} {}

    [[nodiscard]] bool empty() const { return bytes_.empty(); }
    u8 byte() {
        if (bytes_.empty()) return 0;
        const u8 first = bytes_.front();
        bytes_ = bytes_.subspan(1);
        return first;
    }
    u64 word(unsigned count = 8) {
        u64 value = 0;
        for (unsigned i = 0; i < count; ++i) value |= u64{byte()} << 8 * i;
        return value;
    }

private:
    std::span<const u8> bytes_;
};

/// Numbers from the input, then from a generator that the input seeds.
class Random {
public:
    explicit Random(std::span<const u8> bytes) : bytes_{bytes} {
        u64 seed = 0;
        for (const u8 byte : bytes) seed = seed * 0x100'0000'01b3 + byte;
        generator_.seed(seed);
    }
    u8 byte() {
        if (bytes_.empty()) return static_cast<u8>(generator_());
        const u8 first = bytes_.front();
        bytes_ = bytes_.subspan(1);
        return first;
    }
    u64 word() { return generator_(); }
    u64 below(u64 limit) { return (u64{byte()} << 8 | byte()) % limit; }
    /// Once in `n`.
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
