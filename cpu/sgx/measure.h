// SPDX-License-Identifier: Apache-2.0
// MRENCLAVE while an enclave is being built: SHA-256 over the blocks of arch/sgx/measurement.h.
// The running state is a few plain words, kept in the SECS's own reserved bytes, so that it is
// saved, evicted and loaded with the page.
#pragma once

#include <array>

#include "arch/sgx/measurement.h"
#include "base/types.h"

namespace postern::cpu::sgx {

using Digest = std::array<u8, 32>;

struct Measurement {
    std::array<u32, 8> h;
    u64 blocks;  // of 64 bytes each
};

/// SHA256INITIALIZE, SHA256UPDATE and SHA256FINAL. SDM 3D, "ECREATE", "EADD", "EEXTEND",
/// "EINIT", Operation.
Measurement start_measurement();
void add_block(Measurement& measurement, const u8* block);
Digest finish_measurement(const Measurement& measurement);

/// SHA-256 of a whole message.
Digest digest_of(const u8* message, size_t size);

}  // namespace postern::cpu::sgx
