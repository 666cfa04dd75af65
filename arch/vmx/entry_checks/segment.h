// SPDX-License-Identifier: Apache-2.0
// What the checks of code, data and system segments share.
#pragma once

#include "arch/regs/segment.h"

namespace postern::vm_entry {

// Objects, so that whoever is given one has it inline.

/// A limit that does not end a page cannot have been counted in pages.
inline constexpr auto is_byte_limit_ungranular = [](const Segment& s) {
    return (s.limit & 0xfff) == 0xfff || !s.granularity();
};
inline constexpr auto is_large_limit_granular = [](const Segment& s) {
    return s.limit >> 20 == 0 || s.granularity();
};

inline constexpr auto has_no_reserved_middle = [](const Segment& s) {
    return (s.access_rights & access_rights_reserved & 0xffff) == 0;
};
inline constexpr auto has_no_reserved_top = [](const Segment& s) {
    return (s.access_rights & access_rights_reserved) >> 16 == 0;
};

}  // namespace postern::vm_entry
