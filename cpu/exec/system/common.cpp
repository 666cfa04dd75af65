// SPDX-License-Identifier: Apache-2.0
// The stack and flags as system instructions use them.
#include "cpu/exec/system/common.h"

#include "cpu/flags.h"
#include "cpu/mmu/access.h"

namespace postern::cpu {

void set_zf(Cpu& c, bool on) {
    constexpr u64 zero = 1u << 6;
    from_image(c, (materialise(c) & ~zero) | (on ? zero : 0));
}

Result<> push_value(Cpu& c, u64 value, unsigned size) {
    const u64 top = c.gpr[rsp] - size;
    if (!is_canonical(c, top)) return raise(c, Vector::stack_fault, 0);
    TRY(store(c, Gva{top}, size, value));
    c.gpr[rsp] = top;
    return Done{};
}

Result<u64> peek_stack(Cpu& c, unsigned size, u64 offset) {
    const u64 at = c.gpr[rsp] + offset;
    if (!is_canonical(c, at)) return raise(c, Vector::stack_fault, 0);
    return load(c, Gva{at}, size);
}

}  // namespace postern::cpu
