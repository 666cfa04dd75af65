// SPDX-License-Identifier: Apache-2.0
// Operands of ENCLS: the rule for their addresses (K19).
#include "hv/sgx/operand.h"

namespace postern::hv::test {
namespace {

constexpr u32 read_write = 0xc093, read_only = 0xc091, expands_down = 0xc097;
constexpr u32 execute_only = 0xc099, execute_read = 0xc09b, unusable = 0x1'0000;
constexpr u64 refused = ~u64{0} - 1;

constexpr u64 linear(const OperandRules& rules, u64 effective, u64 size, u64 alignment) {
    const Result<Gva> found = operand_linear(rules, effective, size, alignment);
    return found.ok() ? found.value().raw() : refused;
}
constexpr OperandRules segment(u32 rights, u32 limit, u64 base = 0) {
    return {.mode64 = false, .ds = {0x10, 0, rights, limit, 0, base}};
}

// 64-bit mode: canonical and aligned, and no segment.
constexpr OperandRules mode64{.ds = {0, 0, unusable, 0, 0, 0x5000}};
constexpr OperandRules mode64_la57{.linear_bits = 57};
static_assert(linear(mode64, 0x1000, 4096, 4096) == 0x1000);
static_assert(linear(mode64, 0x1020, 32, 32) == 0x1020);
static_assert(linear(mode64, 0x1010, 32, 32) == refused);
static_assert(linear(mode64, 0x7fff'ffff'f000, 4096, 4096) == 0x7fff'ffff'f000);
static_assert(linear(mode64, 0x8000'0000'0000, 4096, 4096) == refused);
static_assert(linear(mode64, 0xffff'7fff'ffff'f000, 4096, 4096) == refused);
static_assert(linear(mode64, 0xffff'8000'0000'0000, 4096, 4096) == 0xffff'8000'0000'0000);
static_assert(linear(mode64, 0xffff'ffff'ffff'f000, 4096, 4096) == 0xffff'ffff'ffff'f000);
static_assert(linear(mode64_la57, 0x8000'0000'0000, 4096, 4096) == 0x8000'0000'0000);
static_assert(linear(mode64_la57, 0x0100'0000'0000'0000, 4096, 4096) == refused);

// Elsewhere: 32 bits of the register, a segment that may be read and grows upwards.
constexpr OperandRules flat = segment(read_write, 0xffff'ffff);
static_assert(linear(flat, 0x1000, 4096, 4096) == 0x1000);
static_assert(linear(flat, 0xffff'ffff'0000'1000, 4096, 4096) == 0x1000);
static_assert(linear(flat, 0xffff'f000, 4096, 4096) == 0xffff'f000);
static_assert(linear(segment(read_only, 0xffff'ffff), 0x1000, 32, 32) == 0x1000);
static_assert(linear(segment(execute_read, 0xffff'ffff), 0x1000, 32, 32) == 0x1000);
static_assert(linear(segment(execute_only, 0xffff'ffff), 0x1000, 32, 32) == refused);
static_assert(linear(segment(expands_down, 0xfff), 0x2000, 32, 32) == refused);
static_assert(linear(segment(unusable | read_write, 0xffff'ffff), 0x1000, 32, 32) == refused);
// The limit is the last byte's.
static_assert(linear(segment(read_write, 0x1fff), 0x1000, 4096, 4096) == 0x1000);
static_assert(linear(segment(read_write, 0x1ffe), 0x1000, 4096, 4096) == refused);
static_assert(linear(segment(read_write, 0xfff), 0x1000, 1, 1) == refused);
// No sum wraps: the last page needs the whole limit.
static_assert(linear(segment(read_write, 0xffff'fffe), 0xffff'f000, 4096, 4096) == refused);
// It is the linear address that is aligned, and it has 32 bits.
static_assert(linear(segment(read_write, 0xffff'ffff, 0x10), 0x1010, 32, 32) == 0x1020);
static_assert(linear(segment(read_write, 0xffff'ffff, 0x10), 0x1020, 32, 32) == refused);
static_assert(linear(segment(read_write, 0xffff'ffff, 0xffff'f000), 0x2000, 32, 32) == 0x1000);

}  // namespace
}  // namespace postern::hv::test
