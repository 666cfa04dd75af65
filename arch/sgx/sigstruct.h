// SPDX-License-Identifier: Apache-2.0
// The enclave signature structure.
#pragma once

#include <array>

#include "arch/sgx/attributes.h"

namespace postern {

/// SDM 3D, "Enclave Signature Structure (SIGSTRUCT)". Big numbers are little-endian.
struct Sigstruct {
    std::array<u8, 16> header;
    u32 vendor;  // 0 or 8086H
    u32 date;    // yyyymmdd in hexadecimal digits
    std::array<u8, 16> header2;
    u32 swdefined;
    std::array<u8, 84> reserved_44;
    std::array<u8, 384> modulus;
    u32 exponent;
    std::array<u8, 384> signature;
    SgxMiscselectWord miscselect;
    SgxMiscselectWord miscmask;
    SgxCetAttributes cet_attributes;
    SgxCetAttributes cet_attributes_mask;
    std::array<u8, 2> reserved_910;
    std::array<u8, 16> isvfamilyid;
    SgxAttributes attributes;
    SgxAttributes attributemask;
    std::array<u8, 32> enclavehash;
    std::array<u8, 16> reserved_992;
    std::array<u8, 16> isvextprodid;
    u16 isvprodid;
    u16 isvsvn;
    std::array<u8, 12> reserved_1028;
    std::array<u8, 384> q1;
    std::array<u8, 384> q2;
};
static_assert(sizeof(Sigstruct) == 1808);
static_assert(offsetof(Sigstruct, header) == 0);
static_assert(offsetof(Sigstruct, vendor) == 16);
static_assert(offsetof(Sigstruct, date) == 20);
static_assert(offsetof(Sigstruct, header2) == 24);
static_assert(offsetof(Sigstruct, swdefined) == 40);
static_assert(offsetof(Sigstruct, reserved_44) == 44);
static_assert(offsetof(Sigstruct, modulus) == 128);
static_assert(offsetof(Sigstruct, exponent) == 512);
static_assert(offsetof(Sigstruct, signature) == 516);
static_assert(offsetof(Sigstruct, miscselect) == 900);
static_assert(offsetof(Sigstruct, miscmask) == 904);
static_assert(offsetof(Sigstruct, cet_attributes) == 908);
static_assert(offsetof(Sigstruct, cet_attributes_mask) == 909);
static_assert(offsetof(Sigstruct, reserved_910) == 910);
static_assert(offsetof(Sigstruct, isvfamilyid) == 912);
static_assert(offsetof(Sigstruct, attributes) == 928);
static_assert(offsetof(Sigstruct, attributemask) == 944);
static_assert(offsetof(Sigstruct, enclavehash) == 960);
static_assert(offsetof(Sigstruct, reserved_992) == 992);
static_assert(offsetof(Sigstruct, isvextprodid) == 1008);
static_assert(offsetof(Sigstruct, isvprodid) == 1024);
static_assert(offsetof(Sigstruct, isvsvn) == 1026);
static_assert(offsetof(Sigstruct, reserved_1028) == 1028);
static_assert(offsetof(Sigstruct, q1) == 1040);
static_assert(offsetof(Sigstruct, q2) == 1424);

inline constexpr u64 sigstruct_alignment = 4096;

inline constexpr std::array<u8, 16> sigstruct_header{0x06, 0, 0, 0, 0xe1, 0, 0, 0,
                                                     0,    0, 1, 0, 0,    0, 0, 0};
inline constexpr std::array<u8, 16> sigstruct_header2{0x01, 1, 0, 0, 0x60, 0, 0, 0,
                                                      0x60, 0, 0, 0, 0x01, 0, 0, 0};
inline constexpr u32 sigstruct_exponent = 3;
inline constexpr u32 sigstruct_intel_vendor = 0x8086;

/// The signed message is these two ranges of bytes, one after the other.
struct ByteRange {
    u32 offset;
    u32 size;
};
inline constexpr std::array<ByteRange, 2> sigstruct_signed{{{0, 128}, {900, 128}}};

}  // namespace postern
