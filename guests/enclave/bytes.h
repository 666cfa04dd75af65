// SPDX-License-Identifier: Apache-2.0
// Moving and forgetting bytes by the string instructions: they can be interrupted between two
// iterations, and an enclave must come out right then, too.
#pragma once

#include "base/types.h"

namespace postern::guests {

inline void copy_bytes(u8* to, const u8* from, u64 count) {
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

template <u64 size>
void wipe(u8 (&bytes)[size]) {
    static_assert(size % 8 == 0);
    u8* at = bytes;
    u64 count = size / 8;
    asm volatile("rep stosq" : "+D"(at), "+c"(count) : "a"(u64{0}) : "memory");
}

}  // namespace postern::guests
