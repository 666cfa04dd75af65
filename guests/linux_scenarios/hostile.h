// SPDX-License-Identifier: Apache-2.0
// The two that share a processor.
#pragma once

#include "base/types.h"

namespace postern::guests {

/// Hashes so many pages, in ring 3, outside any enclave; compares each digest with the first.
void run_hashing(u64 pages);

}  // namespace postern::guests
