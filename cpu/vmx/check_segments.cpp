// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "Checks on Guest Segment Registers": ES, CS, SS, DS, FS and GS. A register that is not
// usable is checked only where a row says so; virtual-8086 mode has rules of its own, which
// replace the others.
#include "cpu/vmx/check.h"
#include "cpu/vmx/check_segment.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;

constexpr std::string_view title = "Checks on Guest Segment Registers";

bool is_v86(const Cpu& c) { return guest_flags(c).has(Rflag::vm); }

// Types of code segments and of the data segment that CS may hold, as the manual numbers them.
constexpr unsigned data_read_write_accessed = 3;
constexpr unsigned data_expand_down_accessed = 7;
constexpr unsigned code_conforming_accessed = 13;

/// ES to GS, usable or not.
template <class Predicate>
bool all_six(const Cpu& c, Predicate holds) {
    for (unsigned index = es; index <= gs; ++index)
        if (!holds(segment(c, index))) return false;
    return true;
}

/// CS and the usable ones of the others, outside virtual-8086 mode.
template <class Predicate>
bool code_and_data(const Cpu& c, Predicate holds) {
    if (is_v86(c)) return true;
    for (unsigned index = es; index <= gs; ++index) {
        const Segment s = segment(c, index);
        if ((index == cs || !s.unusable()) && !holds(s)) return false;
    }
    return true;
}

/// The usable ones of DS, ES, FS and GS, outside virtual-8086 mode.
template <class Predicate>
bool data_only(const Cpu& c, Predicate holds) {
    if (is_v86(c)) return true;
    for (const unsigned index : {ds, es, fs, gs}) {
        const Segment s = segment(c, index);
        if (!s.unusable() && !holds(s)) return false;
    }
    return true;
}

bool is_valid_cs_type(const Cpu& c) {
    const unsigned type = segment(c, cs).type();
    return (type & 9) == 9 || (type == data_read_write_accessed && is_unrestricted_guest(c));
}

bool is_valid_ss_type(const Segment& s) {
    return s.unusable() || s.type() == data_read_write_accessed ||
           s.type() == data_expand_down_accessed;
}

enum class CodeKind : u8 { data, nonconforming, conforming };

CodeKind code_kind(const Segment& code) {
    if (code.type() == data_read_write_accessed) return CodeKind::data;
    return code.type() >= code_conforming_accessed ? CodeKind::conforming : CodeKind::nonconforming;
}

/// A rule for the privilege of a code segment of one kind: its DPL and that of SS.
template <class Predicate>
bool of_code(const Cpu& c, CodeKind kind, Predicate holds) {
    const Segment code = segment(c, cs);
    return is_v86(c) || code_kind(code) != kind || holds(code.dpl(), segment(c, ss).dpl());
}

bool needs_ss_dpl_0(const Cpu& c) {
    return code_kind(segment(c, cs)) == CodeKind::data || !guest_cr0(c).has(Cr0::pe);
}

/// Data and non-conforming code only.
constexpr auto is_valid_data_dpl = [](const Segment& s) {
    return s.type() > 11 || s.dpl() >= s.rpl();
};

