// SPDX-License-Identifier: Apache-2.0
// Signals of the processor's exceptions, recorded as our own kernels record events.
#pragma once

#include "base/types.h"

namespace postern::guests {

/// Forgets all events. From now on they are expected at `aep`, of the enclave's thread `tcs`.
void watch(u64 aep, u64 tcs);

}  // namespace postern::guests
