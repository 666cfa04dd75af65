// SPDX-License-Identifier: Apache-2.0
// The EINIT token.
#pragma once

#include <array>

#include "arch/sgx/attributes.h"

namespace postern {

/// SDM 3D, "EINIT Token Structure (EINITTOKEN)".
struct Einittoken {
    u32 valid;
    std::array<u8, 44> reserved_4;
    SgxAttributes attributes;
    std::array<u8, 32> mrenclave;
    std::array<u8, 32> reserved_96;
    std::array<u8, 32> mrsigner;
    std::array<u8, 32> reserved_160;
    std::array<u8, 16> cpusvnle;
    u16 isvprodidle;
    u16 isvsvnle;
    std::array<u8, 24> reserved_212;
    SgxMiscselectWord maskedmiscselectle;
    SgxAttributes maskedattributesle;
    std::array<u8, 32> keyid;
    std::array<u8, 16> mac;
};
static_assert(sizeof(Einittoken) == 304);
static_assert(offsetof(Einittoken, valid) == 0);
static_assert(offsetof(Einittoken, reserved_4) == 4);
static_assert(offsetof(Einittoken, attributes) == 48);
static_assert(offsetof(Einittoken, mrenclave) == 64);
static_assert(offsetof(Einittoken, reserved_96) == 96);
static_assert(offsetof(Einittoken, mrsigner) == 128);
static_assert(offsetof(Einittoken, reserved_160) == 160);
static_assert(offsetof(Einittoken, cpusvnle) == 192);
static_assert(offsetof(Einittoken, isvprodidle) == 208);
static_assert(offsetof(Einittoken, isvsvnle) == 210);
static_assert(offsetof(Einittoken, reserved_212) == 212);
static_assert(offsetof(Einittoken, maskedmiscselectle) == 236);
static_assert(offsetof(Einittoken, maskedattributesle) == 240);
static_assert(offsetof(Einittoken, keyid) == 256);
static_assert(offsetof(Einittoken, mac) == 288);

inline constexpr u64 einittoken_alignment = 512;
/// The MAC covers the bytes below this offset.
inline constexpr u32 einittoken_maced_size = 192;

}  // namespace postern
