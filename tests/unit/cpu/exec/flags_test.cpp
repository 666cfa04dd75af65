// SPDX-License-Identifier: Apache-2.0
// The lazy flags against the definitions of SDM 1, "Status Flags", over every pair of bytes.
#include "cpu/flags.h"

#include <gtest/gtest.h>

#include <memory>

#include "cpu/exec/alu_ops.h"

namespace postern::cpu {
namespace {

constexpr u64 cf_bit = 1, pf_bit = 4, af_bit = 0x10, zf_bit = 0x40, sf_bit = 0x80, of_bit = 0x800;

/// Flags of a byte result: `wide` is the exact unsigned one, `exact` the exact signed one.
u64 expected(int wide, int exact, int low_nibbles) {
    const int byte = wide & 0xff;
    int ones = 0;
    for (int b = byte; b != 0; b >>= 1) ones += b & 1;
    u64 flags = 0;
    if (wide < 0 || wide > 255) flags |= cf_bit;
    if (ones % 2 == 0) flags |= pf_bit;
    if (low_nibbles < 0 || low_nibbles > 15) flags |= af_bit;
    if (byte == 0) flags |= zf_bit;
    if (byte > 127) flags |= sf_bit;
    if (exact < -128 || exact > 127) flags |= of_bit;
    return flags;
}

int as_signed(int byte) { return byte > 127 ? byte - 256 : byte; }

class LazyFlags : public testing::Test {
protected:
    std::unique_ptr<Cpu> cpu = std::make_unique<Cpu>();
    Cpu& c = *cpu;
};

TEST_F(LazyFlags, EveryCombinationSurvivesAnImage) {
    for (u64 image = 0; image < 0x1000; ++image) {
        from_image(c, image);
        ASSERT_EQ(materialise(c), image & rflags_status_mask);
    }
}

TEST_F(LazyFlags, AdditionOfEveryPairOfBytesAndCarry) {
    for (int a = 0; a < 256; ++a)
        for (int b = 0; b < 256; ++b)
            for (int carry = 0; carry < 2; ++carry) {
                from_image(c, static_cast<u64>(carry));
                const u8 r = Adc::apply<u8>(c, static_cast<u8>(a), static_cast<u8>(b));
                ASSERT_EQ(r, (a + b + carry) & 0xff);
                ASSERT_EQ(materialise(c),
                          expected(a + b + carry, as_signed(a) + as_signed(b) + carry,
                                   (a & 15) + (b & 15) + carry));
            }
}

TEST_F(LazyFlags, SubtractionOfEveryPairOfBytesAndBorrow) {
    for (int a = 0; a < 256; ++a)
        for (int b = 0; b < 256; ++b)
            for (int borrow = 0; borrow < 2; ++borrow) {
                from_image(c, static_cast<u64>(borrow));
                const u8 r = Sbb::apply<u8>(c, static_cast<u8>(a), static_cast<u8>(b));
                ASSERT_EQ(r, (a - b - borrow) & 0xff);
                ASSERT_EQ(materialise(c),
                          expected(a - b - borrow, as_signed(a) - as_signed(b) - borrow,
                                   (a & 15) - (b & 15) - borrow));
            }
}

TEST_F(LazyFlags, WideOperandsCarryAtTheirTopBit) {
    Add::apply<u64>(c, ~u64{0}, u64{1});
    EXPECT_EQ(materialise(c), cf_bit | pf_bit | af_bit | zf_bit);
    Add::apply<u32>(c, u32{0x7fff'ffff}, u32{1});
    EXPECT_EQ(materialise(c), of_bit | pf_bit | af_bit | sf_bit);
    Sub::apply<u16>(c, u16{0x8000}, u16{1});
    EXPECT_EQ(materialise(c), of_bit | pf_bit | af_bit);
}

}  // namespace
}  // namespace postern::cpu
