// SPDX-License-Identifier: Apache-2.0
// Where the x87 state is, whose the host's unit is, and when x87 and MMX instructions are refused.
#include "cpu/x87/unit.h"

#include <gtest/gtest.h>

#include "cpu/simd/host_unit.h"
#include "cpu/x87/environment.h"
#include "cpu/x87/extended.h"
#include "support/guest_code.h"

namespace postern::cpu {
namespace {

using Code = std::vector<u8>;
using St = std::array<u8, 16>;

constexpr St one{0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f};
constexpr u64 long_enough = 100;

class X87 : public testing::Test {
protected:
    X87() {
        c.vector.x87 = {};
        c.vector.x87.fcw = fcw_init;
        c.cr0.set(Cr0::ne, true);
        c.cr0.set(Cr0::mp, true);
    }
    GuestStop run(Code code) {
        code.push_back(GuestCode::hlt[0]);
        m.write(guest_at::code, code);
        m.set_plain_state(guest_at::code);
        return m.run(long_enough);
    }
    void expect_fault(const Code& code, Vector vector) {
        const GuestStop stop = run(code);
        ASSERT_TRUE(stop.fault.has_value());
        EXPECT_EQ(stop.fault->vector, vector);
        EXPECT_EQ(stop.state.rip, guest_at::code);
        EXPECT_EQ(stop.instructions, 0u);
    }

