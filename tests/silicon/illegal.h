// SPDX-License-Identifier: Apache-2.0
// Cases of bytes that are no instruction: #UD, or #GP(0) beyond 15 bytes.
#pragma once

#include <span>

#include "silicon/group.h"

namespace postern::silicon {

/// Of instructions made illegal by LOCK or another prefix, of instructions made too long, and of
/// bytes that never were one. Case::row is ZYDIS_MNEMONIC_INVALID.
Case generate_illegal(std::span<const Row> rows, Random& random);

/// Where vendors differ about what is an instruction; null: they agree.
const char* legality_difference(const Case& k, const Outcome& host);

}  // namespace postern::silicon
