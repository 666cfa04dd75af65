// SPDX-License-Identifier: Apache-2.0
// The enclave page cache in a snapshot, its pages' bytes aside: the EPCM, what the processors
// count about it, the conflicts and interruptions that were asked for.
#pragma once

#include "cpu/sgx/epc.h"
#include "platform/snapshot/bytes.h"

namespace postern::platform::snapshot {

Bytes save_epc(const cpu::Epc& epc);

/// Could save_epc() have written this for an EPC of that size?
bool plausible_epc(View bytes, const cpu::Epc& epc);

void restore_epc(cpu::Epc& epc, View bytes);

}  // namespace postern::platform::snapshot
