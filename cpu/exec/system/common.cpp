// SPDX-License-Identifier: Apache-2.0
// The stack and flags as system instructions use them.
#include "cpu/exec/system/common.h"

#include "cpu/exec/segment_check.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"

namespace postern::cpu {

void set_zf(Cpu& c, bool on) {
    constexpr u64 zero = 1u << 6;
    from_image(c, (materialise(c) & ~zero) | (on ? zero : 0));
}

namespace {

/// The linear address of stack bytes at the stack pointer plus `distance`.
Result<Gva> stack_address(Cpu& c, u64 distance, unsigned size, Access access) {
    const u64 at = c.gpr[rsp] + distance;
    if (!in_64_bit_mode(c))
        return segment_address(c, ss, at & stack_mask(c.segment[ss]), size, access);
    if (!is_canonical(c, at)) return raise(c, Vector::stack_fault, 0);
    return Gva{at};
}

}  // namespace

Result<Gva> push_address(Cpu& c, unsigned size, u64 number) {
    return stack_address(c, u64{0} - number * size, size, Access::write);
}

Result<> push_value(Cpu& c, u64 value, unsigned size) {
    const Gva at = TRY(push_address(c, size));
    TRY(store(c, at, size, value));
    set_stack_pointer(c, c.gpr[rsp] - size);
    return Done{};
}

Result<> probe_pushes(Cpu& c, unsigned size, unsigned count) {
    for (unsigned n = 1; n <= count; ++n) {
        const Gva at = TRY(push_address(c, size, n));
        TRY(probe_write(c, at, size));
    }
    return Done{};
}

Result<u64> peek_stack(Cpu& c, unsigned size, u64 offset) {
    const Gva at = TRY(stack_address(c, offset, size, Access::read));
    return load(c, at, size);
}

void release_stack(Cpu& c, u64 bytes) { set_stack_pointer(c, c.gpr[rsp] + bytes); }

}  // namespace postern::cpu
