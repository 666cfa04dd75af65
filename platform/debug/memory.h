// SPDX-License-Identifier: Apache-2.0
// Memory as a debugger looks at it: through a processor's current translations, with no effect
// on the machine. No right is asked, no A or D flag set, no fault raised, no device touched.
#pragma once

#include <optional>
#include <span>

#include "cpu/cpu.h"

namespace postern::platform {

/// Where `linear` leads, EPT included. Nothing: nowhere.
std::optional<Hpa> physical_of(const cpu::Cpu& c, u64 linear);

/// As many bytes as lie in RAM or EPC without a gap; how many. EPC is all ones.
size_t peek(const cpu::Cpu& c, u64 linear, std::span<u8> to);

/// All bytes, or none and false: some lie elsewhere than in RAM. Cached code is dropped.
bool poke(const cpu::Cpu& c, u64 linear, std::span<const u8> from);

}  // namespace postern::platform
