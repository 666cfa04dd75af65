// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "Checks on Guest Segment Registers": TR, and LDTR if it is usable.
#pragma once

#include "arch/paging.h"
#include "arch/vmx/entry_checks/check.h"
#include "arch/vmx/entry_checks/segment.h"

namespace postern::vm_entry {

constexpr Segment task(const EntryView auto& v) { return v.segment(tr); }

constexpr bool is_busy_tss(const EntryView auto& v) {
    const auto type = static_cast<SystemType>(task(v).type());
    return type == SystemType::tss_busy || (type == SystemType::tss16_busy && !is_ia32e_guest(v));
}

template <class Predicate>
constexpr bool usable_ldtr(const EntryView auto& v, Predicate holds) {
    const Segment s = v.segment(ldtr);
    return s.unusable() || holds(s);
}

inline constexpr auto is_ldt = [](const Segment& s) {
    return s.type() == static_cast<unsigned>(SystemType::ldt);
};

template <EntryView View>
struct SystemSegmentChecks {
    using Check = EntryCheck<View>;

    static constexpr std::array rows{
        Check{title::guest_segments, "TR is in the GDT",
              [](const View& v) { return !selects_ldt(task(v).selector); }},
        Check{title::guest_segments, "a usable LDTR is in the GDT",
              [](const View& v) {
                  return usable_ldtr(v, [](const Segment& s) { return !selects_ldt(s.selector); });
              }},
        Check{title::guest_segments, "TR base is canonical",
              [](const View& v) { return is_canonical(task(v).base); }},
        Check{title::guest_segments, "a usable LDTR's base is canonical",
              [](const View& v) {
                  return usable_ldtr(v, [](const Segment& s) { return is_canonical(s.base); });
              }},

        Check{title::guest_segments, "TR is a busy TSS, of 16 bits only outside IA-32e mode",
              [](const View& v) { return is_busy_tss(v); }},
        Check{title::guest_segments, "TR has S clear",
              [](const View& v) { return !task(v).is_code_or_data(); }},
        Check{title::guest_segments, "TR is present",
              [](const View& v) { return task(v).present(); }},
        Check{title::guest_segments, "TR rights have no bits 11:8",
              [](const View& v) { return has_no_reserved_middle(task(v)); }},
        Check{title::guest_segments, "a TR in bytes has G clear",
              [](const View& v) { return is_byte_limit_ungranular(task(v)); }},
        Check{title::guest_segments, "a TR above 1 MByte has G set",
              [](const View& v) { return is_large_limit_granular(task(v)); }},
        Check{title::guest_segments, "TR is usable",
              [](const View& v) { return !task(v).unusable(); }},
        Check{title::guest_segments, "TR rights have no bits 31:17",
              [](const View& v) { return has_no_reserved_top(task(v)); }},

        Check{title::guest_segments, "a usable LDTR is an LDT",
              [](const View& v) { return usable_ldtr(v, is_ldt); }},
        Check{title::guest_segments, "a usable LDTR has S clear",
              [](const View& v) {
                  return usable_ldtr(v, [](const Segment& s) { return !s.is_code_or_data(); });
              }},
        Check{title::guest_segments, "a usable LDTR is present",
              [](const View& v) {
                  return usable_ldtr(v, [](const Segment& s) { return s.present(); });
              }},
        Check{title::guest_segments, "a usable LDTR's rights have no bits 11:8",
              [](const View& v) { return usable_ldtr(v, has_no_reserved_middle); }},
        Check{title::guest_segments, "a usable LDTR in bytes has G clear",
              [](const View& v) { return usable_ldtr(v, is_byte_limit_ungranular); }},
        Check{title::guest_segments, "a usable LDTR above 1 MByte has G set",
              [](const View& v) { return usable_ldtr(v, is_large_limit_granular); }},
        Check{title::guest_segments, "a usable LDTR's rights have no bits 31:17",
              [](const View& v) { return usable_ldtr(v, has_no_reserved_top); }},
    };
};

}  // namespace postern::vm_entry
