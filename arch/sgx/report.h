// SPDX-License-Identifier: Apache-2.0
// REPORT: what EREPORT attests.
#pragma once

#include <array>

#include "arch/sgx/attributes.h"

namespace postern {

/// SDM 3D, "REPORT (REPORT)".
struct Report {
    std::array<u8, 16> cpusvn;
    SgxMiscselectWord miscselect;
    SgxCetAttributes cet_attributes;
    std::array<u8, 11> reserved_21;
    std::array<u8, 16> isvextprodid;
    SgxAttributes attributes;
    std::array<u8, 32> mrenclave;
    std::array<u8, 32> reserved_96;
    std::array<u8, 32> mrsigner;
    std::array<u8, 32> reserved_160;
    std::array<u8, 64> configid;
    u16 isvprodid;
    u16 isvsvn;
    u16 configsvn;
    std::array<u8, 42> reserved_262;
    std::array<u8, 16> isvfamilyid;
    std::array<u8, 64> reportdata;
    std::array<u8, 32> keyid;
    std::array<u8, 16> mac;
};
static_assert(sizeof(Report) == 432);
static_assert(offsetof(Report, cpusvn) == 0);
static_assert(offsetof(Report, miscselect) == 16);
static_assert(offsetof(Report, cet_attributes) == 20);
static_assert(offsetof(Report, reserved_21) == 21);
static_assert(offsetof(Report, isvextprodid) == 32);
static_assert(offsetof(Report, attributes) == 48);
static_assert(offsetof(Report, mrenclave) == 64);
static_assert(offsetof(Report, reserved_96) == 96);
static_assert(offsetof(Report, mrsigner) == 128);
static_assert(offsetof(Report, reserved_160) == 160);
static_assert(offsetof(Report, configid) == 192);
static_assert(offsetof(Report, isvprodid) == 256);
static_assert(offsetof(Report, isvsvn) == 258);
static_assert(offsetof(Report, configsvn) == 260);
static_assert(offsetof(Report, reserved_262) == 262);
static_assert(offsetof(Report, isvfamilyid) == 304);
static_assert(offsetof(Report, reportdata) == 320);
static_assert(offsetof(Report, keyid) == 384);
static_assert(offsetof(Report, mac) == 416);

inline constexpr u64 report_alignment = 512;
inline constexpr u64 reportdata_alignment = 128;
/// The MAC covers the bytes below this offset.
inline constexpr u32 report_maced_size = 384;

}  // namespace postern
