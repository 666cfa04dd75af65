// SPDX-License-Identifier: Apache-2.0
// Vector and x87 registers as the guest sees them. Between run-loop entry and exit MXCSR lives
// in the host's unit (cpu/simd), and the x87 state after its first use (cpu/x87/unit.h);
// everything else lives here.
#pragma once

#include <array>

#include "base/types.h"

namespace postern::cpu {

struct alignas(64) VectorRegister {
    std::array<u8, 64> bytes;
};

struct X87State {
    u16 fcw;
    u16 fsw;
    u8 tag;  // abridged: one bit a physical register, 1 = in use
    u8 reserved[3];
    std::array<std::array<u8, 16>, 8> st;  // ST(i), low 10 bytes
};

/// Where the guest's x87 state is: here, or in the host's unit. There, whether its control word
/// masks all exceptions; if not, instructions have to look whether one is pending.
enum class X87Unit : u8 { absent, masked, unmasked };

struct VectorState {
    std::array<VectorRegister, 32> zmm;
    X87State x87;
    u32 mxcsr;
};

inline constexpr u32 mxcsr_reset = 0x1f80;
inline constexpr u16 fcw_reset = 0x0040;  // by RESET; FNINIT and AEX load 037FH
inline constexpr u16 fcw_init = 0x037f;

}  // namespace postern::cpu
