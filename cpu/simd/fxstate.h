// SPDX-License-Identifier: Apache-2.0
// Images of the x87 and SSE state in memory: FXSAVE's 512 bytes, built in software; what comes
// after them in an XSAVE area is in cpu/simd/xsave.h. FIP, FDP, FOP, FCS and FDS are always zero
// (docs/model-defined.md).
#pragma once

#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/insn.h"
#include "cpu/mode.h"

namespace postern::cpu {

/// The legacy region, as FXSAVE64 writes it. Bytes 416 to 511, which FXSAVE leaves alone, keep
/// their values. SDM 1, "Legacy Region of an XSAVE Area".
void save_legacy_region(const Cpu& c, u8* area512);

/// What FXRSTOR64 loads. False, and nothing loaded: MXCSR has reserved bits set.
bool load_legacy_region(Cpu& c, const u8* area512);

// Its parts. Offsets: SDM 1, "Legacy Region of an XSAVE Area".
inline constexpr unsigned legacy_mxcsr = 24;  // with MXCSR_MASK
inline constexpr unsigned legacy_st = 32;
inline constexpr unsigned legacy_xmm = 160;
inline constexpr unsigned legacy_end = 416;  // the processor uses nothing beyond

/// Outside 64-bit mode the upper eight are neither saved nor loaded. SDM 2A, "FXSAVE".
inline size_t vectors_in_reach(const Cpu& c) { return in_64_bit_mode(c) ? 16 : 8; }
/// Where what is saved of the XMM registers ends.
inline unsigned legacy_end_in_reach(const Cpu& c) {
    return legacy_xmm + 16 * static_cast<unsigned>(vectors_in_reach(c));
}

void load_x87(Cpu& c, const u8* area512);
void load_xmm(Cpu& c, const u8* area512);
/// The initial configuration, as XRSTOR knows it.
void init_x87(Cpu& c);

// Instructions; the memory operand is that of the Insn. None changes RIP, mode or events.

Result<> exec_fxsave(Cpu& c, const Insn& i);   // and FXSAVE64
Result<> exec_fxrstor(Cpu& c, const Insn& i);  // and FXRSTOR64
Result<> exec_ldmxcsr(Cpu& c, const Insn& i);
Result<> exec_stmxcsr(Cpu& c, const Insn& i);
Result<> exec_vldmxcsr(Cpu& c, const Insn& i);
Result<> exec_vstmxcsr(Cpu& c, const Insn& i);

}  // namespace postern::cpu
