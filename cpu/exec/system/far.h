// SPDX-License-Identifier: Apache-2.0
// What far JMP, CALL, RET and IRET have in common: a code segment with an offset in it.
#pragma once

#include "base/result.h"
#include "cpu/cpu.h"

namespace postern::cpu {

/// Where a far transfer leads. In real mode there is no descriptor.
struct FarTarget {
    u64 offset;
    u64 descriptor;
    unsigned privilege;  // CPL afterwards
    u16 selector;
};

/// L and D of a code segment as IA-32e mode allows them together; else #GP(selector).
Result<> check_code_size(Cpu& c, const Segment& code, u16 selector, u32 external = 0);

/// The offset is canonical in 64-bit code, and within the limit of any other; else #GP(0).
Result<> check_far_offset(Cpu& c, const Segment& code, u64 offset, u32 external = 0);

/// Will code of this segment run in 64-bit mode?
bool is_64_bit_code(const Cpu& c, const Segment& code);

/// CS, CPL and Cpu::next_rip. The target has been checked and marked accessed.
void go_far(Cpu& c, const FarTarget& t);
/// The same in real mode.
Result<> go_far_real(Cpu& c, u16 selector, u64 offset);

}  // namespace postern::cpu
