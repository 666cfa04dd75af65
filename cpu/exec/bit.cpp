// SPDX-License-Identifier: Apache-2.0
// Bit tests and scans, double shifts, and the exchanges that LOCK makes atomic (processors take
// turns, so every instruction is).
#include <bit>

#include "cpu/event/event.h"
#include "cpu/exec/build.h"
#include "cpu/exec/operand.h"
#include "cpu/flags.h"
#include "cpu/simd/operand_buffer.h"

namespace postern::cpu {
namespace {

enum class BitOp : u8 { test, set, reset, complement };

template <BitOp op>
u64 changed(u64 value, u64 mask) {
    switch (op) {
        case BitOp::test: return value;
        case BitOp::set: return value | mask;
        case BitOp::reset: return value & ~mask;
        case BitOp::complement: return value ^ mask;
    }
    return value;
}

template <BitOp op>
Result<> bit_test_memory(Cpu& c, Gva at, unsigned size, u64 mask) {
    if (op != BitOp::test) TRY(probe_write(c, at, size));
    const u64 value = TRY(load(c, at, size));
    if (op != BitOp::test) TRY(store(c, at, size, changed<op>(value, mask)));
    set_cf(c, (value & mask) != 0);
    return Done{};
}

/// The bit offset: an immediate (src = row_zero) or a signed register, which with a memory
/// operand reaches beyond it. SDM 2A, "BT".
template <BitOp op>
Result<> bit_test(Cpu& c, const Insn& i) {
    const unsigned size = size_of(i);
    const unsigned bits = 8 * size;
    const bool immediate = i.src == row_zero;
    const u64 offset = immediate ? static_cast<u64>(i.imm) : get_sized(c, i.src, size);
    const u64 mask = u64{1} << (offset % bits);

    if (!has_memory(i)) {
        const u64 value = get_sized(c, i.dst, size);
        if (op != BitOp::test) put_sized(c, i.dst, size, changed<op>(value, mask));
        set_cf(c, (value & mask) != 0);
        return Done{};
    }
    const unsigned unused = 64 - bits;
    const i64 signed_offset = static_cast<i64>(offset << unused) >> unused;
    const i64 units = immediate ? 0 : signed_offset >> std::countr_zero(bits);
    u64 effective = effective_address(c, i) + static_cast<u64>(units * size);
    if ((i.form & form_address32) != 0) effective = static_cast<u32>(effective);
    const Gva at{effective + c.gpr[i.segment]};
    const Result<> done = bit_test_memory<op>(c, at, size, mask);
    if (!done) blame_stack_operand(c, i, at.raw());
    return done;
}

template <BitOp op, class T, bool immediate>
Step bit_test_reg(Cpu& c, const Insn* i) {
    const u64 offset = immediate ? static_cast<u64>(i->imm) : get<T>(c, i->src);
    const u64 mask = u64{1} << (offset % width_of<T>);
    const T value = get<T>(c, i->dst);
    if constexpr (op != BitOp::test) put<T>(c, i->dst, static_cast<T>(changed<op>(value, mask)));
    set_cf(c, (value & mask) != 0);
    NEXT(c, i);
}
template <BitOp op, class T>
Step bit_test_mem_imm(Cpu& c, const Insn* i) {
    constexpr Access access = op == BitOp::test ? Access::read : Access::write;
    constexpr auto tag = op == BitOp::test ? &TlbEntry::read : &TlbEntry::write;
    u8* p = hit<T, tag>(c, fast_linear(c, i));
    if (p == nullptr) [[unlikely]]
        TAIL miss<inside_block<bit_test<op>>, access, sizeof(T)>(c, i);
    const u64 mask = u64{1} << (static_cast<u64>(i->imm) % width_of<T>);
    const T value = read_host<T>(p);
    if constexpr (op != BitOp::test) write_host<T>(p, static_cast<T>(changed<op>(value, mask)));
    set_cf(c, (value & mask) != 0);
    NEXT(c, i);
}

template <BitOp op>
Handler pick_bit_test(const Decoded& d, const Insn& i) {
    const bool immediate = d.is_immediate(1);
    if (d.is_memory(0) && !immediate) return inside_block<bit_test<op>>;
    return by_size(d.size(0), [&](auto t) -> Handler {
        using T = decltype(t);
        if constexpr (sizeof(T) == 1) return nullptr;
        if (d.is_memory(0))
            return fast_or_slow(i, bit_test_mem_imm<op, T>, inside_block<bit_test<op>>);
        return immediate ? bit_test_reg<op, T, true> : bit_test_reg<op, T, false>;
    });
}

/// BSF and BSR of zero leave all 64 bits of the destination alone (SDM 2A, "BSF": only "some
/// older processors" clear the upper half), and only ZF is defined; the others become those of a
/// comparison of the source with zero.
template <bool forward>
Result<> bit_scan(Cpu& c, const Insn& i) {
    const unsigned size = size_of(i);
    const u64 value = TRY(read_operand(c, i, i.src));
    set_logic_flags(c, value);
    if (value == 0) return Done{};
    const int index = forward ? std::countr_zero(value) : 63 - std::countl_zero(value);
    put_sized(c, i.dst, size, static_cast<u64>(index));
    return Done{};
}

/// TZCNT, LZCNT: CF = source is zero, ZF = result is zero. SDM 2B.
template <bool trailing>
Result<> count_zeros(Cpu& c, const Insn& i) {
    const unsigned bits = 8 * size_of(i);
    const u64 value = TRY(read_operand(c, i, i.src));
    const auto count = trailing
                           ? (value == 0 ? bits : static_cast<unsigned>(std::countr_zero(value)))
                           : static_cast<unsigned>(std::countl_zero(value)) - (64 - bits);
    put_sized(c, i.dst, size_of(i), count);
    set_logic_flags(c, u64{count});
    set_cf(c, value == 0);
    return Done{};
}

Result<> population_count(Cpu& c, const Insn& i) {
    const u64 value = TRY(read_operand(c, i, i.src));
    put_sized(c, i.dst, size_of(i), static_cast<u64>(std::popcount(value)));
    from_image(c, value == 0 ? 0x40 : 0);  // every flag but ZF is cleared
    return Done{};
}

constexpr i64 count_by_cl = 0x100;  // no immediate of 8 bits

/// SHLD and SHRD. Counts above the width of a 16-bit operand are undefined: they are taken modulo
/// 32 and shift a 48-bit pattern dst:src:dst (docs/model-defined.md).
template <bool left, class T>
Result<> double_shift(Cpu& c, const Insn& i) {
    constexpr unsigned bits = width_of<T>;
    const u64 amount = i.imm == count_by_cl ? c.gpr[rcx] : static_cast<u64>(i.imm);
    const unsigned count = static_cast<unsigned>(amount) & (bits == 64 ? 63 : 31);
    const auto a = static_cast<T>(TRY(read_for_write(c, i, i.dst)));
    const auto b = get<T>(c, i.src);
    if (count == 0) return write_operand(c, i, i.dst, a);
    T r;
    bool carry;
    const unsigned n = count % bits == 0 ? bits : count % bits;
    const T first = count > bits ? b : a;
    const T second = count > bits ? a : b;
    if constexpr (left) {
        r = n == bits ? second : static_cast<T>(first << n | second >> (bits - n));
        carry = (first >> (bits - n) & 1) != 0;
    } else {
        r = n == bits ? second : static_cast<T>(first >> n | second << (bits - n));
        carry = (first >> (n - 1) & 1) != 0;
    }
    TRY(write_operand(c, i, i.dst, r));
    set_logic_flags(c, r);
    const bool sign_changed = ((a ^ r) >> (bits - 1) & 1) != 0;
    set_cf_of(c, carry, sign_changed);
    return Done{};
}

template <class T>
void compare(Cpu& c, T a, T b) {
    set_sub_flags(c, a, b, static_cast<T>(a - b));
}

/// The destination is always written (with its old value if unequal). SDM 2A, "CMPXCHG".
template <class T>
Result<> cmpxchg(Cpu& c, const Insn& i) {
    const auto old = static_cast<T>(TRY(read_for_write(c, i, i.dst)));
    const T wanted = get<T>(c, rax);
    const bool equal = old == wanted;
    if (equal) {
        TRY(write_operand(c, i, i.dst, get<T>(c, i.src)));
    } else {
        if (has_memory(i)) TRY(write_operand(c, i, i.dst, old));
        put<T>(c, rax, old);
    }
    compare<T>(c, wanted, old);
    return Done{};
}

template <class T>
Step cmpxchg_mem(Cpu& c, const Insn* i) {
    u8* p = hit<T, &TlbEntry::write>(c, fast_linear(c, i));
    if (p == nullptr) [[unlikely]]
        TAIL miss<inside_block<cmpxchg<T>>, Access::write, sizeof(T)>(c, i);
    const T old = read_host<T>(p);
    const T wanted = get<T>(c, rax);
    if (old == wanted)
        write_host<T>(p, get<T>(c, i->src));
    else
        put<T>(c, rax, old);
    compare<T>(c, wanted, old);
    NEXT(c, i);
}

template <class T>
Result<> xadd(Cpu& c, const Insn& i) {
    const auto old = static_cast<T>(TRY(read_for_write(c, i, i.dst)));
    const T added = get<T>(c, i.src);
    const T sum = static_cast<T>(old + added);
    if (has_memory(i)) {
        TRY(write_operand(c, i, i.dst, sum));
        put<T>(c, i.src, old);
    } else {
        put<T>(c, i.src, old);  // XADD of a register with itself leaves the sum
        put<T>(c, i.dst, sum);
    }
    set_add_flags(c, old, added, sum);
    return Done{};
}

template <class T>
Step xadd_mem(Cpu& c, const Insn* i) {
    u8* p = hit<T, &TlbEntry::write>(c, fast_linear(c, i));
    if (p == nullptr) [[unlikely]]
        TAIL miss<inside_block<xadd<T>>, Access::write, sizeof(T)>(c, i);
    const T old = read_host<T>(p);
    const T added = get<T>(c, i->src);
    const T sum = static_cast<T>(old + added);
    write_host<T>(p, sum);
    put<T>(c, i->src, old);
    set_add_flags(c, old, added, sum);
    NEXT(c, i);
}

/// CMPXCHG8B, CMPXCHG16B: ZF alone changes; 16 bytes must be aligned. SDM 2A.
template <unsigned half>
Result<> cmpxchg_wide(Cpu& c, const Insn& i) {
    const Gva at = linear_address(c, i);
    TRY(probe_write(c, at, 2 * half));
    TRY(check_alignment(c, at, 8));
    const u64 low = TRY(load(c, at, half));
    const u64 high = TRY(load(c, at + half, half));
    const bool equal = low == get_sized(c, rax, half) && high == get_sized(c, rdx, half);
    const u64 flags = materialise(c);
    TRY(store(c, at, half, equal ? get_sized(c, rbx, half) : low));
    TRY(store(c, at + half, half, equal ? get_sized(c, rcx, half) : high));
    if (!equal) {
        put_sized(c, rax, half, low);
        put_sized(c, rdx, half, high);
    }
    from_image(c, (flags & ~u64{0x40}) | u64{equal} << 6);
    return Done{};
}

Step cmpxchg16b(Cpu& c, const Insn* i) {
    if (is_misaligned(linear_address(c, *i).raw())) return misaligned(c, i);
    TAIL inside_block<cmpxchg_wide<8>>(c, i);
}

void take_operands(const Decoded& d, Insn& i) {
    if (d.is_register(0)) i.dst = register_row(d.operand[0].reg.value);
    if (d.is_register(1)) i.src = register_row(d.operand[1].reg.value);
}

}  // namespace

Handler build_bit_test(const Decoded& d, Insn& i, BlockCache&) {
    if (d.is_register(0)) i.dst = register_row(d.operand[0].reg.value);
    i.src = row_zero;
    if (d.is_register(1)) i.src = register_row(d.operand[1].reg.value);
    if (d.is_immediate(1)) i.imm = static_cast<i64>(d.operand[1].imm.value.u & 0xff);
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_BT: return pick_bit_test<BitOp::test>(d, i);
        case ZYDIS_MNEMONIC_BTS: return pick_bit_test<BitOp::set>(d, i);
        case ZYDIS_MNEMONIC_BTR: return pick_bit_test<BitOp::reset>(d, i);
        default: return pick_bit_test<BitOp::complement>(d, i);
    }
}

