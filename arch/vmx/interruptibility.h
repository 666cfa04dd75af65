// SPDX-License-Identifier: Apache-2.0
// Guest non-register state: interruptibility, activity, pending debug exceptions.
#pragma once

#include "base/flag_word.h"

namespace postern {

/// SDM 3C, "Guest Non-Register State", table "Format of Interruptibility State".
enum class Interruptibility : u8 {
    sti = 0,
    mov_ss = 1,
    smi = 2,
    nmi = 3,
    enclave = 4,
};
using InterruptibilityState = FlagWord<Interruptibility, u32>;

/// Bits that VM entry requires to be 0.
inline constexpr u32 interruptibility_reserved = ~u32{0x1f};

/// SDM 3C, "Guest Non-Register State".
enum class ActivityState : u32 {
    active = 0,
    hlt = 1,
    shutdown = 2,
    wait_for_sipi = 3,
};

/// SDM 3C, "Guest Non-Register State", table "Format of Pending-Debug-Exceptions".
enum class PendingDebug : u8 {
    b0 = 0,
    b1 = 1,
    b2 = 2,
    b3 = 3,
    bld = 11,
    enabled_breakpoint = 12,
    bs = 14,
    rtm = 16,
};
using PendingDebugExceptions = FlagWord<PendingDebug>;

}  // namespace postern
