// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "Checks on Guest Segment Registers". A register that is not usable is checked only
// where a row says so; virtual-8086 mode has rules of its own, which replace the others.
#include <array>

#include "arch/regs/cr0.h"
#include "arch/regs/rflags.h"
#include "cpu/vmx/check.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;

constexpr std::string_view title = "Checks on Guest Segment Registers";

Segment segment(const Cpu& c, unsigned index) { return guest_segment(c.vmx.vmcs, index); }

bool is_v86(const Cpu& c) { return Rflags::from_raw(get<F::guest_rflags>(c)).has(Rflag::vm); }
bool is_unrestricted(const Cpu& c) { return has(c, SecondaryControl::unrestricted_guest); }

// Code types as the manual numbers them.
constexpr unsigned data_read_write_accessed = 3;
constexpr unsigned data_expand_down_accessed = 7;
constexpr unsigned code_conforming_accessed = 13;

/// CS is always checked; it counts as usable.
bool is_checked(const Segment& s, unsigned index) { return index == cs || !s.unusable(); }

template <class Predicate>
bool all_of(const Cpu& c, unsigned first, unsigned last, Predicate holds) {
    for (unsigned index = first; index <= last; ++index) {
        const Segment s = segment(c, index);
        if (is_checked(s, index) && !holds(s, index)) return false;
    }
    return true;
}

/// ES, CS, SS, DS, FS, GS, outside virtual-8086 mode.
template <class Predicate>
bool code_and_data(const Cpu& c, Predicate holds) {
    return is_v86(c) || all_of(c, es, gs, holds);
}

bool is_granularity_consistent(const Segment& s) {
    if ((s.limit & 0xfff) != 0xfff && s.granularity()) return false;
    return (s.limit >> 20) == 0 || s.granularity();
}

bool has_reserved_rights(const Segment& s) {
    return (s.access_rights & access_rights_reserved) != 0;
}

bool is_v86_segment(const Segment& s) {
    return s.base == u64{s.selector} << 4 && s.limit == 0xffff && s.access_rights == 0xf3;
}

bool are_v86_segments(const Cpu& c) {
    for (unsigned index = es; index <= gs; ++index)
        if (!is_v86_segment(segment(c, index))) return false;
    return true;
}

bool is_valid_cs_type(const Cpu& c) {
    const unsigned type = segment(c, cs).type();
    if (type == data_read_write_accessed) return is_unrestricted(c);
    return (type & 9) == 9;  // code, accessed
}

bool is_valid_ss_type(const Segment& s) {
    return s.type() == data_read_write_accessed || s.type() == data_expand_down_accessed;
}

/// DS, ES, FS, GS: accessed, and readable if code.
bool is_valid_data_type(const Segment& s) {
    const bool code = (s.type() & 8) != 0;
    return (s.type() & 1) != 0 && (!code || (s.type() & 2) != 0);
}

bool is_valid_cs_dpl(const Cpu& c) {
    const Segment code = segment(c, cs);
    const unsigned stack_dpl = segment(c, ss).dpl();
    if (code.type() == data_read_write_accessed) return code.dpl() == 0;
    return code.type() >= code_conforming_accessed ? code.dpl() <= stack_dpl
                                                   : code.dpl() == stack_dpl;
}

bool is_valid_ss_dpl(const Cpu& c) {
    const Segment stack = segment(c, ss);
    if (!is_unrestricted(c) && stack.dpl() != stack.rpl()) return false;
    const bool must_be_0 = segment(c, cs).type() == data_read_write_accessed ||
                           !Cr0Word::from_raw(get<F::guest_cr0>(c)).has(Cr0::pe);
    return !must_be_0 || stack.dpl() == 0;
}

/// Data and non-conforming code only.
bool is_valid_data_dpl(const Segment& s) { return s.type() > 11 || s.dpl() >= s.rpl(); }

bool is_valid_tr_type(const Cpu& c) {
    const unsigned type = segment(c, tr).type();
    return type == 11 || (type == 3 && !has(c, EntryControl::ia32e_mode_guest));
}

/// LDTR, if usable.
template <class Predicate>
bool usable_ldtr(const Cpu& c, Predicate holds) {
    const Segment s = segment(c, ldtr);
    return s.unusable() || holds(s);
}