Handler build_bit_scan(const Decoded& d, Insn& i, BlockCache&) {
    take_operands(d, i);
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_BSF: return inside_block<bit_scan<true>>;
        case ZYDIS_MNEMONIC_BSR: return inside_block<bit_scan<false>>;
        case ZYDIS_MNEMONIC_TZCNT: return inside_block<count_zeros<true>>;
        case ZYDIS_MNEMONIC_LZCNT: return inside_block<count_zeros<false>>;
        default: return inside_block<population_count>;
    }
}

Handler build_double_shift(const Decoded& d, Insn& i, BlockCache&) {
    take_operands(d, i);
    const bool left = d.instruction.mnemonic == ZYDIS_MNEMONIC_SHLD;
    i.imm = d.is_immediate(2) ? static_cast<i64>(d.operand[2].imm.value.u & 0xff) : count_by_cl;
    return by_size(d.size(0), [&](auto t) -> Handler {
        using T = decltype(t);
        if constexpr (sizeof(T) == 1) return nullptr;
        return left ? inside_block<double_shift<true, T>> : inside_block<double_shift<false, T>>;
    });
}

Handler build_exchange(const Decoded& d, Insn& i, BlockCache&) {
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_CMPXCHG8B: return inside_block<cmpxchg_wide<4>>;
        case ZYDIS_MNEMONIC_CMPXCHG16B: return cmpxchg16b;
        default: break;
    }
    take_operands(d, i);
    const bool add = d.instruction.mnemonic == ZYDIS_MNEMONIC_XADD;
    return by_size(d.size(0), [&](auto t) -> Handler {
        using T = decltype(t);
        if (!d.is_memory(0)) return add ? inside_block<xadd<T>> : inside_block<cmpxchg<T>>;
        return add ? fast_or_slow(i, xadd_mem<T>, inside_block<xadd<T>>)
                   : fast_or_slow(i, cmpxchg_mem<T>, inside_block<cmpxchg<T>>);
    });
}

}  // namespace postern::cpu
