// SPDX-License-Identifier: Apache-2.0
// The mem* functions that hv/ brings along on bare metal, for bench/hv.cpp: what they cost counts.
#include <cstddef>

extern "C" {

void* memset(void* to, int value, size_t count) {
    void* at = to;
    asm volatile("rep stosb" : "+D"(at), "+c"(count) : "a"(value) : "memory");
    return to;
}

void* memcpy(void* to, const void* from, size_t count) {
    void* at = to;
    asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(count) : : "memory");
    return to;
}

void* memmove(void* to, const void* from, size_t count) {
    auto* const t = static_cast<unsigned char*>(to);
    const auto* const f = static_cast<const unsigned char*>(from);
    if (t <= f || t >= f + count) return memcpy(to, from, count);
    for (size_t i = count; i != 0; --i) t[i - 1] = f[i - 1];
    return to;
}

int memcmp(const void* a, const void* b, size_t count) {
    const auto* const x = static_cast<const unsigned char*>(a);
    const auto* const y = static_cast<const unsigned char*>(b);
    for (size_t i = 0; i < count; ++i)
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    return 0;
}
}
