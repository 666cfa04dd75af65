// SPDX-License-Identifier: Apache-2.0
// What a program asks of its enclave, in memory that both see.
#pragma once

#include <stdint.h>

namespace sgx {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;

enum class Ask : u64 {
    nothing,
    load,       // value: of the 8 bytes at address
    store,      // value, to address
    fill,       // count pages from address with the pattern that begins with value
    digest,     // of count pages from address, to value
    accept,     // EACCEPT: count are SECINFO.FLAGS; value: RAX
    extend,     // EMODPE: as accept, without a result
    report,     // EREPORT for the enclave itself, to bytes
    undefined,  // UD2
    get_key,  // EGETKEY: KEYNAME is value, KEYPOLICY is count, KEYID in bytes; to bytes; value: RAX
};

struct Call {
    Ask ask = Ask::nothing;
    u64 address = 0;
    u64 count = 0;
    u64 value = 0;
    u8 bytes[432] = {};
};

inline constexpr u64 page_words = 512;

/// Word `index` of a pattern that begins with `first`.
constexpr u64 pattern_word(u64 first, u64 index) {
    const u64 mixed = (first + index) * 0x9e37'79b9'7f4a'7c15;
    return mixed ^ (mixed >> 29);
}

/// One more word of a digest; FNV-1a by words.
constexpr u64 digest_word(u64 digest, u64 word) { return (digest ^ word) * 0x100'0000'01b3; }
inline constexpr u64 empty_digest = 0xcbf2'9ce4'8422'2325;

}  // namespace sgx
