// SPDX-License-Identifier: Apache-2.0
// The only places outside the enclave where ENCLU stands. SDM 3D, "EENTER", "ERESUME".
#pragma once

#include "guests/abi.h"

namespace postern::guests {

// Hidden: reached relative to RIP, not through a table of addresses.
#pragma GCC visibility push(hidden)

using Aep = void();

/// EENTER. Comes back when the enclave leaves by EEXIT; in between, every asynchronous exit
/// continues at `aep`, which resumes the enclave. `call` reaches the enclave unchanged.
extern "C" EnclaveStatus enter_enclave(u64 function, void* call, u64 tcs, Aep* aep);

/// ERESUME, after counting. Continues at resumed_too_often() when resume_limit is reached.
extern "C" void aep_plain();

/// The same, but it begins with a store, as hostile user space can arrange: a hypervisor that
/// takes RIP for the address of the enclave's instruction finds an instruction to emulate.
extern "C" void aep_that_stores();

extern "C" u64 resume_count;
extern "C" u64 resume_limit;
extern "C" [[noreturn]] void resumed_too_often();

#pragma GCC visibility pop

}  // namespace postern::guests
