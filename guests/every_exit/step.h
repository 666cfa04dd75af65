// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "guests/runtime/enclu.h"

namespace postern::guests {

#pragma GCC visibility push(hidden)

/// enter_enclave, with RFLAGS.TF set at EENTER. SDM 3D, "Single Step Debug".
extern "C" EnclaveStatus enter_enclave_stepping(u64 function, void* call, u64 tcs, Aep* aep);

/// Where EEXIT arrives: a single-step trap after it is met here.
extern "C" const u8 after_eexit[];

#pragma GCC visibility pop

}  // namespace postern::guests
