// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "Checks on Guest Segment Registers": ES, CS, SS, DS, FS and GS. A register that is not
// usable is checked only where a row says so; virtual-8086 mode has rules of its own, which
// replace the others.
#pragma once

#include <algorithm>
#include <array>

#include "arch/paging.h"
#include "arch/vmx/entry_checks/check.h"
#include "arch/vmx/entry_checks/segment.h"

namespace postern::vm_entry {

constexpr bool is_v86(const EntryView auto& v) { return guest_flags(v).has(Rflag::vm); }

// Types of code segments and of the data segment that CS may hold, as the manual numbers them.
inline constexpr unsigned data_read_write_accessed = 3;
inline constexpr unsigned data_expand_down_accessed = 7;
inline constexpr unsigned code_conforming_accessed = 13;

/// ES to GS, usable or not.
template <class Predicate>
constexpr bool all_six(const EntryView auto& v, Predicate holds) {
    for (unsigned index = es; index <= gs; ++index)
        if (!holds(v.segment(index))) return false;
    return true;
}

/// CS and the usable ones of the others, outside virtual-8086 mode.
template <class Predicate>
constexpr bool code_and_data(const EntryView auto& v, Predicate holds) {
    if (is_v86(v)) return true;
    for (unsigned index = es; index <= gs; ++index) {
        const Segment s = v.segment(index);
        if ((index == cs || !s.unusable()) && !holds(s)) return false;
    }
    return true;
}

/// The usable ones of DS, ES, FS and GS, outside virtual-8086 mode.
template <class Predicate>
constexpr bool data_only(const EntryView auto& v, Predicate holds) {
    if (is_v86(v)) return true;
    return std::ranges::all_of(std::array{ds, es, fs, gs}, [&](unsigned index) {
        const Segment s = v.segment(index);
        return s.unusable() || holds(s);
    });
}

constexpr bool is_valid_cs_type(const EntryView auto& v) {
    const unsigned type = v.segment(cs).type();
    return (type & 9) == 9 || (type == data_read_write_accessed && is_unrestricted_guest(v));
}

constexpr bool is_valid_ss_type(const Segment& s) {
    return s.unusable() || s.type() == data_read_write_accessed ||
           s.type() == data_expand_down_accessed;
}

enum class CodeKind : u8 { data, nonconforming, conforming };

constexpr CodeKind code_kind(const Segment& code) {
    if (code.type() == data_read_write_accessed) return CodeKind::data;
    return code.type() >= code_conforming_accessed ? CodeKind::conforming : CodeKind::nonconforming;
}

/// A rule for the privilege of a code segment of one kind: its DPL and that of SS.
template <class Predicate>
constexpr bool of_code(const EntryView auto& v, CodeKind kind, Predicate holds) {
    const Segment code = v.segment(cs);
    return is_v86(v) || code_kind(code) != kind || holds(code.dpl(), v.segment(ss).dpl());
}

constexpr bool needs_ss_dpl_0(const EntryView auto& v) {
    return code_kind(v.segment(cs)) == CodeKind::data || !guest_cr0(v).has(Cr0::pe);
}

/// Data and non-conforming code only.
inline constexpr auto is_valid_data_dpl = [](const Segment& s) {
    return s.type() > 11 || s.dpl() >= s.rpl();
};

template <EntryView View>
struct SegmentChecks {
    using Check = EntryCheck<View>;
    using F = VmcsField;

