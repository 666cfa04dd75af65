// SPDX-License-Identifier: Apache-2.0
// Multiplication and division. SF, ZF, AF, PF after MUL and IMUL, and all flags after DIV and
// IDIV, are undefined; what they become here is listed in docs/model-defined.md.
#include "cpu/event/event.h"
#include "cpu/exec/build.h"
#include "cpu/exec/operand.h"
#include "cpu/flags.h"

namespace postern::cpu {
namespace {

__extension__ typedef unsigned __int128 u128;  // NOLINT: __extension__ takes no alias
__extension__ typedef __int128 i128;           // NOLINT

/// CF = OF = overflow; the others as of the low half of the product.
template <class T>
void set_product_flags(Cpu& c, T low, bool overflow) {
    set_logic_flags(c, low);
    set_cf_of(c, overflow, overflow);
}

/// rAX or AX: where the one-operand forms of 8 bits keep both halves.
template <class T>
void put_wide(Cpu& c, T low, T high) {
    if constexpr (sizeof(T) == 1) {
        put<u16>(c, rax, static_cast<u16>(low | high << 8));
    } else {
        put<T>(c, rax, low);
        put<T>(c, rdx, high);
    }
}

template <class T>
Result<> mul(Cpu& c, T b) {
    const u128 product = u128{get<T>(c, rax)} * b;
    const auto low = static_cast<T>(product);
    const auto high = static_cast<T>(product >> width_of<T>);
    put_wide<T>(c, low, high);
    set_product_flags(c, low, high != 0);
    return Done{};
}

template <class T>
i128 as_signed(T value) {
    return static_cast<i64>(sign_extended(value));
}

template <class T>
Result<> imul_wide(Cpu& c, T b) {
    const i128 product = as_signed(get<T>(c, rax)) * as_signed(b);
    const auto low = static_cast<T>(product);
    put_wide<T>(c, low, static_cast<T>(product >> width_of<T>));
    set_product_flags(c, low, product != as_signed(low));
    return Done{};
}

template <class T>
void imul_into(Cpu& c, const Insn* i, T a, T b) {
    const i128 product = as_signed(a) * as_signed(b);
    const auto low = static_cast<T>(product);
    put<T>(c, i->dst, low);
    set_product_flags(c, low, product != as_signed(low));
}
template <class T>
Step imul_reg_reg(Cpu& c, const Insn* i) {
    imul_into<T>(c, i, get<T>(c, i->dst), get<T>(c, i->src));
    NEXT(c, i);
}
template <class T>
Step imul_reg_imm(Cpu& c, const Insn* i) {
    imul_into<T>(c, i, get<T>(c, i->src), static_cast<T>(i->imm));
    NEXT(c, i);
}
template <class T>
Step imul_mem_slow(Cpu& c, const Insn* i) {
    const Result<u64> b = slow_load<T>(c, i, linear_address(c, *i));
    if (!b) return fault_at(c, i);
    imul_into<T>(c, i, get<T>(c, i->dst), static_cast<T>(b.value()));
    NEXT(c, i);
}
template <class T>
Step imul_mem(Cpu& c, const Insn* i) {
    const u8* p = hit<T, &TlbEntry::read>(c, fast_linear(c, i));
    if (p == nullptr) [[unlikely]]
        TAIL miss<imul_mem_slow<T>, Access::read, sizeof(T)>(c, i);
    imul_into<T>(c, i, get<T>(c, i->dst), read_host<T>(p));
    NEXT(c, i);
}
template <class T>
Result<> imul_mem_imm(Cpu& c, const Insn& i) {
    imul_into<T>(c, &i, static_cast<T>(TRY(read_operand(c, i, i.src))), static_cast<T>(i.imm));
    return Done{};
}

/// The dividend's two halves, as one number of twice the width. Of 64 bits they often fit into one
/// register all the same, and the host divides that much faster.
template <class T>
u64 short_dividend(const Cpu& c) {
    if constexpr (sizeof(T) == 1)
        return get<u16>(c, rax);
    else if constexpr (sizeof(T) == 8)
        return c.gpr[rax];
    else
        return u64{get<T>(c, rdx)} << width_of<T> | get<T>(c, rax);
}
u128 long_dividend(const Cpu& c) { return u128{c.gpr[rdx]} << 64 | c.gpr[rax]; }

template <class T, class Wide>
Result<> divide_unsigned(Cpu& c, Wide n, T divisor) {
    const Wide quotient = n / divisor;
    if (quotient > static_cast<T>(~u64{0})) return raise(c, Vector::divide_error);
    put_wide<T>(c, static_cast<T>(quotient), static_cast<T>(n % divisor));
    return Done{};
}

/// #DE if the divisor is 0 or the quotient does not fit. SDM 2A, "DIV".
template <class T>
Result<> div(Cpu& c, T divisor) {
    if (divisor == 0) return raise(c, Vector::divide_error);
    if constexpr (sizeof(T) == 8)
        if (c.gpr[rdx] != 0) return divide_unsigned<T>(c, long_dividend(c), divisor);
    return divide_unsigned<T>(c, short_dividend<T>(c), divisor);
}

/// The one quotient that overflows the wide type fits no narrow one either.
template <class T, class Wide>
Result<> divide_signed(Cpu& c, Wide n, Wide divisor) {
    constexpr unsigned top = 8 * sizeof(Wide) - 1;
    const bool is_smallest = n < 0 && n << 1 == 0 && n >> top == -1;
    if (divisor == -1 && is_smallest) return raise(c, Vector::divide_error);
    const Wide quotient = n / divisor;
    const auto narrow = static_cast<T>(quotient);
    if (static_cast<i64>(sign_extended(narrow)) != quotient) return raise(c, Vector::divide_error);
    put_wide<T>(c, narrow, static_cast<T>(n % divisor));
    return Done{};
}

/// SDM 2A, "IDIV".
template <class T>
Result<> idiv(Cpu& c, T operand) {
    const auto divisor = static_cast<i64>(sign_extended(operand));
    if (divisor == 0) return raise(c, Vector::divide_error);
    const auto low = static_cast<i64>(short_dividend<T>(c));
    if constexpr (sizeof(T) == 8) {
        if (static_cast<i64>(c.gpr[rdx]) != low >> 63)
            return divide_signed<T, i128>(c, static_cast<i128>(long_dividend(c)), divisor);
        return divide_signed<T, i64>(c, low, divisor);
    } else {
        constexpr unsigned unused = 64 - 2 * width_of<T>;
        return divide_signed<T, i64>(c, low << unused >> unused, divisor);
    }
}

// The one-operand forms.

template <class T, Result<> (*operation)(Cpu&, T)>
Step wide_reg(Cpu& c, const Insn* i) {
    if (!operation(c, get<T>(c, i->src))) [[unlikely]]
        return fault_at(c, i);
    NEXT(c, i);
}
template <class T, Result<> (*operation)(Cpu&, T)>
Result<> wide_mem(Cpu& c, const Insn& i) {
    return operation(c, static_cast<T>(TRY(read_operand(c, i, i.src))));
}

template <class T, Result<> (*operation)(Cpu&, T)>
Handler wide_handler(const Decoded& d) {
    if (d.is_register(0)) return wide_reg<T, operation>;
    return inside_block<wide_mem<T, operation>>;
}

template <class F>
Handler build_wide(const Decoded& d, Insn& i, F f) {
    if (d.is_register(0)) i.src = register_row(d.operand[0].reg.value);
    return by_size(d.size(0), f);
}

}  // namespace

Handler build_mul(const Decoded& d, Insn& i, BlockCache&) {
    return build_wide(
        d, i, [&](auto t) -> Handler { return wide_handler<decltype(t), mul<decltype(t)>>(d); });
}
Handler build_div(const Decoded& d, Insn& i, BlockCache&) {
    return build_wide(
        d, i, [&](auto t) -> Handler { return wide_handler<decltype(t), div<decltype(t)>>(d); });
}
Handler build_idiv(const Decoded& d, Insn& i, BlockCache&) {
    return build_wide(
        d, i, [&](auto t) -> Handler { return wide_handler<decltype(t), idiv<decltype(t)>>(d); });
}

Handler build_imul(const Decoded& d, Insn& i, BlockCache&) {
    if (d.instruction.operand_count_visible == 1)
        return build_wide(d, i, [&](auto t) -> Handler {
            return wide_handler<decltype(t), imul_wide<decltype(t)>>(d);
        });
    i.dst = register_row(d.operand[0].reg.value);
    if (d.is_register(1)) i.src = register_row(d.operand[1].reg.value);
    const bool immediate = d.instruction.operand_count_visible == 3;
    if (immediate) i.imm = d.operand[2].imm.value.s;
    return by_size(d.size(0), [&](auto t) -> Handler {
        using T = decltype(t);
        if (immediate)
            return d.is_register(1) ? Handler{imul_reg_imm<T>}
                                    : Handler{inside_block<imul_mem_imm<T>>};
        if (d.is_register(1)) return imul_reg_reg<T>;
        return fast_or_slow(i, imul_mem<T>, imul_mem_slow<T>);
    });
}

}  // namespace postern::cpu