constexpr std::array checks{
    EntryCheck{title, "TR is in the GDT",
               [](Cpu& c) { return !selects_ldt(segment(c, tr).selector); }},
    EntryCheck{title, "LDTR is in the GDT",
               [](Cpu& c) {
                   return usable_ldtr(c, [](const Segment& s) { return !selects_ldt(s.selector); });
               }},
    EntryCheck{title, "SS.RPL is CS.RPL",
               [](Cpu& c) {
                   return is_v86(c) || is_unrestricted(c) ||
                          segment(c, ss).rpl() == segment(c, cs).rpl();
               }},
    EntryCheck{title, "virtual-8086 segments have their base, limit and rights",
               [](Cpu& c) { return implies(is_v86(c), are_v86_segments(c)); }},
    EntryCheck{title, "TR, FS and GS bases are canonical",
               [](Cpu& c) {
                   return is_canonical_48(get<F::guest_tr_base>(c)) &&
                          is_canonical_48(get<F::guest_fs_base>(c)) &&
                          is_canonical_48(get<F::guest_gs_base>(c));
               }},
    EntryCheck{title, "LDTR base is canonical",
               [](Cpu& c) {
                   return usable_ldtr(c, [](const Segment& s) { return is_canonical_48(s.base); });
               }},
    EntryCheck{title, "CS, SS, DS and ES bases have 32 bits",
               [](Cpu& c) {
                   return all_of(c, es, ds,
                                 [](const Segment& s, unsigned) { return s.base >> 32 == 0; });
               }},

    EntryCheck{title, "CS is accessed code",
               [](Cpu& c) { return is_v86(c) || is_valid_cs_type(c); }},
    EntryCheck{title, "SS is accessed writable data",
               [](Cpu& c) {
                   return code_and_data(c, [](const Segment& s, unsigned index) {
                       return index != ss || is_valid_ss_type(s);
                   });
               }},
    EntryCheck{title, "DS, ES, FS and GS are accessed and readable",
               [](Cpu& c) {
                   return code_and_data(c, [](const Segment& s, unsigned index) {
                       return index == cs || index == ss || is_valid_data_type(s);
                   });
               }},
    EntryCheck{title, "code and data segments have S set",
               [](Cpu& c) {
                   return code_and_data(
                       c, [](const Segment& s, unsigned) { return s.is_code_or_data(); });
               }},
    EntryCheck{title, "CS.DPL fits its type and SS.DPL",
               [](Cpu& c) { return is_v86(c) || is_valid_cs_dpl(c); }},
    EntryCheck{title, "SS.DPL is SS.RPL, and 0 without protection",
               [](Cpu& c) { return is_v86(c) || is_valid_ss_dpl(c); }},
    EntryCheck{title, "data segments' DPL is not below RPL",
               [](Cpu& c) {
                   return is_unrestricted(c) ||
                          code_and_data(c, [](const Segment& s, unsigned index) {
                              return index == cs || index == ss || is_valid_data_dpl(s);
                          });
               }},
    EntryCheck{title, "code and data segments are present",
               [](Cpu& c) {
                   return code_and_data(c, [](const Segment& s, unsigned) { return s.present(); });
               }},
    EntryCheck{title, "code and data rights have no reserved bit",
               [](Cpu& c) {
                   return code_and_data(
                       c, [](const Segment& s, unsigned) { return !has_reserved_rights(s); });
               }},
    EntryCheck{title, "a 64-bit CS has D clear",
               [](Cpu& c) { return implies(is_64_bit_code(c), !segment(c, cs).db()); }},
    EntryCheck{title, "code and data granularity fits the limit",
               [](Cpu& c) {
                   return code_and_data(
                       c, [](const Segment& s, unsigned) { return is_granularity_consistent(s); });
               }},

    EntryCheck{title, "TR is a busy TSS", [](Cpu& c) { return is_valid_tr_type(c); }},
    EntryCheck{title, "TR has S clear", [](Cpu& c) { return !segment(c, tr).is_code_or_data(); }},
    EntryCheck{title, "TR is present", [](Cpu& c) { return segment(c, tr).present(); }},
    EntryCheck{title, "TR is usable", [](Cpu& c) { return !segment(c, tr).unusable(); }},
    EntryCheck{title, "TR rights have no reserved bit",
               [](Cpu& c) { return !has_reserved_rights(segment(c, tr)); }},
    EntryCheck{title, "TR granularity fits the limit",
               [](Cpu& c) { return is_granularity_consistent(segment(c, tr)); }},

    EntryCheck{
        title, "LDTR is an LDT",
        [](Cpu& c) { return usable_ldtr(c, [](const Segment& s) { return s.type() == 2; }); }},
    EntryCheck{title, "LDTR has S clear",
               [](Cpu& c) {
                   return usable_ldtr(c, [](const Segment& s) { return !s.is_code_or_data(); });
               }},
    EntryCheck{title, "LDTR is present",
               [](Cpu& c) { return usable_ldtr(c, [](const Segment& s) { return s.present(); }); }},
    EntryCheck{title, "LDTR rights have no reserved bit",
               [](Cpu& c) {
                   return usable_ldtr(c, [](const Segment& s) { return !has_reserved_rights(s); });
               }},
    EntryCheck{title, "LDTR granularity fits the limit",
               [](Cpu& c) { return usable_ldtr(c, is_granularity_consistent); }},
};
static_assert(has_unique_keys(checks, [](const EntryCheck& check) { return check.rule; }));

}  // namespace

std::span<const EntryCheck> segment_checks() { return checks; }

}  // namespace postern::cpu::vmx