constexpr std::array rows{
    EntryCheck{title, "SS.RPL is CS.RPL, unless the guest is unrestricted or virtual-8086",
               [](Cpu& c) {
                   return is_v86(c) || is_unrestricted_guest(c) ||
                          segment(c, ss).rpl() == segment(c, cs).rpl();
               }},

    EntryCheck{title, "virtual-8086 bases are 16 times the selectors",
               [](Cpu& c) {
                   return implies(is_v86(c), all_six(c, [](const Segment& s) {
                                      return s.base == u64{s.selector} << 4;
                                  }));
               }},
    EntryCheck{title, "FS and GS bases are canonical",
               [](Cpu& c) {
                   return is_canonical_48(get<F::guest_fs_base>(c)) &&
                          is_canonical_48(get<F::guest_gs_base>(c));
               }},
    EntryCheck{title, "CS base has 32 bits",
               [](Cpu& c) { return get<F::guest_cs_base>(c) >> 32 == 0; }},
    EntryCheck{title, "usable SS, DS and ES have bases of 32 bits",
               [](Cpu& c) {
                   for (const unsigned index : {ss, ds, es}) {
                       const Segment s = segment(c, index);
                       if (!s.unusable() && s.base >> 32 != 0) return false;
                   }
                   return true;
               }},

    EntryCheck{title, "virtual-8086 limits are FFFFH",
               [](Cpu& c) {
                   return implies(is_v86(c),
                                  all_six(c, [](const Segment& s) { return s.limit == 0xffff; }));
               }},

    EntryCheck{title, "virtual-8086 access rights are F3H",
               [](Cpu& c) {
                   return implies(is_v86(c), all_six(c, [](const Segment& s) {
                                      return s.access_rights == 0xf3;
                                  }));
               }},
    EntryCheck{title, "CS is accessed code, or writable data of an unrestricted guest",
               [](Cpu& c) { return is_v86(c) || is_valid_cs_type(c); }},
    EntryCheck{title, "a usable SS is accessed writable data",
               [](Cpu& c) { return is_v86(c) || is_valid_ss_type(segment(c, ss)); }},
    EntryCheck{
        title, "usable DS, ES, FS and GS are accessed",
        [](Cpu& c) { return data_only(c, [](const Segment& s) { return (s.type() & 1) != 0; }); }},
    EntryCheck{title, "code in DS, ES, FS and GS is readable",
               [](Cpu& c) {
                   return data_only(
                       c, [](const Segment& s) { return (s.type() & 8) == 0 || s.readable(); });
               }},
    EntryCheck{title, "CS and usable data segments have S set",
               [](Cpu& c) {
                   return code_and_data(c, [](const Segment& s) { return s.is_code_or_data(); });
               }},
    EntryCheck{title, "data in CS has DPL 0",
               [](Cpu& c) {
                   return of_code(c, CodeKind::data,
                                  [](unsigned code, unsigned) { return code == 0; });
               }},
    EntryCheck{title, "non-conforming code has the DPL of SS",
               [](Cpu& c) {
                   return of_code(c, CodeKind::nonconforming,
                                  [](unsigned code, unsigned stack) { return code == stack; });
               }},
    EntryCheck{title, "conforming code has no DPL above that of SS",
               [](Cpu& c) {
                   return of_code(c, CodeKind::conforming,
                                  [](unsigned code, unsigned stack) { return code <= stack; });
               }},
    EntryCheck{title, "SS.DPL is SS.RPL, unless the guest is unrestricted",
               [](Cpu& c) {
                   return is_v86(c) || is_unrestricted_guest(c) ||
                          segment(c, ss).dpl() == segment(c, ss).rpl();
               }},
    EntryCheck{title, "SS.DPL is 0 with data in CS and without protection",
               [](Cpu& c) { return is_v86(c) || !needs_ss_dpl_0(c) || segment(c, ss).dpl() == 0; }},
    EntryCheck{title, "usable data segments' DPL is not below RPL, unless unrestricted",
               [](Cpu& c) { return is_unrestricted_guest(c) || data_only(c, is_valid_data_dpl); }},
    EntryCheck{
        title, "CS and usable data segments are present",
        [](Cpu& c) { return code_and_data(c, [](const Segment& s) { return s.present(); }); }},
    EntryCheck{title, "CS and usable data segments have rights without bits 11:8",
               [](Cpu& c) { return code_and_data(c, has_no_reserved_middle); }},
    EntryCheck{
        title, "a 64-bit CS has D clear",
        [](Cpu& c) { return is_v86(c) || implies(is_64_bit_code(c), !segment(c, cs).db()); }},
    EntryCheck{title, "CS and usable data segments in bytes have G clear",
               [](Cpu& c) { return code_and_data(c, is_byte_limit_ungranular); }},
    EntryCheck{title, "CS and usable data segments above 1 MByte have G set",
               [](Cpu& c) { return code_and_data(c, is_large_limit_granular); }},
    EntryCheck{title, "CS and usable data segments have rights without bits 31:17",
               [](Cpu& c) { return code_and_data(c, has_no_reserved_top); }},
};
static_assert(has_unique_keys(rows, [](const EntryCheck& check) { return check.rule; }));

}  // namespace

CheckRows segment_checks() { return check_rows<rows>(); }

}  // namespace postern::cpu::vmx
