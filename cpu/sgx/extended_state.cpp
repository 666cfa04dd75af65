// SPDX-License-Identifier: Apache-2.0
// XSAVE and XRSTOR as an enclave's entry and exit use them. The legacy region's format is
// cpu/simd's; the header and the AVX component are handled here.
#include "cpu/sgx/extended_state.h"

#include <cstring>

#include "cpu/simd/fxstate.h"
#include "cpu/simd/host_unit.h"
#include "cpu/simd/xsave.h"

namespace postern::cpu::sgx {
namespace {

constexpr size_t xstate_bv_offset = 512;
constexpr size_t zeroed_offset = 520;  // XCOMP_BV and the 8 bytes after it
constexpr size_t zeroed_size = 16;
constexpr size_t mxcsr_offset = 24;
constexpr size_t xmm_offset = 160;
constexpr size_t xmm_size = 16 * 16;

template <class T>
T word_at(const u8* area, size_t offset) {
    T value;
    std::memcpy(&value, area + offset, sizeof value);
    return value;
}

template <class T>
void put(u8* area, size_t offset, T value) {
    std::memcpy(area + offset, &value, sizeof value);
}

void save_avx(const Cpu& c, u8* area) {
    for (size_t n = 0; n < vectors_in_reach(c); ++n)
        std::memcpy(area + avx_area_offset + 16 * n, c.vector.zmm[n].bytes.data() + 16, 16);
}

/// `area` null: the initial configuration.
void load_avx(Cpu& c, const u8* area) {
    for (size_t n = 0; n < vectors_in_reach(c); ++n) {
        u8* const upper = c.vector.zmm[n].bytes.data() + 16;
        if (area == nullptr)
            std::memset(upper, 0, 16);
        else
            std::memcpy(upper, area + avx_area_offset + 16 * n, 16);
    }
}

struct LegacyImage {
    alignas(16) u8 bytes[xsave_legacy_size] = {};
};

LegacyImage initial_legacy(u16 fcw, u16 fsw, u32 mxcsr) {
    LegacyImage image;
    put(image.bytes, 0, fcw);
    put(image.bytes, 2, fsw);
    put(image.bytes, mxcsr_offset, mxcsr);
    return image;
}

}  // namespace

void save_extended_state(const Cpu& c, Xcr0Word xfrm, u8* area) {
    save_legacy_region(c, area);
    if (!c.cr4.has(Cr4::osxsave)) return;  // FXSAVE: no header
    // Which components are in their initial configuration is not tracked: all are in use.
    put(area, xstate_bv_offset, xfrm.to_raw());
    std::memset(area + zeroed_offset, 0, zeroed_size);
    if (xfrm.has(Xcr0::avx)) save_avx(c, area);
    if (xfrm.has(Xcr0::pkru)) put(area, pkru_area_offset, u64{c.pkru});
}

bool is_loadable(const Cpu& c, Xcr0Word xfrm, const u8* area) {
    if ((word_at<u32>(area, mxcsr_offset) & mxcsr_reserved) != 0) return false;
    if (!c.cr4.has(Cr4::osxsave)) return true;
    const auto present = Xcr0Word::from_raw(word_at<u64>(area, xstate_bv_offset));
    return xfrm.has_all(present) && word_at<u64>(area, zeroed_offset) == 0 &&
           word_at<u64>(area, zeroed_offset + 8) == 0;
}

void load_extended_state(Cpu& c, Xcr0Word xfrm, const u8* area) {
    const bool xsave = c.cr4.has(Cr4::osxsave);
    const auto present = xsave ? Xcr0Word::from_raw(word_at<u64>(area, xstate_bv_offset)) : xfrm;
    // MXCSR comes from memory whatever XSTATE_BV says.
    LegacyImage image = initial_legacy(fcw_init, 0, word_at<u32>(area, mxcsr_offset));
    if (present.has(Xcr0::x87)) {
        std::memcpy(image.bytes, area, mxcsr_offset);
        std::memcpy(image.bytes + 32, area + 32, xmm_offset - 32);
    }
    if (present.has(Xcr0::sse)) std::memcpy(image.bytes + xmm_offset, area + xmm_offset, xmm_size);
    load_legacy_region(c, image.bytes);
    if (xfrm.has(Xcr0::avx)) load_avx(c, present.has(Xcr0::avx) ? area : nullptr);
    if (xfrm.has(Xcr0::pkru))
        set_pkru(c, present.has(Xcr0::pkru) ? word_at<u32>(area, pkru_area_offset) : 0);
}

void load_synthetic_state(Cpu& c, Xcr0Word xfrm, u16 fcw, u16 fsw, u32 mxcsr) {
    const LegacyImage image = initial_legacy(fcw, fsw, mxcsr);
    load_legacy_region(c, image.bytes);
    if (xfrm.has(Xcr0::avx)) load_avx(c, nullptr);
    if (xfrm.has(Xcr0::pkru)) set_pkru(c, 0);
}

}  // namespace postern::cpu::sgx
