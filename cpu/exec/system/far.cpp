// SPDX-License-Identifier: Apache-2.0
// The ends of far transfers.
#include "cpu/exec/system/far.h"

#include "cpu/event/event.h"
#include "cpu/exec/address.h"
#include "cpu/exec/segment_check.h"
#include "cpu/exec/system/descriptor.h"
#include "cpu/mode.h"

namespace postern::cpu {

bool is_64_bit_code(const Cpu& c, const Segment& code) {
    return in_ia32e_mode(c) && code.is_long();
}

Result<> check_code_size(Cpu& c, const Segment& code, u16 selector, u32 external) {
    if (is_64_bit_code(c, code) && code.db())
        return general_protection(c, selector_error(selector, external));
    return Done{};
}

Result<> check_far_offset(Cpu& c, const Segment& code, u64 offset, u32 external) {
    const bool reachable =
        is_64_bit_code(c, code) ? is_canonical(c, offset) : in_code_segment(code, offset);
    if (!reachable) return general_protection(c, external);
    return Done{};
}

void go_far(Cpu& c, const FarTarget& t) {
    c.next_rip = t.offset;
    set_code_segment(c, code_segment(t.selector, t.descriptor, t.privilege), t.privilege);
}

Result<> go_far_real(Cpu& c, u16 selector, u64 offset) {
    if (!in_code_segment(c.segment[cs], offset)) return general_protection(c);
    c.next_rip = offset;
    set_code_segment(c, real_mode_segment(c.segment[cs], selector), 0);
    return Done{};
}

}  // namespace postern::cpu
