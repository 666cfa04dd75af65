// SPDX-License-Identifier: Apache-2.0
// The functions that the compiler may call on its own.
#include <cstddef>

extern "C" void* memcpy(void* to, const void* from, std::size_t count) {
    void* at = to;
    asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(count) : : "memory");
    return to;
}

extern "C" void* memset(void* to, int value, std::size_t count) {
    void* at = to;
    asm volatile("rep stosb" : "+D"(at), "+c"(count) : "a"(value) : "memory");
    return to;
}
