// SPDX-License-Identifier: Apache-2.0
// SDM 3C, "Checks on Guest Segment Registers": TR, and LDTR if it is usable.
#include "cpu/vmx/check.h"
#include "cpu/vmx/check_segment.h"

namespace postern::cpu::vmx {
namespace {

constexpr std::string_view title = "Checks on Guest Segment Registers";

Segment task(const Cpu& c) { return segment(c, tr); }

bool is_busy_tss(const Cpu& c) {
    const auto type = static_cast<SystemType>(task(c).type());
    return type == SystemType::tss_busy || (type == SystemType::tss16_busy && !is_ia32e_guest(c));
}

template <class Predicate>
bool usable_ldtr(const Cpu& c, Predicate holds) {
    const Segment s = segment(c, ldtr);
    return s.unusable() || holds(s);
}

constexpr auto is_ldt = [](const Segment& s) {
    return s.type() == static_cast<unsigned>(SystemType::ldt);
};

constexpr std::array rows{
    EntryCheck{title, "TR is in the GDT", [](Cpu& c) { return !selects_ldt(task(c).selector); }},
    EntryCheck{title, "a usable LDTR is in the GDT",
               [](Cpu& c) {
                   return usable_ldtr(c, [](const Segment& s) { return !selects_ldt(s.selector); });
               }},
    EntryCheck{title, "TR base is canonical", [](Cpu& c) { return is_canonical_48(task(c).base); }},
    EntryCheck{title, "a usable LDTR's base is canonical",
               [](Cpu& c) {
                   return usable_ldtr(c, [](const Segment& s) { return is_canonical_48(s.base); });
               }},

    EntryCheck{title, "TR is a busy TSS, of 16 bits only outside IA-32e mode",
               [](Cpu& c) { return is_busy_tss(c); }},
    EntryCheck{title, "TR has S clear", [](Cpu& c) { return !task(c).is_code_or_data(); }},
    EntryCheck{title, "TR is present", [](Cpu& c) { return task(c).present(); }},
    EntryCheck{title, "TR rights have no bits 11:8",
               [](Cpu& c) { return has_no_reserved_middle(task(c)); }},
    EntryCheck{title, "a TR in bytes has G clear",
               [](Cpu& c) { return is_byte_limit_ungranular(task(c)); }},
    EntryCheck{title, "a TR above 1 MByte has G set",
               [](Cpu& c) { return is_large_limit_granular(task(c)); }},
    EntryCheck{title, "TR is usable", [](Cpu& c) { return !task(c).unusable(); }},
    EntryCheck{title, "TR rights have no bits 31:17",
               [](Cpu& c) { return has_no_reserved_top(task(c)); }},

    EntryCheck{title, "a usable LDTR is an LDT", [](Cpu& c) { return usable_ldtr(c, is_ldt); }},
    EntryCheck{title, "a usable LDTR has S clear",
               [](Cpu& c) {
                   return usable_ldtr(c, [](const Segment& s) { return !s.is_code_or_data(); });
               }},
    EntryCheck{title, "a usable LDTR is present",
               [](Cpu& c) { return usable_ldtr(c, [](const Segment& s) { return s.present(); }); }},
    EntryCheck{title, "a usable LDTR's rights have no bits 11:8",
               [](Cpu& c) { return usable_ldtr(c, has_no_reserved_middle); }},
    EntryCheck{title, "a usable LDTR in bytes has G clear",
               [](Cpu& c) { return usable_ldtr(c, is_byte_limit_ungranular); }},
    EntryCheck{title, "a usable LDTR above 1 MByte has G set",
               [](Cpu& c) { return usable_ldtr(c, is_large_limit_granular); }},
    EntryCheck{title, "a usable LDTR's rights have no bits 31:17",
               [](Cpu& c) { return usable_ldtr(c, has_no_reserved_top); }},
};
static_assert(has_unique_keys(rows, [](const EntryCheck& check) { return check.rule; }));

}  // namespace

CheckRows system_segment_checks() { return check_rows<rows>(); }

}  // namespace postern::cpu::vmx
