// SPDX-License-Identifier: Apache-2.0
// ENCLS: finds the EPC, builds an enclave of enclave_layout.h, maps it for ring 3.
#pragma once

#include "base/types.h"
#include "guests/enclave_layout.h"

namespace postern::guests {

bool has_sgx();

/// Of the first section. Ends the machine if there is none.
u64 epc_address();

/// Ends the machine with one line if the processor does not offer what the enclave needs.
void build_enclave(const layout::Plan& plan);

/// From now on an entry by layout::debug_tcs is one that a debugger may look into.
void opt_in_to_debugging();

/// Guest-physical, once the enclave is built.
u64 enclave_data_page();

/// What the kernel is doing, for the line that reports a fault of its own.
const char* current_step();

}  // namespace postern::guests
