// SPDX-License-Identifier: Apache-2.0
// SHA-256 for the enclave and the self-test. The message schedule runs in SSE2 registers on
// purpose: their contents have to survive every asynchronous exit for the digest to be right.
#pragma once

#include "base/types.h"

namespace postern::guests {

class Sha256 {
public:
    /// `bytes` must be a multiple of 64: the guests hash whole pages.
    void add(const u8* from, u64 bytes) {
        for (u64 at = 0; at < bytes; at += 64) add_block(from + at);
        length_ += bytes;
    }

    void finish(u8* digest) {
        u8 last[64];
        for (u8& byte : last) byte = 0;
        last[0] = 0x80;
        for (u32 i = 0; i < 8; ++i) last[63 - i] = static_cast<u8>(length_ * 8 >> (8 * i));
        add_block(last);
        for (u32 i = 0; i < 32; ++i) digest[i] = static_cast<u8>(state_[i / 4] >> (24 - i % 4 * 8));
    }

private:
    using Vector = u32 __attribute__((vector_size(16)));
    using Unaligned = u32 __attribute__((vector_size(16), aligned(4), may_alias));
    using Wide = u64 __attribute__((vector_size(16)));

    template <u32 n>
    static Vector rotate_right(Vector x) {
        return x >> n | x << (32 - n);
    }
    static u32 rotate_right(u32 x, u32 n) { return x >> n | x << (32 - n); }

    static Vector small_sigma_0(Vector x) {
        return rotate_right<7>(x) ^ rotate_right<18>(x) ^ x >> 3;
    }
    static Vector small_sigma_1(Vector x) {
        return rotate_right<17>(x) ^ rotate_right<19>(x) ^ x >> 10;
    }
    static Vector load(const u32* from) { return *reinterpret_cast<const Unaligned*>(from); }

    // Four words at a time. The upper two of four need the lower two, so sigma 1 is added twice,
    // each time with the other half zero (sigma 1 of zero is zero).
    static void expand(u32* w) {
        for (u32 t = 16; t < 64; t += 4) {
            Vector next = load(w + t - 16) + small_sigma_0(load(w + t - 15)) + load(w + t - 7);
            const Wide before = reinterpret_cast<Wide>(load(w + t - 4));
            next += small_sigma_1(reinterpret_cast<Vector>(Wide{before[1], 0}));
            const Wide lower = reinterpret_cast<Wide>(next);
            next += small_sigma_1(reinterpret_cast<Vector>(Wide{0, lower[0]}));
            *reinterpret_cast<Unaligned*>(w + t) = next;
        }
    }

    void add_block(const u8* from) {
        alignas(16) u32 w[64];
        for (u32 i = 0; i < 16; ++i) {
            u32 word;
            __builtin_memcpy(&word, from + 4 * i, 4);
            w[i] = __builtin_bswap32(word);
        }
        expand(w);
        for (u32 t = 0; t < 64; t += 4)
            *reinterpret_cast<Unaligned*>(w + t) = load(w + t) + load(round_constants + t);
        run_rounds(w);
    }

    void run_rounds(const u32* w) {
        u32 a = state_[0], b = state_[1], c = state_[2], d = state_[3];
        u32 e = state_[4], f = state_[5], g = state_[6], h = state_[7];
        for (u32 t = 0; t < 64; ++t) {
            const u32 sum_1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
            const u32 sum_0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
            const u32 first = h + sum_1 + ((e & f) ^ (~e & g)) + w[t];
            const u32 second = sum_0 + ((a & b) ^ (a & c) ^ (b & c));
            h = g, g = f, f = e, e = d + first;
            d = c, c = b, b = a, a = first + second;
        }
        const u32 words[8] = {a, b, c, d, e, f, g, h};
        for (u32 i = 0; i < 8; ++i) state_[i] += words[i];
    }

    static constexpr u32 round_constants[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
        0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
        0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
        0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
        0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
        0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
        0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
        0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
        0xc67178f2};

    u32 state_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    u64 length_ = 0;
};

}  // namespace postern::guests
