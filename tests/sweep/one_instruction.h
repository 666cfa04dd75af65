// SPDX-License-Identifier: Apache-2.0
// Does exactly one instruction lie between two states of an enclave? Judged by a decoder that is
// not the processor's own way of executing.
#pragma once

#include <string>

#include "tests/sweep/saved_frame.h"

namespace postern::sweep {

struct Progress {
    bool one = false;  // exactly one instruction, or one iteration of a repeated one
    std::string why_not;
};

Progress progress_between(const EnclaveMemory& enclave, const SavedFrame& before,
                          const SavedFrame& after);

/// The instruction where `saved` stands is ENCLU.
bool stands_at_enclu(const EnclaveMemory& enclave, const SavedFrame& saved);

}  // namespace postern::sweep
