// SPDX-License-Identifier: Apache-2.0
// TARGETINFO: for whom EREPORT makes its report.
#pragma once

#include <array>

#include "arch/sgx/attributes.h"

namespace postern {

/// SDM 3D, "Report Target Info (TARGETINFO)".
struct Targetinfo {
    std::array<u8, 32> measurement;
    SgxAttributes attributes;
    SgxCetAttributes cet_attributes;
    u8 reserved_49;
    u16 configsvn;
    SgxMiscselectWord miscselect;
    std::array<u8, 8> reserved_56;
    std::array<u8, 64> configid;
    std::array<u8, 384> reserved_128;
};
static_assert(sizeof(Targetinfo) == 512);
static_assert(offsetof(Targetinfo, measurement) == 0);
static_assert(offsetof(Targetinfo, attributes) == 32);
static_assert(offsetof(Targetinfo, cet_attributes) == 48);
static_assert(offsetof(Targetinfo, reserved_49) == 49);
static_assert(offsetof(Targetinfo, configsvn) == 50);
static_assert(offsetof(Targetinfo, miscselect) == 52);
static_assert(offsetof(Targetinfo, reserved_56) == 56);
static_assert(offsetof(Targetinfo, configid) == 64);
static_assert(offsetof(Targetinfo, reserved_128) == 128);

inline constexpr u64 targetinfo_alignment = 512;

}  // namespace postern
