// SPDX-License-Identifier: Apache-2.0
// The state save area: GPRSGX, EXITINFO, EXINFO, and the synthetic state that an asynchronous
// exit leaves in the registers.
#pragma once

#include <array>

#include "arch/exception.h"
#include "arch/sgx/attributes.h"
#include "base/bits.h"

namespace postern {

enum class ExitinfoType : u8 { none = 0, hardware = 3, software = 6 };

/// SDM 3D, "EXITINFO".
class Exitinfo {
public:
    constexpr Exitinfo() = default;
    constexpr Exitinfo(Vector vector, ExitinfoType type)
        : raw_{static_cast<u32>(vector) | static_cast<u32>(type) << 8 | 1u << 31} {}
    static constexpr Exitinfo from_raw(u32 raw) {
        Exitinfo info;
        info.raw_ = raw;
        return info;
    }
    [[nodiscard]] constexpr u32 to_raw() const { return raw_; }

    [[nodiscard]] constexpr u8 vector() const { return static_cast<u8>(raw_); }
    [[nodiscard]] constexpr ExitinfoType type() const {
        return static_cast<ExitinfoType>(raw_ >> 8 & 7);
    }
    [[nodiscard]] constexpr bool valid() const { return bit<31>(raw_); }

    friend constexpr bool operator==(Exitinfo, Exitinfo) = default;

private:
    u32 raw_ = 0;
};

/// What an AEX caused by `vector` records. SDM 3D, "EXITINFO", table "Exception Vectors".
/// Everything not an exception of this list leaves the field 0. (#GP and #PF without EXINFO:
/// the text says cleared, the pseudo-code leaves it stale; the text is followed.)
constexpr Exitinfo exitinfo_of(Vector vector, SgxMiscselectWord miscselect) {
    const auto if_selected = [=](SgxMiscselect needed) {
        return miscselect.has(needed) ? Exitinfo{vector, ExitinfoType::hardware} : Exitinfo{};
    };
    switch (vector) {
        case Vector::divide_error:
        case Vector::debug:
        case Vector::bound_range:
        case Vector::invalid_opcode:
        case Vector::x87_floating_point:
        case Vector::alignment_check:
        case Vector::simd_floating_point: return {vector, ExitinfoType::hardware};
        case Vector::breakpoint: return {vector, ExitinfoType::software};
        case Vector::general_protection:
        case Vector::page_fault: return if_selected(SgxMiscselect::exinfo);
        case Vector::control_protection: return if_selected(SgxMiscselect::cpinfo);
        default: return {};
    }
}

/// SDM 3D, "GPRSGX Region". 184 bytes: the manual's table once said 176. It ends where the SSA
/// frame ends.
struct Gprsgx {
    u64 rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi;
    u64 r8, r9, r10, r11, r12, r13, r14, r15;
    u64 rflags;
    u64 rip;
    u64 ursp;
    u64 urbp;
    Exitinfo exitinfo;
    std::array<u8, 3> reserved_164;
    u8 aexnotify;
    u64 fsbase;
    u64 gsbase;
};
static_assert(sizeof(Gprsgx) == 184);
static_assert(offsetof(Gprsgx, rax) == 0 && offsetof(Gprsgx, rcx) == 8);
static_assert(offsetof(Gprsgx, rdx) == 16 && offsetof(Gprsgx, rbx) == 24);
static_assert(offsetof(Gprsgx, rsp) == 32 && offsetof(Gprsgx, rbp) == 40);
static_assert(offsetof(Gprsgx, rsi) == 48 && offsetof(Gprsgx, rdi) == 56);
static_assert(offsetof(Gprsgx, r8) == 64 && offsetof(Gprsgx, r9) == 72);
static_assert(offsetof(Gprsgx, r10) == 80 && offsetof(Gprsgx, r11) == 88);
static_assert(offsetof(Gprsgx, r12) == 96 && offsetof(Gprsgx, r13) == 104);
static_assert(offsetof(Gprsgx, r14) == 112 && offsetof(Gprsgx, r15) == 120);
static_assert(offsetof(Gprsgx, rflags) == 128 && offsetof(Gprsgx, rip) == 136);
static_assert(offsetof(Gprsgx, ursp) == 144 && offsetof(Gprsgx, urbp) == 152);
static_assert(offsetof(Gprsgx, exitinfo) == 160);
static_assert(offsetof(Gprsgx, reserved_164) == 164);
static_assert(offsetof(Gprsgx, aexnotify) == 167);
static_assert(offsetof(Gprsgx, fsbase) == 168 && offsetof(Gprsgx, gsbase) == 176);

inline constexpr u32 gprsgx_size = sizeof(Gprsgx);

/// SDM 3D, "EXINFO Structure". Lies just below GPRSGX.
struct Exinfo {
    u64 maddr;
    u32 errcd;
    u32 reserved_12;
};
static_assert(sizeof(Exinfo) == 16);
static_assert(offsetof(Exinfo, maddr) == 0);
static_assert(offsetof(Exinfo, errcd) == 8);
static_assert(offsetof(Exinfo, reserved_12) == 12);

/// The MISC region's size. SDM 3D, "MISC Region".
constexpr u32 misc_region_size(SgxMiscselectWord miscselect) {
    return miscselect.has(SgxMiscselect::exinfo) ? sizeof(Exinfo) : 0;
}

/// The smallest SSA frame that holds an XSAVE area of `xsave_size` bytes. SDM 3D, "ECREATE".
constexpr u64 ssa_frame_minimum(u32 xsave_size, SgxMiscselectWord miscselect) {
    return u64{xsave_size} + misc_region_size(miscselect) + gprsgx_size;
}

/// Offsets within a frame of `frame_bytes`.
constexpr u64 gprsgx_offset(u64 frame_bytes) { return frame_bytes - gprsgx_size; }
constexpr u64 exinfo_offset(u64 frame_bytes) { return gprsgx_offset(frame_bytes) - sizeof(Exinfo); }

/// What registers hold after an asynchronous exit. SDM 3D, "Synthetic State on Asynchronous
/// Enclave Exit".
namespace synthetic {
inline constexpr u64 rax = 3;  // ERESUME
inline constexpr u16 fcw = 0x037f;
inline constexpr u16 fcw_on_mf = 0x037e;
inline constexpr u16 fsw = 0;
inline constexpr u16 fsw_on_mf = 0x8081;
inline constexpr u32 mxcsr = 0x1fb0;
inline constexpr u32 mxcsr_on_xm = 0x1f01;
/// CF, PF, AF, ZF, SF, OF, RF.
inline constexpr u64 rflags_cleared = 0x0001'08d5;
}  // namespace synthetic

}  // namespace postern
