// SPDX-License-Identifier: Apache-2.0
// VEX-encoded instructions, one by one. Expected values are worked out by hand.
#include "cpu/simd/vex_thunk.h"

#include <span>
#include <string>

#include "cpu/simd/reciprocal.h"
#include "tests/unit/cpu/simd/simd_machine.h"

namespace postern::cpu {
namespace {

const Bytes ones = lanes<u32>({1, 1, 1, 1});
const Bytes twos = lanes<u32>({2, 2, 2, 2});
const Bytes threes = lanes<u32>({3, 3, 3, 3});
const Bytes zeros{};

class Vex : public SimdMachine {};

TEST_F(Vex, ThreeOperandsLeaveTheirSourcesAlone) {
    set_ymm(1, threes, threes);
    set_ymm(2, ones, twos);
    set_ymm(3, twos, lanes<u32>({5, 6, 7, 0xffff'ffff}));
    ASSERT_TRUE(run({0xc5, 0xed, 0xfe, 0xcb}));  // VPADDD ymm1, ymm2, ymm3
    EXPECT_EQ(xmm(1), threes);
    EXPECT_EQ(upper(1), lanes<u32>({7, 8, 9, 1}));
    EXPECT_EQ(xmm(2), ones);
    EXPECT_EQ(upper(3), lanes<u32>({5, 6, 7, 0xffff'ffff}));
}

TEST_F(Vex, FormsOf128BitsClearTheUpperHalf) {
    set_ymm(15, threes, threes);
    set_ymm(8, ones, ones);
    set_ymm(9, ones, ones);
    ASSERT_TRUE(run({0xc4, 0x41, 0x39, 0xfe, 0xf9}));  // VPADDD xmm15, xmm8, xmm9
    EXPECT_EQ(xmm(15), twos);
    EXPECT_EQ(upper(15), zeros);
    EXPECT_EQ(upper(8), ones);
}

TEST_F(Vex, ADestinationMayBeASource) {
    set_ymm(4, ones, twos);
    ASSERT_TRUE(run({0xc5, 0xdd, 0xfe, 0xe4}));  // VPADDD ymm4, ymm4, ymm4
    EXPECT_EQ(xmm(4), twos);
    EXPECT_EQ(upper(4), lanes<u32>({4, 4, 4, 4}));
}

TEST_F(Vex, TheFourthRegisterIsInTheImmediate) {
    set_ymm(2, ones, ones);
    set_ymm(3, twos, twos);
    set_ymm(13, lanes<u32>({0x8000'0000, 0, 0, 0x8000'0000}), lanes<u32>({0, 0x8000'0000, 0, 0}));
    ASSERT_TRUE(run({0xc4, 0xe3, 0x6d, 0x4a, 0xcb, 0xd0}));  // VBLENDVPS ymm1, ymm2, ymm3, ymm13
    EXPECT_EQ(xmm(1), lanes<u32>({2, 1, 1, 2}));
    EXPECT_EQ(upper(1), lanes<u32>({1, 2, 1, 1}));
}

TEST_F(Vex, FmaReadsItsDestinationAndRoundsOnce) {
    // (1 + 2^-23)^2 - (1 + 2^-22) = 2^-46, which a rounded product would lose.
    constexpr u32 above_one = 0x3f80'0001;
    set_ymm(1, lanes<u32>({above_one, 0, 0, 0}), threes);
    set_xmm(2, lanes<u32>({above_one, 0, 0, 0}));
    set_xmm(3, lanes<u32>({0xbf80'0002, 0, 0, 0}));
    ASSERT_TRUE(run({0xc4, 0xe2, 0x69, 0xa8, 0xcb}));  // VFMADD213PS xmm1, xmm2, xmm3
    EXPECT_EQ(xmm(1), lanes<u32>({0x2880'0000, 0, 0, 0}));
    EXPECT_EQ(upper(1), zeros);
}

TEST_F(Vex, HalvesBecomeSinglesAndBack) {
    set_xmm(2, lanes<u16>({0x3c00, 0xc000, 0x7bff, 0x0001}));
    ASSERT_TRUE(run({0xc4, 0xe2, 0x79, 0x13, 0xca}));  // VCVTPH2PS xmm1, xmm2
    EXPECT_EQ(xmm(1), lanes<u32>({0x3f80'0000, 0xc000'0000, 0x477f'e000, 0x3380'0000}));
    ASSERT_TRUE(run({0xc4, 0xe3, 0x79, 0x1d, 0x0b, 0x00}));  // VCVTPS2PH [rbx], xmm1, 0
}

TEST_F(Vex, ScalarsTakeTheRestFromTheSecondOperand) {
    set_xmm(2, lanes<u64>({double_1, 77}));
    set_xmm(3, lanes<u64>({double_2, 88}));
    ASSERT_TRUE(run({0xc5, 0xeb, 0x58, 0xcb}));  // VADDSD xmm1, xmm2, xmm3
    EXPECT_EQ(xmm(1), lanes<u64>({double_3, 77}));
}

TEST_F(Vex, GeneralRegistersAreSourcesAndDestinations) {
    set_xmm(2, lanes<u64>({5, 6}));
    c.gpr[r9] = 0x1122'3344'5566'7788;
    ASSERT_TRUE(run({0xc4, 0xc3, 0xe9, 0x22, 0xc9, 0x01}));  // VPINSRQ xmm1, xmm2, r9, 1
    EXPECT_EQ(xmm(1), lanes<u64>({5, 0x1122'3344'5566'7788}));
    set_ymm(5, lanes<u64>({0x80, 0}), lanes<u64>({0, 0x8000'0000'0000'0000}));
    c.gpr[rcx] = ~u64{0};
    ASSERT_TRUE(run({0xc5, 0xfd, 0xd7, 0xcd}));  // VPMOVMSKB ecx, ymm5
    EXPECT_EQ(c.gpr[rcx], 0x8000'0001u);
}

TEST_F(Vex, VtestpsLooksAtSignsOnly) {
    set_ymm(1, lanes<u32>({0x8000'0000, 0, 0, 0}), zeros);
    set_ymm(2, lanes<u32>({0x7fff'ffff, 0, 0, 0}), zeros);
    ASSERT_TRUE(run({0xc4, 0xe2, 0x7d, 0x0e, 0xca}));  // VTESTPS ymm1, ymm2
    EXPECT_EQ(status_flags(), 0x41u) << "ZF: no common sign; CF: none of ymm2 alone";
    set_ymm(2, lanes<u32>({0x8000'0000, 0x8000'0000, 0, 0}), zeros);
    ASSERT_TRUE(again());
    EXPECT_EQ(status_flags(), 0u);
}

TEST_F(Vex, VpcmpestrmClearsTheUpperHalfOfYmm0) {
    set_ymm(0, threes, threes);
    set_xmm(1, lanes<u8>({'a'}));
    set_xmm(2, lanes<u8>({'b', 'a', 'a'}));
    c.gpr[rax] = 1;
    c.gpr[rdx] = 3;
    ASSERT_TRUE(run({0xc4, 0xe3, 0x79, 0x60, 0xca, 0x00}));  // VPCMPESTRM xmm1, xmm2: equal any
    EXPECT_EQ(xmm(0), lanes<u8>({6}));
    EXPECT_EQ(upper(0), zeros);
}

TEST_F(Vex, VzeroupperAndVzeroallClearWhatTheySay) {
    for (unsigned n = 0; n < 16; ++n) set_ymm(n, ones, twos);
    ASSERT_TRUE(run({0xc5, 0xf8, 0x77}));  // VZEROUPPER
    for (unsigned n = 0; n < 16; ++n) {
        EXPECT_EQ(xmm(n), ones);
        EXPECT_EQ(upper(n), zeros);
    }
    set_ymm(7, ones, twos);
    ASSERT_TRUE(run({0xc5, 0xfc, 0x77}));  // VZEROALL
    EXPECT_EQ(xmm(7), zeros);
    EXPECT_EQ(upper(7), zeros);
}

// Memory

TEST_F(Vex, OperandsOf32BytesNeedNoAlignmentAndMayCrossPages) {
    for (const u64 at : {data, data + 3, data + page_size - 9}) {
        c.gpr[rbx] = at;
        set_ram(at, ones);
        set_ram(at + 16, twos);
        set_ymm(2, ones, ones);
        ASSERT_TRUE(run({0xc5, 0xed, 0xfe, 0x0b})) << at;  // VPADDD ymm1, ymm2, [rbx]
        EXPECT_EQ(xmm(1), twos);
        EXPECT_EQ(upper(1), threes);
        ASSERT_TRUE(run({0xc5, 0xfe, 0x7f, 0x4b, 0x40})) << at;  // VMOVDQU [rbx + 64], ymm1
        EXPECT_EQ(ram_bytes(at + 64), twos);
        EXPECT_EQ(ram_bytes(at + 80), threes);
    }
}

TEST_F(Vex, AlignedMovesWant16Or32Bytes) {
    c.gpr[rbx] = data + 16;
    EXPECT_TRUE(run({0xc5, 0xf8, 0x28, 0x0b}));   // VMOVAPS xmm1, [rbx]
    EXPECT_FALSE(run({0xc5, 0xfc, 0x28, 0x0b}));  // VMOVAPS ymm1, [rbx]
    EXPECT_TRUE(raised(Vector::general_protection));
    EXPECT_FALSE(run({0xc5, 0xfd, 0xe7, 0x0b}));  // VMOVNTDQ [rbx], ymm1
    EXPECT_TRUE(raised(Vector::general_protection));
    c.gpr[rbx] = hole + 8;
    EXPECT_FALSE(run({0xc5, 0xfd, 0x6f, 0x0b}));  // VMOVDQA ymm1, [rbx]
    EXPECT_TRUE(raised(Vector::general_protection)) << "before any page fault";
}

TEST_F(Vex, AFaultInTheSecondPageChangesNothing) {
    c.gpr[rbx] = hole - 24;
    set_ymm(1, threes, threes);
    EXPECT_FALSE(run({0xc5, 0xfc, 0x10, 0x0b}));  // VMOVUPS ymm1, [rbx]
    EXPECT_TRUE(raised(Vector::page_fault));
    EXPECT_EQ(c.pending.address, hole);
    EXPECT_EQ(upper(1), threes);
    std::memset(ram(hole - 24), 0xee, 24);
    EXPECT_FALSE(run({0xc5, 0xfc, 0x11, 0x0b}));  // VMOVUPS [rbx], ymm1
    EXPECT_TRUE(raised(Vector::page_fault));
    EXPECT_EQ(*ram(hole - 24), 0xee);
}

TEST_F(Vex, AConversionWhoseStoreFaultsHasSetItsFlags) {
    set_xmm(1, lanes<u32>({0x3f80'0001, 0, 0, 0}));  // inexact as a half
    c.gpr[rbx] = hole - 4;
    EXPECT_FALSE(run({0xc4, 0xe3, 0x79, 0x1d, 0x0b, 0x00}));  // VCVTPS2PH [rbx], xmm1, 0
    EXPECT_TRUE(raised(Vector::page_fault));
    EXPECT_EQ(mxcsr(), mxcsr_reset | mxcsr_pe);
    EXPECT_EQ(*ram(hole - 1), 0);
    set_guest_mxcsr(c, mxcsr_reset & ~mxcsr_unmask_pe);
    EXPECT_FALSE(again());
    EXPECT_TRUE(raised(Vector::simd_floating_point)) << "goes before the page fault";
}

TEST_F(Vex, UnmaskedExceptionIsAnXmThatStoresNothing) {
    set_guest_mxcsr(c, mxcsr_reset & ~mxcsr_unmask_ze);
    set_ymm(1, threes, threes);
    set_ymm(2, lanes<u64>({double_1, double_1}), lanes<u64>({double_1, double_1}));
    set_ymm(3, lanes<u64>({double_1, double_1}), lanes<u64>({double_1, double_0}));
    EXPECT_FALSE(run({0xc5, 0xed, 0x5e, 0xcb}));  // VDIVPD ymm1, ymm2, ymm3
    EXPECT_TRUE(raised(Vector::simd_floating_point));
    EXPECT_EQ(xmm(1), threes);
    EXPECT_EQ(upper(1), threes);
    c.gpr[rbx] = data + 1;
    set_ram(data + 1, zeros);
    set_ram(data + 17, zeros);
    EXPECT_FALSE(run({0xc5, 0xed, 0x5e, 0x0b}));  // VDIVPD ymm1, ymm2, [rbx]
    EXPECT_TRUE(raised(Vector::simd_floating_point));
    EXPECT_EQ(upper(1), threes);
}

// By elements

TEST_F(Vex, MaskedLoadsTouchSelectedElementsOnly) {
    c.gpr[rbx] = hole - 8;
    set_ram(hole - 16, lanes<u32>({0, 0, 21, 22}));
    set_xmm(2, lanes<u32>({0x8000'0000, 0x8000'0000, 0x7fff'ffff, 0}));
    set_ymm(1, threes, threes);
    ASSERT_TRUE(run({0xc4, 0xe2, 0x69, 0x2c, 0x0b}));  // VMASKMOVPS xmm1, xmm2, [rbx]
    EXPECT_EQ(xmm(1), lanes<u32>({21, 22, 0, 0}));
    EXPECT_EQ(upper(1), zeros);
    set_xmm(2, lanes<u32>({0x8000'0000, 0, 0x8000'0000, 0}));
    EXPECT_FALSE(again());
    EXPECT_TRUE(raised(Vector::page_fault));
    EXPECT_EQ(c.pending.address, hole);
    EXPECT_EQ(xmm(1), lanes<u32>({21, 22, 0, 0}));
}

TEST_F(Vex, MaskedStoresTouchSelectedElementsOnly) {
    c.gpr[rbx] = hole - 16;
    std::memset(ram(hole - 16), 0xee, 16);
    set_ymm(1, lanes<u64>({1, 2}), lanes<u64>({3, 4}));
    set_ymm(2, lanes<u64>({0, ~u64{0}}), zeros);
    ASSERT_TRUE(run({0xc4, 0xe2, 0xed, 0x8e, 0x0b}));  // VPMASKMOVQ [rbx], ymm2, ymm1
    EXPECT_EQ(ram_bytes(hole - 16), lanes<u64>({0xeeee'eeee'eeee'eeee, 2}));
    set_ymm(2, lanes<u64>({~u64{0}, 0}), lanes<u64>({0, ~u64{0}}));
    EXPECT_FALSE(again());
    EXPECT_EQ(c.pending.address, hole + 8);
    EXPECT_EQ(ram_bytes(hole - 16), lanes<u64>({0xeeee'eeee'eeee'eeee, 2}));
}

TEST_F(Vex, AGatherTakesWhatItsMaskSelects) {
    c.gpr[rbx] = data;
    set_ram(data, lanes<u32>({10, 11, 12, 13}));
    set_ymm(1, ones, threes);
    set_ymm(2, lanes<u32>({~u32{0}, 0x7fff'ffff, 0x8000'0000, ~u32{0}}), threes);
    set_xmm(3, lanes<u32>({3, 0x1000'0000, 0, 0xffff'ffff}));
    set_ram(data - 4, lanes<u32>({9, 10, 11, 12}));
    // VPGATHERDD xmm1, [rbx + xmm3 * 4], xmm2
    ASSERT_TRUE(run({0xc4, 0xe2, 0x69, 0x90, 0x0c, 0x9b}));
    EXPECT_EQ(xmm(1), lanes<u32>({13, 1, 10, 9}));
    EXPECT_EQ(upper(1), zeros);
    EXPECT_EQ(xmm(2), zeros);
    EXPECT_EQ(upper(2), zeros);
}

TEST_F(Vex, AGatherThatFaultsKeepsWhatItHas) {
    c.gpr[rbx] = hole - 16;
    set_ram(hole - 16, lanes<u64>({70, 71}));
    set_ymm(1, lanes<u64>({1, 2}), lanes<u64>({3, 4}));
    set_ymm(2, lanes<u64>({~u64{0}, ~u64{0}}), lanes<u64>({~u64{0}, ~u64{0}}));
    set_ymm(3, lanes<u64>({1, 0}), lanes<u64>({2, 0}));
    // VPGATHERQQ ymm1, [rbx + ymm3 * 8], ymm2
    EXPECT_FALSE(run({0xc4, 0xe2, 0xed, 0x91, 0x0c, 0xdb}));
    EXPECT_TRUE(raised(Vector::page_fault));
    EXPECT_EQ(c.pending.address, hole);
    EXPECT_EQ(xmm(1), lanes<u64>({71, 70}));
    EXPECT_EQ(upper(1), lanes<u64>({3, 4}));
    EXPECT_EQ(xmm(2), zeros);
    EXPECT_EQ(upper(2), lanes<u64>({~u64{0}, ~u64{0}}));
    set_ymm(3, lanes<u64>({1 << 20, 1 << 20}), lanes<u64>({0, 1}));
    ASSERT_TRUE(again()) << "the first two elements are not fetched again";
    EXPECT_EQ(xmm(1), lanes<u64>({71, 70}));
    EXPECT_EQ(upper(1), lanes<u64>({70, 71}));
    EXPECT_EQ(upper(2), zeros);
}

/// VPGATHERQD of four indices: its destination has four elements, its mask is filled as if it had
/// eight.
TEST_F(Vex, AGatherOfFewerElementsThanItsVectorHasRoomForLeavesUpperHalvesToItsEnd) {
    c.gpr[rbx] = data;
    set_ymm(1, threes, threes);
    set_ymm(2, lanes<u32>({~u32{0}, ~u32{0}, 0, 0}), lanes<u32>({0x8000'0000, 1, 0, 0}));
    set_ymm(3, lanes<u64>({0, hole - data}), zeros);
    // VPGATHERQD xmm1, [rbx + ymm3], xmm2
    EXPECT_FALSE(run({0xc4, 0xe2, 0x6d, 0x91, 0x0c, 0x1b}));
    EXPECT_TRUE(raised(Vector::page_fault));
    EXPECT_EQ(upper(1), threes);
    EXPECT_EQ(xmm(2), lanes<u32>({0, ~u32{0}, 0, 0}));
    EXPECT_EQ(upper(2), lanes<u32>({~u32{0}, 0, 0, 0}));
    set_ymm(3, zeros, zeros);
    ASSERT_TRUE(again());
    EXPECT_EQ(upper(1), zeros);
    EXPECT_EQ(upper(2), zeros);
}

TEST_F(Vex, AGatherOf128BitsClearsUpperHalvesWithItsFirstElement) {
    c.gpr[rbx] = data;
    set_ymm(1, threes, threes);
    set_ymm(2, lanes<u64>({~u64{0}, ~u64{0}}), threes);
    set_xmm(3, lanes<u64>({hole - data, hole - data}));
    // VPGATHERQQ xmm1, [rbx + xmm3], xmm2
    EXPECT_FALSE(run({0xc4, 0xe2, 0xe9, 0x91, 0x0c, 0x1b}));
    EXPECT_EQ(upper(1), threes);
    EXPECT_EQ(upper(2), zeros);
    set_xmm(3, lanes<u64>({0, hole - data}));
    EXPECT_FALSE(again());
    EXPECT_EQ(upper(1), zeros);
}

// Reciprocals

TEST_F(Vex, ReciprocalsHaveTwelveBits) {
    EXPECT_EQ(reciprocal(0x4040'0000), 0x3eaa'a800u) << "1/3";
    EXPECT_EQ(reciprocal(0x3f80'0000), 0x3f80'0000u);
    EXPECT_EQ(reciprocal(0x8000'0001), 0xff80'0000u) << "a denormal";
    EXPECT_EQ(reciprocal(0xff80'0000), 0x8000'0000u);
    EXPECT_EQ(reciprocal(0x7f80'0001), 0x7fc0'0001u) << "a signalling NaN";
    EXPECT_EQ(reciprocal(0x7f00'0000), 0u) << "2^-127 is tiny";
    EXPECT_EQ(reciprocal_root(0x4080'0000), 0x3f00'0000u);
    EXPECT_EQ(reciprocal_root(0x4000'0000), 0x3f35'0800u) << "1/sqrt(2)";
    EXPECT_EQ(reciprocal_root(0xbf80'0000), 0xffc0'0000u);
    EXPECT_EQ(reciprocal_root(0x8000'0000), 0xff80'0000u);
    EXPECT_EQ(reciprocal_root(0x7f80'0000), 0u);
}

TEST_F(Vex, VrsqrtssTakesTheRestFromItsSecondOperand) {
    set_ymm(1, threes, threes);
    set_xmm(2, lanes<u32>({1, 2, 3, 4}));
    c.gpr[rbx] = data + 1;
    set_ram(data + 1, lanes<u32>({0x4080'0000, 0, 0, 0}));
    ASSERT_TRUE(run({0xc5, 0xea, 0x52, 0x0b}));  // VRSQRTSS xmm1, xmm2, [rbx]
    EXPECT_EQ(xmm(1), lanes<u32>({0x3f00'0000, 2, 3, 4}));
    EXPECT_EQ(upper(1), zeros);
}

// All of them

struct Sweep {
    unsigned built = 0;
    std::string refused;
};

void sweep_one(std::span<const u8> bytes, BlockCache& cache, Sweep& sweep) {
    ZydisDecoder decoder;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    Decoded d{};
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes.data(), bytes.size(), &d.instruction,
                                             d.operand.data())))
        return;
    const InstructionRow* row = instruction_row(d.instruction.mnemonic);
    if (row == nullptr || row->kind != InstructionClass::exact) return;
    Insn i{};
    if (row->build(d, i, cache) != nullptr)
        ++sweep.built;
    else
        sweep.refused += std::string{ZydisMnemonicGetString(d.instruction.mnemonic)} + " ";
}

/// Every opcode of the three maps with every VEX.pp, L and W, with and without a register in
/// VEX.vvvv, with registers, memory and a vector index.
TEST_F(Vex, EveryFormOfEveryRowIsBuilt) {
    Sweep sweep;
    for (unsigned map = 1; map <= 3; ++map) {
        for (unsigned bits = 0; bits < 16; ++bits) {  // W, L, pp
            for (const unsigned vvvv : {0xfu, 5u}) {
                for (unsigned opcode = 0; opcode < 256; ++opcode) {
                    for (const unsigned modrm : {0x08u, 0x0cu, 0xcau, 0xd2u, 0xe2u, 0xf2u, 0xfau}) {
                        const std::array<u8, 15> bytes{
                            0xc4,
                            static_cast<u8>(0xe0 | map),
                            static_cast<u8>((bits & 8) << 4 | vvvv << 3 | (bits & 7)),
                            static_cast<u8>(opcode),
                            static_cast<u8>(modrm),
                            0x30};
                        sweep_one(bytes, blocks(), sweep);
                    }
                }
            }
        }
    }
    EXPECT_EQ(sweep.refused, "");
    EXPECT_GT(sweep.built, 4000u);
}

}  // namespace
}  // namespace postern::cpu
