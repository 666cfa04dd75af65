// SPDX-License-Identifier: Apache-2.0
// SECINFO, page types, PCMD.
#pragma once

#include <array>
#include <string_view>

#include "base/bits.h"
#include "base/flag_word.h"

namespace postern {

/// SDM 3D, "PAGE_TYPE Field Definition".
enum class PageType : u8 {
    secs = 0,
    tcs = 1,
    reg = 2,
    va = 3,
    trim = 4,
    ss_first = 5,
    ss_rest = 6,
};

constexpr std::string_view name_of(PageType type) {
    constexpr std::array<std::string_view, 7> names{"PT_SECS", "PT_TCS",      "PT_REG",    "PT_VA",
                                                    "PT_TRIM", "PT_SS_FIRST", "PT_SS_REST"};
    const auto number = static_cast<size_t>(type);
    return number < names.size() ? names[number] : "unknown";
}

/// Pages of an enclave: they name its SECS, and they can be blocked.
constexpr bool is_child(PageType type) {
    return type == PageType::reg || type == PageType::tcs || type == PageType::trim;
}

/// SDM 3D, "SECINFO.FLAGS". The page type is bits 15:8.
enum class SecinfoFlag : u8 { r = 0, w = 1, x = 2, pending = 3, modified = 4, pr = 5 };
using SecinfoFlags = FlagWord<SecinfoFlag>;

constexpr PageType page_type(SecinfoFlags flags) {
    return static_cast<PageType>(bits<15, 8>(flags.to_raw()));
}

constexpr SecinfoFlags with_page_type(SecinfoFlags flags, PageType type) {
    return SecinfoFlags::from_raw(with_bits<15, 8>(flags.to_raw(), static_cast<u8>(type)));
}

inline constexpr u64 secinfo_flags_reserved = bit_mask(63, 16) | bit_mask(7, 6);

/// SDM 3D, "Security Information (SECINFO)".
struct alignas(64) Secinfo {
    SecinfoFlags flags;
    std::array<u8, 56> reserved_8;

    [[nodiscard]] constexpr bool reserved_is_zero() const {
        for (const u8 byte : reserved_8)
            if (byte != 0) return false;
        return (flags.to_raw() & secinfo_flags_reserved) == 0;
    }
};
static_assert(sizeof(Secinfo) == 64 && alignof(Secinfo) == 64);
static_assert(offsetof(Secinfo, flags) == 0);
static_assert(offsetof(Secinfo, reserved_8) == 8);

/// SDM 3D, "Paging Crypto MetaData (PCMD)".
struct alignas(128) Pcmd {
    Secinfo secinfo;
    u64 enclaveid;
    std::array<u8, 40> reserved_72;
    std::array<u8, 16> mac;
};
static_assert(sizeof(Pcmd) == 128 && alignof(Pcmd) == 128);
static_assert(offsetof(Pcmd, secinfo) == 0);
static_assert(offsetof(Pcmd, enclaveid) == 64);
static_assert(offsetof(Pcmd, reserved_72) == 72);
static_assert(offsetof(Pcmd, mac) == 112);

/// SDM 3D, "Version Array (VA)": slots of 8 bytes.
inline constexpr unsigned va_slot_count = 512;

}  // namespace postern
