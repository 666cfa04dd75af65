// SPDX-License-Identifier: Apache-2.0
// Decoding for the hypervisor: moves between a register or an immediate and memory.
#pragma once

#include "hv/port.h"

namespace postern::host {

hv::DecodedAccess decode_access(const u8* bytes, size_t count, hv::CodeSize size);

}  // namespace postern::host
