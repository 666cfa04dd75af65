// SPDX-License-Identifier: Apache-2.0
// What every kernel of ours does between its first line and ring 3.
#pragma once

#include "guests/enclave_layout.h"

namespace postern::guests {

extern "C" u8 runtime_image[];
extern "C" u8 runtime_image_end[];

/// What ENCLU and SSE2 ask for, and no-execute pages.
void set_control_registers();

/// The ring-3 program and the doorbell.
void map_runtime();

/// Builds the enclave; ends the machine with one line if the processor has no SGX.
void require_enclave(const layout::Plan& plan);

}  // namespace postern::guests
