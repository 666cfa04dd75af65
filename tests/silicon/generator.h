// SPDX-License-Identifier: Apache-2.0
// Random cases for a row of the instruction table: one of its encodings with random prefixes,
// registers, addressing forms and immediates, memory operands led into the scratch area.
#pragma once

#include "silicon/group.h"

namespace postern::silicon {

/// Tries until it has a case whose every access is one of the scratch area or its surroundings.
Case generate(const Row& row, Random& random);

}  // namespace postern::silicon
