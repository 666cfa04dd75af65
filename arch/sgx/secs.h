// SPDX-License-Identifier: Apache-2.0
// The SGX enclave control structure.
#pragma once

#include <array>

#include "arch/sgx/attributes.h"

namespace postern {

/// SDM 3D, "SGX Enclave Control Structure (SECS)". EID, PADDING, ISVFAMILYID, ISVEXTPRODID,
/// VIRTCHILDCNT and ENCLAVECONTEXT lie in the last reserved area, where is the processor's
/// affair.
struct Secs {
    u64 size;
    u64 baseaddr;
    u32 ssaframesize;  // pages
    SgxMiscselectWord miscselect;
    u64 cet_leg_bitmap_offset;
    SgxCetAttributes cet_attributes;
    std::array<u8, 15> reserved_33;
    SgxAttributes attributes;
    std::array<u8, 32> mrenclave;
    std::array<u8, 32> reserved_96;
    std::array<u8, 32> mrsigner;
    std::array<u8, 32> reserved_160;
    std::array<u8, 64> configid;
    u16 isvprodid;
    u16 isvsvn;
    u16 configsvn;
    std::array<u8, 3834> reserved_262;
};
static_assert(sizeof(Secs) == 4096);
static_assert(offsetof(Secs, size) == 0);
static_assert(offsetof(Secs, baseaddr) == 8);
static_assert(offsetof(Secs, ssaframesize) == 16);
static_assert(offsetof(Secs, miscselect) == 20);
static_assert(offsetof(Secs, cet_leg_bitmap_offset) == 24);
static_assert(offsetof(Secs, cet_attributes) == 32);
static_assert(offsetof(Secs, reserved_33) == 33);
static_assert(offsetof(Secs, attributes) == 48);
static_assert(offsetof(Secs, mrenclave) == 64);
static_assert(offsetof(Secs, reserved_96) == 96);
static_assert(offsetof(Secs, mrsigner) == 128);
static_assert(offsetof(Secs, reserved_160) == 160);
static_assert(offsetof(Secs, configid) == 192);
static_assert(offsetof(Secs, isvprodid) == 256);
static_assert(offsetof(Secs, isvsvn) == 258);
static_assert(offsetof(Secs, configsvn) == 260);
static_assert(offsetof(Secs, reserved_262) == 262);

inline constexpr u64 secs_alignment = 4096;
inline constexpr u64 enclave_minimum_size = 8192;

}  // namespace postern