    static constexpr std::array rows{
        Check{title::guest_segments,
              "SS.RPL is CS.RPL, unless the guest is unrestricted or virtual-8086",
              [](const View& v) {
                  return is_v86(v) || is_unrestricted_guest(v) ||
                         v.segment(ss).rpl() == v.segment(cs).rpl();
              }},

        Check{title::guest_segments, "virtual-8086 bases are 16 times the selectors",
              [](const View& v) {
                  return implies(is_v86(v), all_six(v, [](const Segment& s) {
                                     return s.base == u64{s.selector} << 4;
                                 }));
              }},
        Check{title::guest_segments, "FS and GS bases are canonical",
              [](const View& v) {
                  return is_canonical(get<F::guest_fs_base>(v)) &&
                         is_canonical(get<F::guest_gs_base>(v));
              }},
        Check{title::guest_segments, "CS base has 32 bits",
              [](const View& v) { return get<F::guest_cs_base>(v) >> 32 == 0; }},
        Check{title::guest_segments, "usable SS, DS and ES have bases of 32 bits",
              [](const View& v) {
                  return std::ranges::all_of(std::array{ss, ds, es}, [&](unsigned index) {
                      const Segment s = v.segment(index);
                      return s.unusable() || s.base >> 32 == 0;
                  });
              }},

        Check{title::guest_segments, "virtual-8086 limits are FFFFH",
              [](const View& v) {
                  return implies(is_v86(v),
                                 all_six(v, [](const Segment& s) { return s.limit == 0xffff; }));
              }},

        Check{title::guest_segments, "virtual-8086 access rights are F3H",
              [](const View& v) {
                  return implies(is_v86(v), all_six(v, [](const Segment& s) {
                                     return s.access_rights == 0xf3;
                                 }));
              }},
        Check{title::guest_segments,
              "CS is accessed code, or writable data of an unrestricted guest",
              [](const View& v) { return is_v86(v) || is_valid_cs_type(v); }},
        Check{title::guest_segments, "a usable SS is accessed writable data",
              [](const View& v) { return is_v86(v) || is_valid_ss_type(v.segment(ss)); }},
        Check{title::guest_segments, "usable DS, ES, FS and GS are accessed",
              [](const View& v) {
                  return data_only(v, [](const Segment& s) { return (s.type() & 1) != 0; });
              }},
        Check{title::guest_segments, "code in DS, ES, FS and GS is readable",
              [](const View& v) {
                  return data_only(
                      v, [](const Segment& s) { return (s.type() & 8) == 0 || s.readable(); });
              }},
        Check{title::guest_segments, "CS and usable data segments have S set",
              [](const View& v) {
                  return code_and_data(v, [](const Segment& s) { return s.is_code_or_data(); });
              }},
        Check{title::guest_segments, "data in CS has DPL 0",
              [](const View& v) {
                  return of_code(v, CodeKind::data,
                                 [](unsigned code, unsigned) { return code == 0; });
              }},
        Check{title::guest_segments, "non-conforming code has the DPL of SS",
              [](const View& v) {
                  return of_code(v, CodeKind::nonconforming,
                                 [](unsigned code, unsigned stack) { return code == stack; });
              }},
        Check{title::guest_segments, "conforming code has no DPL above that of SS",
              [](const View& v) {
                  return of_code(v, CodeKind::conforming,
                                 [](unsigned code, unsigned stack) { return code <= stack; });
              }},
        Check{title::guest_segments, "SS.DPL is SS.RPL, unless the guest is unrestricted",
              [](const View& v) {
                  return is_v86(v) || is_unrestricted_guest(v) ||
                         v.segment(ss).dpl() == v.segment(ss).rpl();
              }},
        Check{title::guest_segments, "SS.DPL is 0 with data in CS and without protection",
              [](const View& v) {
                  return is_v86(v) || !needs_ss_dpl_0(v) || v.segment(ss).dpl() == 0;
              }},
        Check{title::guest_segments,
              "usable data segments' DPL is not below RPL, unless unrestricted",
              [](const View& v) {
                  return is_unrestricted_guest(v) || data_only(v, is_valid_data_dpl);
              }},
        Check{title::guest_segments, "CS and usable data segments are present",
              [](const View& v) {
                  return code_and_data(v, [](const Segment& s) { return s.present(); });
              }},
        Check{title::guest_segments, "CS and usable data segments have rights without bits 11:8",
              [](const View& v) { return code_and_data(v, has_no_reserved_middle); }},
        Check{title::guest_segments, "a 64-bit CS has D clear",
              [](const View& v) {
                  return is_v86(v) || implies(is_64_bit_code(v), !v.segment(cs).db());
              }},
        Check{title::guest_segments, "CS and usable data segments in bytes have G clear",
              [](const View& v) { return code_and_data(v, is_byte_limit_ungranular); }},
        Check{title::guest_segments, "CS and usable data segments above 1 MByte have G set",
              [](const View& v) { return code_and_data(v, is_large_limit_granular); }},
        Check{title::guest_segments, "CS and usable data segments have rights without bits 31:17",
              [](const View& v) { return code_and_data(v, has_no_reserved_top); }},
    };
};

}  // namespace postern::vm_entry
