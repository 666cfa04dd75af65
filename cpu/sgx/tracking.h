// SPDX-License-Identifier: Apache-2.0
// Reference tracking of an enclave: ETRACK begins an epoch, and it is over once every logical
// processor that was inside at that time has left. SDM 3D, "EPC and Management of EPC Pages",
// "ETRACK", Operation.
#pragma once

#include "base/types.h"

namespace postern::cpu::sgx {

/// Of one enclave, in its SECS.
struct Tracking {
    u64 epoch;            // how often ETRACK succeeded
    u32 inside_now;       // logical processors that entered in this epoch
    u32 inside_previous;  // in the one before, and still inside
};

/// A logical processor enters. Returns the epoch that it passes to left().
constexpr u64 entered(Tracking& t) {
    ++t.inside_now;
    return t.epoch;
}

constexpr void left(Tracking& t, u64 entry_epoch) {
    --(entry_epoch == t.epoch ? t.inside_now : t.inside_previous);
}

/// False: the previous epoch is not over yet, and nothing is changed.
constexpr bool begin_epoch(Tracking& t) {
    if (t.inside_previous != 0) return false;
    t.inside_previous = t.inside_now;
    t.inside_now = 0;
    ++t.epoch;
    return true;
}

/// Can no logical processor still hold a translation from before `epoch`'s change to a page? An
/// ETRACK has followed the change, and everybody who was inside then has left.
constexpr bool is_tracked(const Tracking& t, u64 epoch) {
    return t.epoch > epoch && (t.epoch > epoch + 1 || t.inside_previous == 0);
}

}  // namespace postern::cpu::sgx
