// SPDX-License-Identifier: Apache-2.0
// The XSAVE area of an SSA frame: x87, SSE and AVX state and PKRU in the standard format.
#pragma once

#include "arch/regs/xcr0.h"
#include "base/types.h"
#include "cpu/cpu.h"

namespace postern::cpu::sgx {

inline constexpr u32 avx_area_offset = 576;
inline constexpr u32 avx_area_size = 256;
inline constexpr u32 pkru_area_offset = 2688;
inline constexpr u32 pkru_area_size = 8;

/// compute_xsave_frame_size of SDM 3D, "ECREATE", Operation: as CPUID.(0DH,0):EBX would say with
/// XCR0 = XFRM.
constexpr u32 xsave_area_size(Xcr0Word xfrm) {
    if (xfrm.has(Xcr0::pkru)) return pkru_area_offset + pkru_area_size;
    return xfrm.has(Xcr0::avx) ? avx_area_offset + avx_area_size : xsave_minimum_size;
}

/// XSAVE with XFRM as the mask. SDM 3D, "Asynchronous Enclave Exits (AEX)".
void save_extended_state(const Cpu& c, Xcr0Word xfrm, u8* area);

/// False: XRSTOR of this image faults. SDM 1, "Standard Form of XRSTOR".
bool is_loadable(const Cpu& c, Xcr0Word xfrm, const u8* area);

/// XRSTOR with XFRM as the mask, of an image that is_loadable().
void load_extended_state(Cpu& c, Xcr0Word xfrm, const u8* area);

/// Every component of XFRM in its initial configuration, these three words apart.
void load_synthetic_state(Cpu& c, Xcr0Word xfrm, u16 fcw, u16 fsw, u32 mxcsr);

}  // namespace postern::cpu::sgx
