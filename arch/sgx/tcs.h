// SPDX-License-Identifier: Apache-2.0
// The thread control structure.
#pragma once

#include <array>

#include "base/flag_word.h"

namespace postern {

enum class TcsState : u64 { inactive = 0, active = 1 };

/// SDM 3D, "TCS.FLAGS".
enum class TcsFlag : u8 { dbgoptin = 0, aexnotify = 1 };
using TcsFlags = FlagWord<TcsFlag>;

/// SDM 3D, "Thread Control Structure (TCS)".
struct Tcs {
    TcsState state;
    TcsFlags flags;
    u64 ossa;
    u32 cssa;
    u32 nssa;
    u64 oentry;
    u64 aep;
    u64 ofsbase;
    u64 ogsbase;
    u32 fslimit;
    u32 gslimit;
    u64 ocetssa;
    u64 prevssp;
    std::array<u8, 4008> reserved_88;
};
static_assert(sizeof(Tcs) == 4096);
static_assert(offsetof(Tcs, state) == 0);
static_assert(offsetof(Tcs, flags) == 8);
static_assert(offsetof(Tcs, ossa) == 16);
static_assert(offsetof(Tcs, cssa) == 24);
static_assert(offsetof(Tcs, nssa) == 28);
static_assert(offsetof(Tcs, oentry) == 32);
static_assert(offsetof(Tcs, aep) == 40);
static_assert(offsetof(Tcs, ofsbase) == 48);
static_assert(offsetof(Tcs, ogsbase) == 56);
static_assert(offsetof(Tcs, fslimit) == 64);
static_assert(offsetof(Tcs, gslimit) == 68);
static_assert(offsetof(Tcs, ocetssa) == 72);
static_assert(offsetof(Tcs, prevssp) == 80);
static_assert(offsetof(Tcs, reserved_88) == 88);

/// EDBGRD and EDBGWR see this much of a TCS. Not verified against the manual.
inline constexpr u32 sgx_tcs_limit = 72;

}  // namespace postern
