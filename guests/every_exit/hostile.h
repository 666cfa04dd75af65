// SPDX-License-Identifier: Apache-2.0
// A task whose enclave is interrupted all the time, and a second that only hashes, in ring 3,
// outside any enclave.
#pragma once

#include "guests/abi.h"

namespace postern::guests {

/// Enclave calls that are interrupted again and again, each event answered by resuming the same
/// instruction a few times before the enclave steps over it; beside a task that only computes.
void run_hostile();

/// Before the first of the calls.
void begin_hostile_calls();
/// Some entries of the enclave, each interrupted again and again; how many.
u64 hostile_calls();

struct Hashed {
    u64 digests, right;
};

/// Starts hashing beside the caller; stop_hashing_task() when the caller has done.
void start_hashing_task();
Hashed stop_hashing_task();

}  // namespace postern::guests
