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

// Offsets in the legacy region, beside those of fxstate.h.
constexpr unsigned fcw_offset = 0;
constexpr unsigned fsw_offset = 2;
constexpr unsigned ftw_offset = 4;

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
    std::memset(area, 0, legacy_mxcsr);
    const X87State x87 = guest_x87(c);
    put_word(area, fcw_offset, x87.fcw);
    put_word(area, fsw_offset, x87.fsw);
    put_word(area, ftw_offset, x87.tag);
    for (size_t n = 0; n < 8; ++n) {
        std::memset(area + legacy_st + 16 * n, 0, 16);
        std::memcpy(area + legacy_st + 16 * n, x87.st[n].data(), 10);
    }
}

void save_mxcsr(const Cpu& c, u8* area) {
    put_word(area, legacy_mxcsr, guest_mxcsr(c));
    put_word(area, legacy_mxcsr + 4, mxcsr_mask);
}

void save_xmm(const Cpu& c, u8* area) {
    for (size_t n = 0; n < vectors_in_reach(c); ++n)
        std::memcpy(area + legacy_xmm + 16 * n, c.vector.zmm[n].bytes.data(), 16);
}

Result<> check_sse(Cpu& c) {
    if (c.cr0.has(Cr0::em) || !c.cr4.has(Cr4::osfxsr)) return invalid_opcode(c);
    if (c.cr0.has(Cr0::ts)) return raise(c, Vector::device_not_available);
    return Done{};
}

Result<> check_fxsave(Cpu& c, const Insn& i) {
    TRY(check_x87(c));
    if (!is_aligned(linear_address(c, i).raw(), u64{16})) return general_protection(c);
    return Done{};
}

}  // namespace

void load_x87(Cpu& c, const u8* area) {
    X87State x87{};
    x87.fcw = usable_fcw(word_at<u16>(area, fcw_offset));
    x87.fsw = usable_fsw(word_at<u16>(area, fsw_offset), x87.fcw);
    x87.tag = area[ftw_offset];
    for (size_t n = 0; n < 8; ++n) std::memcpy(x87.st[n].data(), area + legacy_st + 16 * n, 10);
    set_guest_x87(c, x87);
}

void load_xmm(Cpu& c, const u8* area) {
    for (size_t n = 0; n < vectors_in_reach(c); ++n)
        std::memcpy(c.vector.zmm[n].bytes.data(), area + legacy_xmm + 16 * n, 16);
}

void init_x87(Cpu& c) {
    X87State x87{};
    x87.fcw = fcw_init;
    set_guest_x87(c, x87);
}

void save_legacy_region(const Cpu& c, u8* area512) {
    save_x87(c, area512);
    save_mxcsr(c, area512);
    save_xmm(c, area512);
}

bool load_legacy_region(Cpu& c, const u8* area512) {
    const u32 mxcsr = word_at<u32>(area512, legacy_mxcsr);
    if ((mxcsr & mxcsr_reserved) != 0) return false;
    set_guest_mxcsr(c, mxcsr);
    load_x87(c, area512);
    load_xmm(c, area512);
    return true;
}

/// The x87, MXCSR and XMM state to memory. SDM 2A, "FXSAVE".
Result<> exec_fxsave(Cpu& c, const Insn& i) {
    TRY(check_fxsave(c, i));
    const Gva at = linear_address(c, i);
    TRY(probe_write(c, at, xsave_legacy_size));
    std::array<u8, xsave_legacy_size> image;
    save_legacy_region(c, image.data());
    return store_bytes(c, at, image.data(), legacy_end_in_reach(c));
}

/// The inverse. SDM 2A, "FXRSTOR".
Result<> exec_fxrstor(Cpu& c, const Insn& i) {
    TRY(check_fxsave(c, i));
    std::array<u8, xsave_legacy_size> image;
    TRY(load_bytes(c, linear_address(c, i), image.data(), xsave_legacy_size));
    if (!load_legacy_region(c, image.data())) return general_protection(c);
    return Done{};
}

/// SDM 2A, "LDMXCSR". Whether AVX is on, the decoder knows.
Result<> exec_vldmxcsr(Cpu& c, const Insn& i) {
    const auto value = static_cast<u32>(TRY(load(c, linear_address(c, i), 4)));
    if ((value & mxcsr_reserved) != 0) return general_protection(c);
    set_guest_mxcsr(c, value);
    return Done{};
}
Result<> exec_ldmxcsr(Cpu& c, const Insn& i) {
    TRY(check_sse(c));
    return exec_vldmxcsr(c, i);
}

/// SDM 2B, "STMXCSR".
Result<> exec_vstmxcsr(Cpu& c, const Insn& i) {
    return store(c, linear_address(c, i), 4, guest_mxcsr(c));
}
Result<> exec_stmxcsr(Cpu& c, const Insn& i) {
    TRY(check_sse(c));
    return exec_vstmxcsr(c, i);
}

}  // namespace postern::cpu
