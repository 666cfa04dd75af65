// SPDX-License-Identifier: Apache-2.0
// Reserved bytes of a structure that software hands over.
#pragma once

#include <algorithm>
#include <array>

#include "base/types.h"

namespace postern::cpu::sgx {

template <size_t size>
constexpr bool is_zero(const std::array<u8, size>& bytes) {
    return std::ranges::all_of(bytes, [](u8 byte) { return byte == 0; });
}

}  // namespace postern::cpu::sgx