    GuestCode m;
    Cpu& c = m.c;
};

const Code fld1{0xd9, 0xe8};
const Code fwait{0x9b};
const Code paddb{0x0f, 0xfc, 0xc1};     // mm0, mm1
const Code pavgb{0x0f, 0xe0, 0xc1};     // mm0, mm1: came with SSE
const Code cvtps2pi{0x0f, 0x2d, 0xc1};  // mm0, xmm1

/// FNSTENV's tags: FFFF if all registers are empty.
std::array<u16, 14> host_environment() {
    std::array<u16, 14> image{};
    asm volatile("fnstenv %0\n\tfldenv %0" : "+m"(image));
    return image;
}

TEST_F(X87, StateOutlivesTheRunAndTheHostsUnitIsItsOwnAgain) {
    const std::array<u16, 14> before = host_environment();
    ASSERT_EQ(run(fld1).outcome, RunOutcome::halted);
    EXPECT_EQ(c.x87_unit, X87Unit::absent);
    EXPECT_EQ(c.vector.x87.st[0], one);
    EXPECT_EQ(c.vector.x87.fsw, 0x3800);
    EXPECT_EQ(c.vector.x87.tag, 0x80);
    EXPECT_EQ(host_environment()[0], before[0]);
    EXPECT_EQ(host_environment()[4], 0xffff);
    ASSERT_EQ(run(fld1).outcome, RunOutcome::halted);
    EXPECT_EQ(c.vector.x87.st[1], one);
    EXPECT_EQ(c.vector.x87.tag, 0xc0);
}

TEST_F(X87, ProcessorsThatTakeTurnsKeepTheirOwnRegisters) {
    GuestCode other;
    other.c.vector.x87 = {};
    other.c.vector.x87.fcw = 0x0f7f;
    ASSERT_EQ(run(fld1).outcome, RunOutcome::halted);
    other.write(guest_at::code, Code{0xd9, 0xee, 0xf4});  // FLDZ
    other.set_plain_state(guest_at::code);
    ASSERT_EQ(other.run(long_enough).outcome, RunOutcome::halted);
    ASSERT_EQ(run({0xd9, 0xe0}).outcome, RunOutcome::halted);  // FCHS
    EXPECT_EQ(other.c.vector.x87.st[0], St{});
    EXPECT_EQ(other.c.vector.x87.fcw, 0x0f7f);
    EXPECT_EQ(c.vector.x87.st[0][9], 0xbf);
    EXPECT_EQ(c.vector.x87.fcw, fcw_init);
}

TEST_F(X87, MxcsrStaysWhenTheUnitIsFilledAndEmptied) {
    c.vector.mxcsr = 0x7f80;
    enter_host_unit(c);
    ASSERT_TRUE(prepare_x87(c).ok());
    EXPECT_EQ(c.x87_unit, X87Unit::masked);
    EXPECT_EQ(guest_mxcsr(c), 0x7f80u);
    take_back_x87(c);
    EXPECT_EQ(guest_mxcsr(c), 0x7f80u);
    leave_host_unit(c);
}

TEST_F(X87, TaskSwitchedMakesAllOfThemNm) {
    c.cr0.set(Cr0::ts, true);
    for (const Code& code : {fld1, fwait, paddb, pavgb, cvtps2pi})
        expect_fault(code, Vector::device_not_available);
    c.cr0.set(Cr0::mp, false);
    EXPECT_EQ(run(fwait).outcome, RunOutcome::halted);
    EXPECT_FALSE(run(fwait).fault.has_value());
}

TEST_F(X87, EmulationMakesX87NmAndMmxUd) {
    c.cr0.set(Cr0::em, true);
    expect_fault(fld1, Vector::device_not_available);
    expect_fault(paddb, Vector::invalid_opcode);
    expect_fault(pavgb, Vector::invalid_opcode);
    EXPECT_FALSE(run(fwait).fault.has_value());
}

TEST_F(X87, FormsOnMmxRegistersAloneDoNotAskForOsfxsr) {
    c.cr4.set(Cr4::osfxsr, false);
    EXPECT_FALSE(run(pavgb).fault.has_value());
    expect_fault(cvtps2pi, Vector::invalid_opcode);
}

TEST_F(X87, PendingExceptionThatCameWithTheStateIsMf) {
    c.vector.x87.fcw = 0x037b;
    c.vector.x87.fsw = 0x8084;  // ZE
    expect_fault(fld1, Vector::x87_floating_point);
    expect_fault(paddb, Vector::x87_floating_point);
    expect_fault(fwait, Vector::x87_floating_point);
    EXPECT_EQ(c.vector.x87.fsw, 0x8084);
    EXPECT_FALSE(run({0xdb, 0xe2}).fault.has_value());  // FNCLEX
    EXPECT_FALSE(run(fld1).fault.has_value());
}

TEST_F(X87, PendingExceptionWithoutNeIsRefusedByName) {
    c.cr0.set(Cr0::ne, false);
    c.vector.x87.fcw = 0x037b;
    c.vector.x87.fsw = 0x8084;
    EXPECT_EQ(run(fld1).outcome, RunOutcome::unimplemented);
    EXPECT_STREQ(c.pending.what, "x87 exception with CR0.NE = 0");
}

TEST_F(X87, RegistersStayInTheirPlacesWhenTopMoves) {
    X87State state{};
    state.fsw = 0x3800;  // TOP = 7
    for (u8 n = 0; n < 8; ++n) state.st[n][0] = n;
    const X87State after = initialised(state);
    EXPECT_EQ(after.fsw, 0);
    EXPECT_EQ(after.st[7][0], 0) << "what was ST(0) is register 7";
    EXPECT_EQ(after.st[0][0], 1);
    EXPECT_EQ(after.st[6][0], 7);
}

// SDM 1, "x87 FPU Tag Word": 0 valid, 1 zero, 2 special, 3 empty; register 7 in the top bits.
TEST_F(X87, FullTagsSayWhatTheRegistersHold) {
    X87State state{};
    state.tag = 0x7f;
    state.st[0] = one;
    state.st[2][8] = 1;  // significand without its top bit
    state.st[3][0] = 1;  // denormal
    state.st[4][7] = 0x80;
    state.st[4][8] = 0xff;
    state.st[4][9] = 0xff;  // infinity
    EXPECT_EQ(full_tags(state), 0xd6a4);
    EXPECT_EQ(abridged_tags(0xd6a4), 0x7f);
}

// Rounding; the control word's bits 11:10 are nearest, down, up, to zero.

constexpr u128 half_way = join(integer_bit, integer_bit);
static_assert(kind_of({integer_bit, 0}) == Kind::denormal);
static_assert(kind_of({1, 1}) == Kind::unsupported);

TEST(Rounding, GoesWhereTheControlWordSays) {
    const Wide v{half_way, 0, false};
    EXPECT_EQ(round_to_extended(v, 0x037f).value, extended_one) << "to even";
    EXPECT_EQ(round_to_extended(v, 0x077f).value, extended_one);
    EXPECT_EQ(round_to_extended(v, 0x0b7f).value, (Extended{integer_bit + 1, 0x3fff}));
    EXPECT_EQ(round_to_extended(negated(v), 0x077f).value, (Extended{integer_bit + 1, 0xbfff}));
    EXPECT_EQ(round_to_extended(v, 0x0f7f).flags, x87_pe);
    EXPECT_TRUE(round_to_extended(v, 0x0b7f).up);
    EXPECT_EQ(round_to_extended({join(~u64{0}, integer_bit), 0, false}, 0x037f).value,
              (Extended{integer_bit, 0x4000}));
}

TEST(Rounding, OverflowIsInfinityTheLargestOrWrapsAround) {
    const Wide v{half_way, 16384, false};
    EXPECT_EQ(round_to_extended(v, 0x037f).value, extended_infinity(false));
    EXPECT_EQ(round_to_extended(v, 0x037f).flags, x87_oe | x87_pe);
    EXPECT_EQ(round_to_extended(v, 0x0f7f).value, (Extended{~u64{0}, 0x7ffe}));
    EXPECT_EQ(round_to_extended(v, 0x0377).value, (Extended{integer_bit, 0x1fff}));
}

TEST(Rounding, UnderflowIsDenormalOrWrapsAround) {
    const Wide smallest{join(integer_bit, 0), -16445, false};
    EXPECT_EQ(round_to_extended(smallest, 0x037f).value, (Extended{1, 0}));
    EXPECT_EQ(round_to_extended(smallest, 0x037f).flags, 0) << "exact";
    EXPECT_EQ(round_to_extended(scaled(smallest, -1), 0x037f).value, (Extended{0, 0}));
    EXPECT_EQ(round_to_extended(scaled(smallest, -1), 0x0b7f).value, (Extended{1, 0}));
    EXPECT_EQ(round_to_extended(scaled(smallest, -1), 0x037f).flags, x87_ue | x87_pe);
    const Wide above_half{join(integer_bit, 1), -16446, false};
    EXPECT_EQ(round_to_extended(above_half, 0x037f).value, (Extended{1, 0}));
    EXPECT_EQ(round_to_extended(smallest, 0x036f).value, (Extended{integer_bit, 0x5fc2}));
    EXPECT_EQ(round_to_extended(smallest, 0x036f).flags, x87_ue);
    // Just below the smallest normal number, and rounded up to it.
    const Wide nearly{join(~u64{0}, ~u64{0}), -16383, false};
    EXPECT_EQ(round_to_extended(nearly, 0x037f).value, (Extended{integer_bit, 1}));
    EXPECT_EQ(round_to_extended(nearly, 0x037f).flags, x87_pe) << "not tiny after rounding";
}

}  // namespace
}  // namespace postern::cpu
