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
Result<> mul(Cpu& c, const Insn& i) {
    const auto b = static_cast<T>(TRY(read_operand(c, i, i.src)));
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
Result<> imul_wide(Cpu& c, const Insn& i) {
    const auto b = static_cast<T>(TRY(read_operand(c, i, i.src)));
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
Result<> imul_mem(Cpu& c, const Insn& i) {
    imul_into<T>(c, &i, get<T>(c, i.dst), static_cast<T>(TRY(read_operand(c, i, i.src))));
    return Done{};
}
template <class T>
Result<> imul_mem_imm(Cpu& c, const Insn& i) {
    imul_into<T>(c, &i, static_cast<T>(TRY(read_operand(c, i, i.src))), static_cast<T>(i.imm));
    return Done{};
}

template <class T>
u128 dividend(const Cpu& c) {
    if constexpr (sizeof(T) == 1) return get<u16>(c, rax);
    return u128{get<T>(c, rdx)} << width_of<T> | get<T>(c, rax);
}

template <class T>
void put_quotient(Cpu& c, T quotient, T remainder) {
    put_wide<T>(c, quotient, remainder);
}

/// #DE if the divisor is 0 or the quotient does not fit. SDM 2A, "DIV".
template <class T>
Result<> div(Cpu& c, const Insn& i) {
    const auto divisor = static_cast<T>(TRY(read_operand(c, i, i.src)));
    if (divisor == 0) return raise(c, Vector::divide_error);
    const u128 n = dividend<T>(c);
    const u128 quotient = n / divisor;
    if (quotient > static_cast<T>(~u64{0})) return raise(c, Vector::divide_error);
    put_quotient<T>(c, static_cast<T>(quotient), static_cast<T>(n % divisor));
    return Done{};
}

template <class T>
Result<> idiv(Cpu& c, const Insn& i) {
    const i128 divisor = as_signed(static_cast<T>(TRY(read_operand(c, i, i.src))));
    if (divisor == 0) return raise(c, Vector::divide_error);
    const unsigned unused = 128 - 2 * width_of<T>;
    const i128 n = static_cast<i128>(dividend<T>(c) << unused) >> unused;
    // The one quotient that overflows 128 bits: -2^127 / -1.
    if (divisor == -1 && n == static_cast<i128>(u128{1} << 127))
        return raise(c, Vector::divide_error);
    const i128 quotient = n / divisor;
    const auto narrow = static_cast<T>(quotient);
    if (as_signed(narrow) != quotient) return raise(c, Vector::divide_error);
    put_quotient<T>(c, narrow, static_cast<T>(n % divisor));
    return Done{};
}

template <class F>
Handler build_wide(const Decoded& d, Insn& i, F f) {
    if (d.is_register(0)) i.src = register_row(d.operand[0].reg.value);
    return by_size(d.size(0), f);
}

}  // namespace

Handler build_mul(const Decoded& d, Insn& i, BlockCache&) {
    return build_wide(d, i, [](auto t) -> Handler { return inside_block<mul<decltype(t)>>; });
}
Handler build_div(const Decoded& d, Insn& i, BlockCache&) {
    return build_wide(d, i, [](auto t) -> Handler { return inside_block<div<decltype(t)>>; });
}
Handler build_idiv(const Decoded& d, Insn& i, BlockCache&) {
    return build_wide(d, i, [](auto t) -> Handler { return inside_block<idiv<decltype(t)>>; });
}

Handler build_imul(const Decoded& d, Insn& i, BlockCache&) {
    if (d.instruction.operand_count_visible == 1)
        return build_wide(d, i,
                          [](auto t) -> Handler { return inside_block<imul_wide<decltype(t)>>; });
    i.dst = register_row(d.operand[0].reg.value);
    if (d.is_register(1)) i.src = register_row(d.operand[1].reg.value);
    const bool immediate = d.instruction.operand_count_visible == 3;
    if (immediate) i.imm = d.operand[2].imm.value.s;
    return by_size(d.size(0), [&](auto t) -> Handler {
        using T = decltype(t);
        if (immediate)
            return d.is_register(1) ? Handler{imul_reg_imm<T>}
                                    : Handler{inside_block<imul_mem_imm<T>>};
        return d.is_register(1) ? Handler{imul_reg_reg<T>} : Handler{inside_block<imul_mem<T>>};
    });
}

}  // namespace postern::cpu
