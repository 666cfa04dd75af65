// SPDX-License-Identifier: Apache-2.0
// The transcendental instructions: what becomes of zeros, infinities, NaNs and empty registers by
// the manual's tables; the rest is cpu/x87/functions.h. Their results are rounded as the control
// word says, to 64 bits whatever its precision control.
#include <initializer_list>

#include "cpu/x87/functions.h"
#include "cpu/x87/operation.h"
#include "cpu/x87/software.h"

namespace postern::cpu {
namespace {

Extended quieted(Extended nan) { return {nan.significand | quiet_bit, nan.sign_exponent}; }

/// Whether an operand is one to compute with: no NaN and no unsupported encoding. If not, `result`
/// is what a masked exception gives.
enum class Verdict : u8 { compute, give_result, nothing };

Verdict judge(Operation& op, Extended v, Extended& result) {
    switch (kind_of(v)) {
        case Kind::quiet_nan: result = v; return Verdict::give_result;
        case Kind::signaling_nan: result = quieted(v); break;
        case Kind::unsupported: result = indefinite; break;
        default: return Verdict::compute;
    }
    return op.signal(x87_ie) ? Verdict::give_result : Verdict::nothing;
}

/// Comes after every invalid operation and division by zero. True: it is masked. SDM 1,
/// "Denormal Operand Exception (#D)" and "Priority Among Simultaneous Exceptions".
bool accepts_denormals(Operation& op, std::initializer_list<Extended> operands) {
    for (const Extended v : operands)
        if (kind_of(v) == Kind::denormal) return op.signal(x87_de);
    return true;
}

// One operand. FSINCOS and FPTAN push a second result, which is the same where nothing is computed.

void put_results(Operation& op, Extended value, bool pushes) {
    op.put(0, value);
    if (pushes) op.push(value);
}

/// Stack faults. True: the instruction is over. SDM 1, "Stack Overflow or Underflow Exception".
bool has_stack_fault(Operation& op, bool pushes) {
    const bool overflow = !op.is_empty(0);
    if (overflow && !(pushes && !op.is_empty(7))) return false;
    op.set_condition(fsw_c1, overflow);
    if (op.signal(x87_ie | x87_sf)) put_results(op, indefinite, pushes);
    return true;
}

void compute_f2xm1(Operation& op, Extended x) {
    const Extended minus_half{integer_bit, 0x8000 | (exponent_bias - 1)};
    const Extended minus_one{integer_bit, 0x8000 | exponent_bias};
    if (kind_of(x) == Kind::zero || x == extended_one) return;
    if (x == minus_one) return op.put(0, minus_half);
    if (x == extended_infinity(true)) return op.put(0, minus_one);
    if (x.exponent() >= exponent_bias) return;  // out of range
    if (!accepts_denormals(op, {x})) return;
    op.put(0, op.rounded(exponential(to_wide(x))));
}

template <void (*compute)(Operation&, Extended)>
Result<> with_one_operand(Cpu& c, bool pushes) {
    TRY(check_x87_exception(c));
    Operation op{c};
    if (compute != compute_f2xm1) op.set_condition(fsw_c2, false);
    if (has_stack_fault(op, pushes)) return Done{};
    Extended result{};
    const Extended x = op.st(0);
    const Verdict verdict = judge(op, x, result);
    if (verdict == Verdict::give_result) put_results(op, result, pushes);
    if (verdict == Verdict::compute) compute(op, x);
    return Done{};
}

Wide sine_of(const Angle& a) {
    const Wide value = (a.quadrant & 1) != 0 ? cosine(a.rest) : sine(a.rest);
    return (a.quadrant & 2) != 0 ? negated(value) : value;
}
Wide cosine_of(const Angle& a) { return sine_of({(a.quadrant + 1) & 3, a.rest}); }

Wide tangent(const Angle& a) {
    // Where sine and cosine are too near to the angle and to 1: x + x^3/3.
    constexpr i32 small = -40;
    if ((a.quadrant & 1) == 0 && a.rest.exponent < small)
        return increased(a.rest, to_fraction(a.rest * a.rest) / 3);
    return sine_of(a) / cosine_of(a);
}

/// What the four instructions on angles have in common. True: the angle is to be computed with.
bool takes_angle(Operation& op, Extended x, bool pushes) {
    constexpr u16 exponent_of_2_63 = exponent_bias + 63;
    const bool infinite = kind_of(x) == Kind::infinity;
    const bool too_large = !infinite && x.exponent() >= exponent_of_2_63;
    op.set_condition(fsw_c2, too_large);
    if (infinite && op.signal(x87_ie)) put_results(op, indefinite, pushes);
    return !infinite && !too_large && accepts_denormals(op, {x});
}

void compute_fsin(Operation& op, Extended x) {
    if (!takes_angle(op, x, false) || kind_of(x) == Kind::zero) return;
    op.put(0, op.rounded(sine_of(reduced(to_wide(x)))));
}

void compute_fcos(Operation& op, Extended x) {
    if (!takes_angle(op, x, false)) return;
    if (kind_of(x) == Kind::zero) return op.put(0, extended_one);
    op.put(0, op.rounded(cosine_of(reduced(to_wide(x)))));
}

void compute_fsincos(Operation& op, Extended x) {
    if (!takes_angle(op, x, true)) return;
    if (kind_of(x) == Kind::zero) return op.push(extended_one);
    const Angle angle = reduced(to_wide(x));
    op.put(0, op.rounded(sine_of(angle)));
    op.push(op.rounded(cosine_of(angle)));
}

void compute_fptan(Operation& op, Extended x) {
    if (!takes_angle(op, x, true)) return;
    if (kind_of(x) != Kind::zero) {
        const Angle angle = reduced(to_wide(x));
        op.put(0, op.rounded(tangent(angle)));
    }
    op.push(extended_one);
}

// Two operands: ST(1) and ST(0). The result takes the place of ST(1), and ST(0) is popped.

void put_and_pop(Operation& op, Extended value) {
    op.put(1, value);
    op.pop();
}

/// Of two NaNs that with the larger significand; a quiet one before a signaling one. SDM 1, table
/// "Rules for Handling NaNs".
Extended chosen_nan(Extended a, Extended b) {
    const Kind ka = kind_of(a), kb = kind_of(b);
    if (!is_nan(ka)) return quieted(b);
    if (!is_nan(kb)) return quieted(a);
    if (ka != kb) return ka == Kind::quiet_nan ? a : b;
    if (a.significand != b.significand) return quieted(a.significand > b.significand ? a : b);
    return quieted(a.negative() ? b : a);
}

/// As judge(), for both.
Verdict judge_both(Operation& op, Extended a, Extended b, Extended& result) {
    const Kind ka = kind_of(a), kb = kind_of(b);
    if (ka == Kind::unsupported || kb == Kind::unsupported) return judge(op, {1, 1}, result);
    if (is_nan(ka) || is_nan(kb)) {
        result = chosen_nan(a, b);
        const bool signaling = ka == Kind::signaling_nan || kb == Kind::signaling_nan;
        return !signaling || op.signal(x87_ie) ? Verdict::give_result : Verdict::nothing;
    }
    return Verdict::compute;
}

template <void (*compute)(Operation&, Extended y, Extended x)>
Result<> with_two_operands(Cpu& c) {
    TRY(check_x87_exception(c));
    Operation op{c};
    if (op.is_empty(0) || op.is_empty(1)) {
        if (op.signal(x87_ie | x87_sf)) put_and_pop(op, indefinite);
        return Done{};
    }
    Extended result{};
    const Extended y = op.st(1), x = op.st(0);
    const Verdict verdict = judge_both(op, y, x, result);
    if (verdict == Verdict::give_result) put_and_pop(op, result);
    if (verdict == Verdict::compute) compute(op, y, x);
    return Done{};
}

/// SDM 2A, table "FPATAN Results".
void compute_fpatan(Operation& op, Extended y, Extended x) {
    if (!accepts_denormals(op, {y, x})) return;
    const Kind ky = kind_of(y), kx = kind_of(x);
    const auto pi_by_4 = [&](u64 times) {
        Wide angle = scaled(wide_pi * from_integer(times), -2);
        angle.negative = y.negative();
        put_and_pop(op, op.rounded(angle));
    };
    if (ky == Kind::infinity && kx == Kind::infinity) return pi_by_4(x.negative() ? 3 : 1);
    if (ky == Kind::infinity) return pi_by_4(2);
    if (kx == Kind::infinity || ky == Kind::zero) {
        if (x.negative()) return pi_by_4(4);
        return put_and_pop(op, extended_zero(y.negative()));
    }
    if (kx == Kind::zero) return pi_by_4(2);
    put_and_pop(op, op.rounded(arc_tangent(to_wide(y), to_wide(x))));
}

/// y times a logarithm that may be infinite: at a pole, or because its argument is.
struct Logarithm {
    enum class Is : u8 { finite, pole, infinite, invalid } is;
    Wide value;  // of an infinite one the sign counts
};

/// SDM 2A, tables "FYL2X Results" and "FYL2XP1 Results".
void multiply(Operation& op, Extended y, Extended x, const Logarithm& log) {
    using Is = Logarithm::Is;
    const Kind ky = kind_of(y);
    const bool negative = y.negative() != log.value.negative;
    const bool infinite = log.is == Is::pole || log.is == Is::infinite;
    const bool is_zero = log.is == Is::finite && log.value.is_zero();
    if (log.is == Is::invalid || (infinite && ky == Kind::zero) ||
        (is_zero && ky == Kind::infinity)) {
        if (op.signal(x87_ie)) put_and_pop(op, indefinite);
        return;
    }
    const bool divides_by_zero = log.is == Is::pole && ky != Kind::infinity;
    if (divides_by_zero ? !op.signal(x87_ze) : !accepts_denormals(op, {y, x})) return;
    if (infinite || ky == Kind::infinity) return put_and_pop(op, extended_infinity(negative));
    if (is_zero || ky == Kind::zero) return put_and_pop(op, extended_zero(negative));
    put_and_pop(op, op.rounded(to_wide(y) * log.value));
}

void compute_fyl2x(Operation& op, Extended y, Extended x) {
    using Is = Logarithm::Is;
    const Kind kx = kind_of(x);
    Logarithm log{Is::finite, {0, 0, false}};
    if (kx == Kind::zero)
        log = {Is::pole, {0, 0, true}};
    else if (x.negative())
        log.is = Is::invalid;
    else if (kx == Kind::infinity)
        log.is = Is::infinite;
    else if (x != extended_one)
        log.value = logarithm(to_wide(x));
    multiply(op, y, x, log);
}

void compute_fyl2xp1(Operation& op, Extended y, Extended x) {
    using Is = Logarithm::Is;
    const Kind kx = kind_of(x);
    Logarithm log{Is::finite, {0, 0, x.negative()}};
    if (kx == Kind::infinity)
        log.is = x.negative() ? Is::invalid : Is::infinite;
    else if (x.negative() && x.exponent() >= exponent_bias)
        log.is =
            x.exponent() == exponent_bias && x.significand == integer_bit ? Is::pole : Is::invalid;
    else if (kx != Kind::zero)
        log.value = logarithm_plus_1(to_wide(x));
    multiply(op, y, x, log);
}

}  // namespace

/// SDM 2A, "F2XM1".
Result<> exec_f2xm1(Cpu& c, const Insn&) { return with_one_operand<compute_f2xm1>(c, false); }
/// SDM 2A, "FCOS".
Result<> exec_fcos(Cpu& c, const Insn&) { return with_one_operand<compute_fcos>(c, false); }
/// SDM 2A, "FPATAN".
Result<> exec_fpatan(Cpu& c, const Insn&) { return with_two_operands<compute_fpatan>(c); }
/// SDM 2A, "FPTAN".
Result<> exec_fptan(Cpu& c, const Insn&) { return with_one_operand<compute_fptan>(c, true); }
/// SDM 2A, "FSIN".
Result<> exec_fsin(Cpu& c, const Insn&) { return with_one_operand<compute_fsin>(c, false); }
/// SDM 2A, "FSINCOS".
Result<> exec_fsincos(Cpu& c, const Insn&) { return with_one_operand<compute_fsincos>(c, true); }
/// SDM 2A, "FYL2X".
Result<> exec_fyl2x(Cpu& c, const Insn&) { return with_two_operands<compute_fyl2x>(c); }
/// SDM 2A, "FYL2XP1".
Result<> exec_fyl2xp1(Cpu& c, const Insn&) { return with_two_operands<compute_fyl2xp1>(c); }

}  // namespace postern::cpu
