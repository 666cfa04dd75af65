// SPDX-License-Identifier: Apache-2.0
// FXSAVE, XSAVE and their inverses. Every check and every access that can fail comes before the
// first register or byte that changes.
#include "cpu/simd/fxstate.h"

#include <algorithm>
#include <cstring>

#include "arch/regs/xcr0.h"
#include "base/bits.h"
#include "cpu/event/event.h"
#include "cpu/exec/address.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"
#include "cpu/model.h"
#include "cpu/simd/host_unit.h"
#include "cpu/x87/control.h"
#include "cpu/x87/unit.h"

namespace postern::cpu {
namespace {

// Offsets in the legacy region. SDM 1, "Legacy Region of an XSAVE Area".
constexpr unsigned fcw_offset = 0;
constexpr unsigned fsw_offset = 2;
constexpr unsigned ftw_offset = 4;
constexpr unsigned mxcsr_offset = 24;
constexpr unsigned mxcsr_size = 8;  // with MXCSR_MASK
constexpr unsigned st_offset = 32;
constexpr unsigned st_end = 160;
constexpr unsigned xmm_offset = 160;
constexpr unsigned xmm_size = 16;  // and that of an upper half; nothing lies beyond the last

// Offsets in the XSAVE header, from the area's start.
constexpr unsigned xstate_bv_offset = xsave_legacy_size;
constexpr unsigned xcomp_bv_offset = xsave_legacy_size + 8;

constexpr unsigned avx_size = 256;
constexpr unsigned avx_offset = xsave_minimum_size;  // standard form; compacted: the same
constexpr unsigned area_size = avx_offset + avx_size;
constexpr u64 compacted = u64{1} << 63;

using Area = std::array<u8, area_size>;

template <class T>
T word_at(const u8* area, unsigned offset) {
    T value;
    std::memcpy(&value, area + offset, sizeof value);
    return value;
}
template <class T>
void put_word(u8* area, unsigned offset, T value) {
    std::memcpy(area + offset, &value, sizeof value);
}

void save_x87(const Cpu& c, u8* area) {
    std::memset(area, 0, mxcsr_offset);
    const X87State x87 = guest_x87(c);
    put_word(area, fcw_offset, x87.fcw);
    put_word(area, fsw_offset, x87.fsw);
    put_word(area, ftw_offset, x87.tag);
    for (size_t n = 0; n < 8; ++n) {
        std::memset(area + st_offset + 16 * n, 0, 16);
        std::memcpy(area + st_offset + 16 * n, x87.st[n].data(), 10);
    }
}

void load_x87(Cpu& c, const u8* area) {
    X87State x87{};
    x87.fcw = usable_fcw(word_at<u16>(area, fcw_offset));
    x87.fsw = usable_fsw(word_at<u16>(area, fsw_offset), x87.fcw);
    x87.tag = area[ftw_offset];
    for (size_t n = 0; n < 8; ++n) std::memcpy(x87.st[n].data(), area + st_offset + 16 * n, 10);
    set_guest_x87(c, x87);
}

void save_mxcsr(const Cpu& c, u8* area) {
    put_word(area, mxcsr_offset, guest_mxcsr(c));
    put_word(area, mxcsr_offset + 4, mxcsr_mask);
}

/// Outside 64-bit mode the upper eight are neither saved nor loaded. SDM 2A, "FXSAVE".
unsigned registers_in_reach(const Cpu& c) { return in_64_bit_mode(c) ? 16 : 8; }

/// Bits 127:0 or 255:128 of the registers in reach.
void save_lanes(const Cpu& c, size_t lane, u8* to) {
    for (size_t n = 0; n < registers_in_reach(c); ++n)
        std::memcpy(to + 16 * n, c.vector.zmm[n].bytes.data() + 16 * lane, 16);
}
void load_lanes(Cpu& c, size_t lane, const u8* from) {
    for (size_t n = 0; n < registers_in_reach(c); ++n)
        std::memcpy(c.vector.zmm[n].bytes.data() + 16 * lane, from + 16 * n, 16);
}
void clear_lanes(Cpu& c, size_t lane) {
    for (size_t n = 0; n < registers_in_reach(c); ++n)
        std::memset(c.vector.zmm[n].bytes.data() + 16 * lane, 0, 16);
}

Result<> check_sse(Cpu& c) {
    if (c.cr0.has(Cr0::em) || !c.cr4.has(Cr4::osfxsr)) return invalid_opcode(c);
    if (c.cr0.has(Cr0::ts)) return raise(c, Vector::device_not_available);
    return Done{};
}

Result<> check_xsave(Cpu& c, const Insn& i) {
    if (!c.cr4.has(Cr4::osxsave)) return invalid_opcode(c);
    if (c.cr0.has(Cr0::ts)) return raise(c, Vector::device_not_available);
    if (!is_aligned(linear_address(c, i).raw(), u64{64})) return general_protection(c);
    return Done{};
}

Result<> check_fxsave(Cpu& c, const Insn& i) {
    TRY(check_x87(c));
    if (!is_aligned(linear_address(c, i).raw(), u64{16})) return general_protection(c);
    return Done{};
}

/// The requested-feature bitmap.
Xcr0Word requested(const Cpu& c) {
    const u64 mask = c.gpr[rdx] << 32 | static_cast<u32>(c.gpr[rax]);
    return Xcr0Word::from_raw(c.xcr0 & mask);
}

unsigned size_for(Xcr0Word components) {
    return components.has(Xcr0::avx) ? area_size : xsave_minimum_size;
}

void save_components(const Cpu& c, Xcr0Word which, Area& area) {
    if (which.has(Xcr0::x87)) save_x87(c, area.data());
    if (which.has(Xcr0::sse)) save_lanes(c, 0, area.data() + xmm_offset);
    if (which.has_any({Xcr0::sse, Xcr0::avx})) save_mxcsr(c, area.data());
    if (which.has(Xcr0::avx)) save_lanes(c, 1, area.data() + avx_offset);
}

Result<> store_part(Cpu& c, Gva at, const Area& area, unsigned from, unsigned end) {
    return store_bytes(c, at + from, area.data() + from, end - from);
}

/// Stores the parts that `which` names, and nothing else. The whole area is known to be writable.
Result<> store_components(Cpu& c, Gva at, Xcr0Word which, const Area& area) {
    if (which.has(Xcr0::x87)) {
        TRY(store_part(c, at, area, 0, mxcsr_offset));
        TRY(store_part(c, at, area, st_offset, st_end));
    }
    if (which.has_any({Xcr0::sse, Xcr0::avx}))
        TRY(store_part(c, at, area, mxcsr_offset, mxcsr_offset + mxcsr_size));
    const unsigned lanes = xmm_size * registers_in_reach(c);
    if (which.has(Xcr0::sse)) TRY(store_part(c, at, area, xmm_offset, xmm_offset + lanes));
    if (which.has(Xcr0::avx)) TRY(store_part(c, at, area, avx_offset, avx_offset + lanes));
    return Done{};
}

/// The header's rules. SDM 1, "Standard Form of XRSTOR" and "Compacted Form of XRSTOR".
bool is_header_legal(const Cpu& c, const Area& area) {
    const u64 present = word_at<u64>(area.data(), xstate_bv_offset);
    const u64 format = word_at<u64>(area.data(), xcomp_bv_offset);
    const bool compact = (format & compacted) != 0;
    const unsigned zero_from = compact ? 16 : 8;
    const unsigned zero_to = compact ? xsave_header_size : 24;
    const u8* header = area.data() + xsave_legacy_size;
    if (std::any_of(header + zero_from, header + zero_to, [](u8 b) { return b != 0; }))
        return false;
    if (!compact) return (present & ~c.xcr0) == 0;
    return has_feature(*c.system->model, Feature::xsavec) && (format & ~compacted & ~c.xcr0) == 0 &&
           (present & ~format) == 0;
}

/// XRSTOR loads MXCSR from a standard area whatever XSTATE_BV says, from a compacted one as part
/// of SSE.
bool takes_mxcsr(Xcr0Word which, Xcr0Word present, bool compact) {
    return compact ? which.has(Xcr0::sse) && present.has(Xcr0::sse)
                   : which.has_any({Xcr0::sse, Xcr0::avx});
}

void load_components(Cpu& c, Xcr0Word which, const Area& area) {
    if (which.has(Xcr0::x87)) load_x87(c, area.data());
    if (which.has(Xcr0::sse)) load_lanes(c, 0, area.data() + xmm_offset);
    if (which.has(Xcr0::avx)) load_lanes(c, 1, area.data() + avx_offset);
}

}  // namespace

void save_legacy_region(const Cpu& c, u8* area512) {
    save_x87(c, area512);
    save_mxcsr(c, area512);
    save_lanes(c, 0, area512 + xmm_offset);
}

bool load_legacy_region(Cpu& c, const u8* area512) {
    const u32 mxcsr = word_at<u32>(area512, mxcsr_offset);
    if ((mxcsr & mxcsr_reserved) != 0) return false;
    set_guest_mxcsr(c, mxcsr);
    load_x87(c, area512);
    load_lanes(c, 0, area512 + xmm_offset);
    return true;
}

void init_extended_state(Cpu& c, u64 features) {
    const auto which = Xcr0Word::from_raw(features);
    if (which.has(Xcr0::x87)) {
        X87State x87{};
        x87.fcw = fcw_init;
        set_guest_x87(c, x87);
    }
    if (which.has(Xcr0::sse)) {
        clear_lanes(c, 0);
        set_guest_mxcsr(c, mxcsr_reset);
    }
    if (which.has(Xcr0::avx)) clear_lanes(c, 1);
}

/// The x87, MXCSR and XMM state to memory. SDM 2A, "FXSAVE".
Result<> exec_fxsave(Cpu& c, const Insn& i) {
    TRY(check_fxsave(c, i));
    const Gva at = linear_address(c, i);
    TRY(probe_write(c, at, xsave_legacy_size));
    std::array<u8, xsave_legacy_size> image;
    save_legacy_region(c, image.data());
    return store_bytes(c, at, image.data(), xmm_offset + xmm_size * registers_in_reach(c));
}

/// The inverse. SDM 2A, "FXRSTOR".
Result<> exec_fxrstor(Cpu& c, const Insn& i) {
    TRY(check_fxsave(c, i));
    std::array<u8, xsave_legacy_size> image;
    TRY(load_bytes(c, linear_address(c, i), image.data(), xsave_legacy_size));
    if (!load_legacy_region(c, image.data())) return general_protection(c);
    return Done{};
}

/// SDM 2A, "LDMXCSR".
Result<> exec_ldmxcsr(Cpu& c, const Insn& i) {
    TRY(check_sse(c));
    const auto value = static_cast<u32>(TRY(load(c, linear_address(c, i), 4)));
    if ((value & mxcsr_reserved) != 0) return general_protection(c);
    set_guest_mxcsr(c, value);
    return Done{};
}

/// SDM 2B, "STMXCSR".
Result<> exec_stmxcsr(Cpu& c, const Insn& i) {
    TRY(check_sse(c));
    return store(c, linear_address(c, i), 4, guest_mxcsr(c));
}

/// Standard form. Which components are in their initial configuration is not tracked: all count
/// as in use (docs/model-defined.md). SDM 2D, "XSAVE".
Result<> exec_xsave(Cpu& c, const Insn& i) {
    TRY(check_xsave(c, i));
    const Gva at = linear_address(c, i);
    const Xcr0Word which = requested(c);
    TRY(probe_write(c, at, size_for(which)));
    const u64 old = TRY(load(c, at + xstate_bv_offset, 8));
    Area area{};
    save_components(c, which, area);
    TRY(store_components(c, at, which, area));
    return store(c, at + xstate_bv_offset, 8, (old & ~which.to_raw()) | which.to_raw());
}

/// With nothing tracked, neither optimisation ever applies. SDM 2D, "XSAVEOPT".
Result<> exec_xsaveopt(Cpu& c, const Insn& i) { return exec_xsave(c, i); }

/// Compacted form: AVX is the only component after the header, so its place is the same.
/// SDM 2D, "XSAVEC".
Result<> exec_xsavec(Cpu& c, const Insn& i) {
    TRY(check_xsave(c, i));
    const Gva at = linear_address(c, i);
    const Xcr0Word which = requested(c);
    TRY(probe_write(c, at, size_for(which)));
    Area area{};
    save_components(c, which, area);
    // MXCSR goes with SSE alone here.
    const bool avx_only = which.has(Xcr0::avx) && !which.has(Xcr0::sse);
    TRY(store_components(c, at, avx_only ? which.with(Xcr0::avx, false) : which, area));
    const unsigned lanes = xmm_size * registers_in_reach(c);
    if (avx_only) TRY(store_part(c, at, area, avx_offset, avx_offset + lanes));
    TRY(store(c, at + xstate_bv_offset, 8, which.to_raw()));
    return store(c, at + xcomp_bv_offset, 8, which.to_raw() | compacted);
}

/// SDM 2D, "XRSTOR".
Result<> exec_xrstor(Cpu& c, const Insn& i) {
    TRY(check_xsave(c, i));
    const Gva at = linear_address(c, i);
    const Xcr0Word which = requested(c);
    Area area{};
    TRY(load_bytes(c, at, area.data(), xsave_minimum_size));
    if (!is_header_legal(c, area)) return general_protection(c);
    const auto present = Xcr0Word::from_raw(word_at<u64>(area.data(), xstate_bv_offset));
    const bool compact = (word_at<u64>(area.data(), xcomp_bv_offset) & compacted) != 0;
    const Xcr0Word loaded = which & present;
    if (loaded.has(Xcr0::avx))
        TRY(load_bytes(c, at + avx_offset, area.data() + avx_offset, avx_size));
    const bool mxcsr = takes_mxcsr(which, present, compact);
    const u32 new_mxcsr = word_at<u32>(area.data(), mxcsr_offset);
    if (mxcsr && (new_mxcsr & mxcsr_reserved) != 0) return general_protection(c);

    init_extended_state(c, which.without(present).to_raw());
    load_components(c, loaded, area);
    if (mxcsr) set_guest_mxcsr(c, new_mxcsr);
    return Done{};
}

}  // namespace postern::cpu
