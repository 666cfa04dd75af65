// SPDX-License-Identifier: Apache-2.0
// Results and status flags of the instructions that are emulated, as pure functions. What the
// manual leaves undefined of the flags is cleared for AF and kept for the others.
#pragma once

#include "arch/regs/rflags.h"
#include "base/bits.h"
#include "hv/port.h"

namespace postern::hv {

constexpr unsigned bits_of(unsigned bytes) { return 8 * bytes; }
/// 1 to 8 bytes.
constexpr u64 size_mask(unsigned bytes) { return ~u64{0} >> (64 - bits_of(bytes)); }
constexpr bool sign_bit(u64 value, unsigned bytes) {
    return (value >> (bits_of(bytes) - 1) & 1) != 0;
}
constexpr u64 sign_extend(u64 value, unsigned bytes) {
    const unsigned shift = 64 - bits_of(bytes);
    return static_cast<u64>(static_cast<i64>(value << shift) >> shift);
}
constexpr u64 swap_bytes(u64 value, unsigned bytes) {
    return __builtin_bswap64(value) >> (64 - bits_of(bytes));
}

/// What a write of `bytes` bytes leaves in a general-purpose register. SDM 1, "General-Purpose
/// Registers in 64-Bit Mode": 32-bit results clear the upper half, smaller ones leave the rest.
constexpr u64 merge_register(u64 old, u64 value, unsigned bytes, bool high_byte) {
    if (bytes == 8) return value;
    if (bytes == 4) return value & 0xffff'ffff;
    const unsigned shift = high_byte ? 8 : 0;
    const u64 mask = size_mask(bytes) << shift;
    return (old & ~mask) | (value << shift & mask);
}
static_assert(merge_register(~u64{0}, 0x12, 1, true) == 0xffff'ffff'ffff'12ff);
static_assert(merge_register(~u64{0}, 0x1234'5678, 4, false) == 0x1234'5678);

/// What an instruction leaves: its result, and all of RFLAGS.
struct Computed {
    u64 value = 0;
    Rflags flags;
};

constexpr Rflags with_result_flags(Rflags flags, u64 result, unsigned bytes) {
    flags.set(Rflag::zf, result == 0);
    flags.set(Rflag::sf, sign_bit(result, bytes));
    flags.set(Rflag::pf, __builtin_parity(static_cast<unsigned>(result & 0xff)) == 0);
    return flags;
}

/// `carries`: the carry out of each bit.
constexpr Rflags with_carries(Rflags flags, u64 carries, unsigned bytes) {
    const bool carry = sign_bit(carries, bytes);
    flags.set(Rflag::cf, carry);
    flags.set(Rflag::of, carry != sign_bit(carries << 1, bytes));
    flags.set(Rflag::af, bit<3>(carries));
    return flags;
}

/// SDM 2A, "ADD", "ADC".
constexpr Computed add(u64 a, u64 b, bool carry, unsigned bytes, Rflags flags) {
    const u64 value = (a + b + (carry ? 1 : 0)) & size_mask(bytes);
    const u64 carries = (a & b) | ((a | b) & ~value);
    return {value, with_result_flags(with_carries(flags, carries, bytes), value, bytes)};
}

/// SDM 2B, "SUB", "SBB"; also CMP, NEG, CMPS, SCAS and CMPXCHG.
constexpr Computed subtract(u64 a, u64 b, bool borrow, unsigned bytes, Rflags flags) {
    const u64 value = (a - b - (borrow ? 1 : 0)) & size_mask(bytes);
    const u64 borrows = (~a & b) | ((~a | b) & value);
    return {value, with_result_flags(with_carries(flags, borrows, bytes), value, bytes)};
}

/// SDM 2A and 2B, "AND", "OR", "XOR", "TEST".
constexpr Computed logic(u64 value, unsigned bytes, Rflags flags) {
    return {value,
            with_result_flags(flags.without({Rflag::cf, Rflag::of, Rflag::af}), value, bytes)};
}

/// INC and DEC: as ADD and SUB, but CF stays.
constexpr Computed keep_carry(Computed computed, Rflags before) {
    computed.flags.set(Rflag::cf, before.has(Rflag::cf));
    return computed;
}

/// SDM 2B, "RCL/RCR/ROL/ROR-". OF is that of the last of 1-bit rotations.
constexpr Computed rotate(Operation operation, u64 value, unsigned count, unsigned bytes,
                          Rflags flags) {
    const unsigned width = bits_of(bytes);
    const bool left = operation == Operation::rol || operation == Operation::rcl;
    const bool through = operation == Operation::rcl || operation == Operation::rcr;
    if (count == 0) return {value, flags};
    bool carry = flags.has(Rflag::cf);
    bool overflow = flags.has(Rflag::of);
    for (unsigned i = through ? count % (width + 1) : count; i != 0; --i) {
        const bool out = left ? sign_bit(value, bytes) : (value & 1) != 0;
        const bool in = through ? carry : out;
        carry = out;
        if (left) {
            value = (value << 1 | u64{in}) & size_mask(bytes);
            overflow = sign_bit(value, bytes) != carry;
        } else {
            value = value >> 1 | u64{in} << (width - 1);
            overflow = sign_bit(value, bytes) != sign_bit(value << 1, bytes);
        }
    }
    flags.set(Rflag::cf, carry);
    flags.set(Rflag::of, overflow);
    return {value, flags};
}

/// SDM 2B, "SAL/SAR/SHL/SHR".
constexpr Computed shift(Operation operation, u64 value, unsigned count, unsigned bytes,
                         Rflags flags) {
    if (count == 0) return {value, flags};
    bool carry = false;
    bool overflow = false;
    const bool negative = operation == Operation::sar && sign_bit(value, bytes);
    for (unsigned i = count; i != 0; --i) {
        const u64 before = value;
        if (operation == Operation::shl) {
            carry = sign_bit(before, bytes);
            value = before << 1 & size_mask(bytes);
            overflow = sign_bit(value, bytes) != carry;
        } else {
            carry = (before & 1) != 0;
            value = before >> 1 | u64{negative} << (bits_of(bytes) - 1);
            overflow = sign_bit(before, bytes) && !negative;
        }
    }
    flags.set(Rflag::cf, carry);
    flags.set(Rflag::of, overflow);
    flags.set(Rflag::af, false);
    return {value, with_result_flags(flags, value, bytes)};
}

constexpr bool is_shift(Operation operation) {
    return operation >= Operation::rol && operation <= Operation::sar;
}
constexpr bool writes_result(Operation operation) {
    return operation != Operation::cmp && operation != Operation::test &&
           operation != Operation::bt;
}

/// `a` is the first operand, `b` the second if there is one; both of `bytes` bytes.
constexpr Computed compute(Operation operation, u64 a, u64 b, unsigned bytes, Rflags flags) {
    const bool carry = flags.has(Rflag::cf);
    if (is_shift(operation)) {
        const unsigned count = static_cast<unsigned>(b) & (bytes == 8 ? 63 : 31);
        return operation < Operation::shl ? rotate(operation, a, count, bytes, flags)
                                          : shift(operation, a, count, bytes, flags);
    }
    switch (operation) {
        case Operation::add: return add(a, b, false, bytes, flags);
        case Operation::adc: return add(a, b, carry, bytes, flags);
        case Operation::sub:
        case Operation::cmp: return subtract(a, b, false, bytes, flags);
        case Operation::sbb: return subtract(a, b, carry, bytes, flags);
        case Operation::and_:
        case Operation::test: return logic(a & b, bytes, flags);
        case Operation::or_: return logic(a | b, bytes, flags);
        case Operation::xor_: return logic(a ^ b, bytes, flags);
        case Operation::inc: return keep_carry(add(a, 1, false, bytes, flags), flags);
        case Operation::dec: return keep_carry(subtract(a, 1, false, bytes, flags), flags);
        case Operation::neg: return subtract(0, a, false, bytes, flags);
        case Operation::not_: return {~a & size_mask(bytes), flags};
        default: return {a, flags};
    }
}

/// SDM 2A, "BT", "BTC", "BTR", "BTS": CF is the bit as it was. `number` is below the operand's
/// width.
constexpr Computed compute_bit(Operation operation, u64 value, unsigned number, Rflags flags) {
    const u64 mask = u64{1} << number;
    flags.set(Rflag::cf, (value & mask) != 0);
    switch (operation) {
        case Operation::bts: return {value | mask, flags};
        case Operation::btr: return {value & ~mask, flags};
        case Operation::btc: return {value ^ mask, flags};
        default: return {value, flags};
    }
}

/// SDM 1, appendix "EFLAGS Condition Codes".
constexpr bool holds(unsigned condition, Rflags flags) {
    const bool less = flags.has(Rflag::sf) != flags.has(Rflag::of);
    bool result = false;
    switch (condition >> 1 & 7) {
        case 0: result = flags.has(Rflag::of); break;
        case 1: result = flags.has(Rflag::cf); break;
        case 2: result = flags.has(Rflag::zf); break;
        case 3: result = flags.has(Rflag::cf) || flags.has(Rflag::zf); break;
        case 4: result = flags.has(Rflag::sf); break;
        case 5: result = flags.has(Rflag::pf); break;
        case 6: result = less; break;
        default: result = less || flags.has(Rflag::zf); break;
    }
    return result != ((condition & 1) != 0);
}

static_assert(add(0x7f, 1, false, 1, {}).flags == Rflags{Rflag::sf, Rflag::of, Rflag::af});
static_assert(add(0xff, 1, false, 1, {}).flags ==
              Rflags{Rflag::zf, Rflag::cf, Rflag::af, Rflag::pf});
static_assert(subtract(0, 1, false, 8, {}).value == ~u64{0});
static_assert(subtract(0x80, 1, false, 1, {}).flags.has_all({Rflag::of, Rflag::af}));
static_assert(compute(Operation::rcl, 0x80, 1, 1, {}).value == 0);
static_assert(compute(Operation::sar, 0x80, 3, 1, {}).value == 0xf0);
static_assert(compute(Operation::ror, 1, 1, 4, {}).value == 0x8000'0000);

}  // namespace postern::hv
