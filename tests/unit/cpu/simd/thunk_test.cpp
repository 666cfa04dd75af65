// SPDX-License-Identifier: Apache-2.0
// SIMD instructions on the host's units: results, flags, exceptions, memory operands.
#include "cpu/simd/thunk.h"

#include <csignal>

#include "cpu/simd/code_arena.h"
#include "tests/unit/cpu/simd/simd_machine.h"

namespace postern::cpu {
namespace {

class Simd : public SimdMachine {};

// Integers

TEST_F(Simd, PadddAddsFourLanesModulo32Bits) {
    set_xmm(1, lanes<u32>({1, 0xffff'ffff, 0x8000'0000, 10}));
    set_xmm(2, lanes<u32>({2, 1, 0x8000'0000, 0xffff'fffe}));
    ASSERT_TRUE(run({0x66, 0x0f, 0xfe, 0xca}));
    EXPECT_EQ(xmm(1), lanes<u32>({3, 0, 0, 8}));
    EXPECT_EQ(xmm(2), lanes<u32>({2, 1, 0x8000'0000, 0xffff'fffe}));
}

TEST_F(Simd, EveryRegisterNumberReachesItsRegister) {
    for (u8 to = 0; to < 16; ++to) {
        for (u8 n = 0; n < 16; ++n) set_xmm(n, lanes<u8>({n}));
        const auto from = static_cast<u8>(15 - to);
        const auto rex = static_cast<u8>(0x40 | (to >> 3) << 2 | from >> 3);
        const auto modrm = static_cast<u8>(0xc0 | (to & 7) << 3 | (from & 7));
        set_xmm(to, lanes<u8>({100}));
        ASSERT_TRUE(run({0x66, rex, 0x0f, 0xfc, modrm}));  // PADDB
        EXPECT_EQ(xmm(to), lanes<u8>({static_cast<u8>(100 + from)})) << unsigned{to};
    }
}

TEST_F(Simd, RegisterAddedToItselfDoubles) {
    set_xmm(5, lanes<u16>({1, 2, 3, 4, 5, 6, 7, 0x8001}));
    ASSERT_TRUE(run({0x66, 0x0f, 0xfd, 0xed}));  // PADDW xmm5, xmm5
    EXPECT_EQ(xmm(5), lanes<u16>({2, 4, 6, 8, 10, 12, 14, 2}));
}

TEST_F(Simd, LegacyInstructionsLeaveTheUpperPartAlone) {
    c.vector.zmm[1].bytes.fill(0xab);
    set_xmm(2, lanes<u64>({1, 2}));
    ASSERT_TRUE(run({0x66, 0x0f, 0x6f, 0xca}));  // MOVDQA xmm1, xmm2
    EXPECT_EQ(xmm(1), lanes<u64>({1, 2}));
    for (unsigned n = 16; n < 64; ++n) EXPECT_EQ(c.vector.zmm[1].bytes[n], 0xab) << n;
}

TEST_F(Simd, ShiftsByImmediateShiftTheRightAmount) {
    set_xmm(3, lanes<u16>({1, 0x8001, 0x0f0f, 0, 0, 0, 0, 0xffff}));
    ASSERT_TRUE(run({0x66, 0x0f, 0x71, 0xf3, 0x04}));  // PSLLW xmm3, 4
    EXPECT_EQ(xmm(3), lanes<u16>({0x10, 0x10, 0xf0f0, 0, 0, 0, 0, 0xfff0}));
    set_xmm(1, lanes<u8>({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}));
    ASSERT_TRUE(run({0x66, 0x0f, 0x73, 0xd9, 0x05}));  // PSRLDQ xmm1, 5
    EXPECT_EQ(xmm(1), lanes<u8>({5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}));
}

TEST_F(Simd, ThunksOfDifferentImmediatesAreDifferent) {
    set_xmm(2, lanes<u32>({10, 11, 12, 13}));
    ASSERT_TRUE(run({0x66, 0x0f, 0x70, 0xca, 0x1b}));  // PSHUFD xmm1, xmm2, reverse
    EXPECT_EQ(xmm(1), lanes<u32>({13, 12, 11, 10}));
    ASSERT_TRUE(run({0x66, 0x0f, 0x70, 0xca, 0xaa}));  // ... broadcast of element 2
    EXPECT_EQ(xmm(1), lanes<u32>({12, 12, 12, 12}));
}

TEST_F(Simd, SameInstructionOnOtherRegistersSharesItsThunk) {
    ASSERT_TRUE(build({0x66, 0x0f, 0xef, 0xca}));  // PXOR xmm1, xmm2
    set_xmm(1, lanes<u64>({0xff, 0}));
    set_xmm(2, lanes<u64>({0x0f, 0}));
    ASSERT_TRUE(again());
    ASSERT_TRUE(run({0x66, 0x0f, 0xef, 0xd9}));  // PXOR xmm3, xmm1
    EXPECT_EQ(xmm(1), lanes<u64>({0xf0, 0}));
    EXPECT_EQ(xmm(3), lanes<u64>({0xf0, 0}));
}

TEST_F(Simd, BlendTakesItsMaskFromXmm0EvenWhenThatIsTheDestination) {
    set_xmm(0, lanes<u8>({0x80, 0, 0xff, 0x7f}));
    set_xmm(1, lanes<u8>({1, 2, 3, 4}));
    set_xmm(2, lanes<u8>({11, 12, 13, 14}));
    ASSERT_TRUE(run({0x66, 0x0f, 0x38, 0x10, 0xca}));  // PBLENDVB xmm1, xmm2
    EXPECT_EQ(xmm(1), lanes<u8>({11, 2, 13, 4}));
    ASSERT_TRUE(run({0x66, 0x0f, 0x38, 0x10, 0xc2}));  // PBLENDVB xmm0, xmm2
    EXPECT_EQ(xmm(0), lanes<u8>({11, 0, 13, 0x7f}));
}

// Intel, "Advanced Encryption Standard (AES) New Instructions", the worked example of AESENC.
TEST_F(Simd, AesencMatchesThePublishedRound) {
    set_xmm(1, lanes<u64>({0x6374'6f72'5d53'475d, 0x7b5b'5465'7374'5665}));
    set_xmm(2, lanes<u64>({0x5b47'7565'726f'6e5d, 0x4869'2853'6861'7929}));
    ASSERT_TRUE(run({0x66, 0x0f, 0x38, 0xdc, 0xca}));
    EXPECT_EQ(xmm(1), lanes<u64>({0x8b10'4b58'ded7'e595, 0xa831'1c2f'9fdb'a3c5}));
}

// General registers

TEST_F(Simd, MovdToXmmClearsTheRestOfTheRegister) {
    c.gpr[rax] = 0x1111'2222'3333'4444;
    set_xmm(1, lanes<u64>({~u64{0}, ~u64{0}}));
    ASSERT_TRUE(run({0x66, 0x0f, 0x6e, 0xc8}));
    EXPECT_EQ(xmm(1), lanes<u64>({0x3333'4444, 0}));
}

TEST_F(Simd, MovdFromXmmClearsTheUpperHalfOfTheGeneralRegister) {
    c.gpr[rbx] = ~u64{0};
    set_xmm(1, lanes<u64>({0x1111'2222'8333'4444, ~u64{0}}));
    ASSERT_TRUE(run({0x66, 0x0f, 0x7e, 0xcb}));  // MOVD ebx, xmm1
    EXPECT_EQ(c.gpr[rbx], 0x8333'4444u);
    ASSERT_TRUE(run({0x66, 0x49, 0x0f, 0x7e, 0xcb}));  // MOVQ r11, xmm1
    EXPECT_EQ(c.gpr[r11], 0x1111'2222'8333'4444u);
}

TEST_F(Simd, MovqFromExtendedRegisterTakesAll64Bits) {
    c.gpr[r10] = 0x8877'6655'4433'2211;
    set_xmm(1, lanes<u64>({~u64{0}, ~u64{0}}));
    ASSERT_TRUE(run({0x66, 0x49, 0x0f, 0x6e, 0xca}));
    EXPECT_EQ(xmm(1), lanes<u64>({0x8877'6655'4433'2211, 0}));
}

TEST_F(Simd, PmovmskbCollectsSignsAndClearsTheRest) {
    c.gpr[rax] = ~u64{0};
    set_xmm(1, lanes<u8>({0x80, 0x7f, 0xff, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0xff}));
    ASSERT_TRUE(run({0x66, 0x0f, 0xd7, 0xc1}));
    EXPECT_EQ(c.gpr[rax], 0x8105u);
}

TEST_F(Simd, PinsrwAndPextrwUseTheElementTheImmediateNames) {
    c.gpr[rcx] = 0xffff'ffff'ffff'1234;
    set_xmm(1, lanes<u16>({1, 2, 3, 4, 5, 6, 7, 8}));
    ASSERT_TRUE(run({0x66, 0x0f, 0xc4, 0xc9, 0x03}));  // PINSRW xmm1, ecx, 3
    EXPECT_EQ(xmm(1), lanes<u16>({1, 2, 3, 0x1234, 5, 6, 7, 8}));
    c.gpr[rax] = ~u64{0};
    ASSERT_TRUE(run({0x66, 0x0f, 0xc5, 0xc1, 0x03}));  // PEXTRW eax, xmm1, 3
    EXPECT_EQ(c.gpr[rax], 0x1234u);
}

// The check value of CRC-32C: E3069283H for the digits 1 to 9.
TEST_F(Simd, Crc32OfTheDigitsIsThePolynomialsCheckValue) {
    c.gpr[rax] = 0xffff'ffff;
    ASSERT_TRUE(build({0xf2, 0x0f, 0x38, 0xf0, 0xc7}));  // CRC32 eax, bh
    for (u64 digit = '1'; digit <= '9'; ++digit) {
        c.gpr[rbx] = digit << 8 | 0x5a;
        ASSERT_TRUE(again());
    }
    EXPECT_EQ(c.gpr[rax] ^ 0xffff'ffff, 0xe306'9283u);
}

TEST_F(Simd, Crc32OfAMemoryQuadwordEqualsThatOfItsBytes) {
    const char* text = "12345678";
    std::memcpy(ram(data), text, 8);
    c.gpr[rbx] = data;
    c.gpr[rax] = 0xffff'ffff;
    ASSERT_TRUE(run({0xf2, 0x48, 0x0f, 0x38, 0xf1, 0x03}));  // CRC32 rax, qword [rbx]
    c.gpr[rbx] = '9';
    ASSERT_TRUE(run({0xf2, 0x0f, 0x38, 0xf0, 0xc3}));  // CRC32 eax, bl
    EXPECT_EQ(c.gpr[rax] ^ 0xffff'ffff, 0xe306'9283u);
}

// Floating point

TEST_F(Simd, MovssMergesARegisterAndClearsAfterMemory) {
    set_xmm(1, lanes<u32>({1, 2, 3, 4}));
    set_xmm(2, lanes<u32>({11, 12, 13, 14}));
    ASSERT_TRUE(run({0xf3, 0x0f, 0x10, 0xca}));
    EXPECT_EQ(xmm(1), lanes<u32>({11, 2, 3, 4}));
    set_ram(data, lanes<u32>({21, 22, 23, 24}));
    c.gpr[rax] = data;
    ASSERT_TRUE(run({0xf3, 0x0f, 0x10, 0x08}));
    EXPECT_EQ(xmm(1), lanes<u32>({21, 0, 0, 0}));
}

struct RoundingRow {
    u32 control;   // MXCSR.RC in place
    u64 sum;       // 1 + 2^-53
    u64 negative;  // -1 - 2^-53
};

TEST_F(Simd, AddsdRoundsAsMxcsrSaysAndTheInexactFlagSticks) {
    constexpr u64 tiny = 0x3ca0'0000'0000'0000;  // 2^-53
    constexpr u64 sign = u64{1} << 63;
    constexpr RoundingRow rows[]{
        {0x0000, double_1, sign | double_1},
        {0x2000, double_1, sign | (double_1 + 1)},  // down
        {0x4000, double_1 + 1, sign | double_1},    // up
        {0x6000, double_1, sign | double_1},        // towards zero
    };
    for (const RoundingRow& row : rows) {
        set_guest_mxcsr(c, mxcsr_reset | row.control);
        set_xmm(1, lanes<u64>({double_1, 77}));
        set_xmm(2, lanes<u64>({tiny, 88}));
        ASSERT_TRUE(run({0xf2, 0x0f, 0x58, 0xca}));
        EXPECT_EQ(xmm(1), lanes<u64>({row.sum, 77}));
        set_xmm(1, lanes<u64>({sign | double_1, 77}));
        set_xmm(2, lanes<u64>({sign | tiny, 88}));
        ASSERT_TRUE(again());
        EXPECT_EQ(xmm(1), lanes<u64>({row.negative, 77}));
        EXPECT_EQ(mxcsr(), mxcsr_reset | row.control | mxcsr_pe);
        // An exact sum clears nothing.
        set_xmm(1, lanes<u64>({double_1, 77}));
        set_xmm(2, lanes<u64>({double_1, 77}));
        ASSERT_TRUE(again());
        EXPECT_EQ(xmm(1), lanes<u64>({double_2, 77}));
        EXPECT_EQ(mxcsr(), mxcsr_reset | row.control | mxcsr_pe);
    }
}

TEST_F(Simd, FlagsGatherInTheUnitAndComeBackWhenItIsLeft) {
    set_xmm(1, lanes<u64>({double_1, 0}));
    set_xmm(2, lanes<u64>({double_0, 0}));
    ASSERT_TRUE(run({0xf2, 0x0f, 0x5e, 0xca}));  // DIVSD
    EXPECT_EQ(xmm(1), lanes<u64>({double_infinity, 0}));
    EXPECT_EQ(c.vector.mxcsr, mxcsr_reset);
    leave_host_unit(c);
    EXPECT_EQ(c.vector.mxcsr, mxcsr_reset | mxcsr_ze);
}

TEST_F(Simd, UnmaskedDivisionByZeroIsAnXmThatStoresNothing) {
    set_guest_mxcsr(c, mxcsr_reset & ~mxcsr_unmask_ze);
    set_xmm(1, lanes<u64>({double_1, 5}));
    set_xmm(2, lanes<u64>({double_0, 6}));
    EXPECT_FALSE(run({0xf2, 0x0f, 0x5e, 0xca}));
    EXPECT_TRUE(raised(Vector::simd_floating_point));
    EXPECT_FALSE(c.pending.has_error_code);
    EXPECT_EQ(xmm(1), lanes<u64>({double_1, 5}));
    EXPECT_EQ(mxcsr(), (mxcsr_reset & ~mxcsr_unmask_ze) | mxcsr_ze);
    // The same thunk works on.
    set_xmm(2, lanes<u64>({double_2, 6}));
    set_xmm(1, lanes<u64>({double_2, 5}));
    ASSERT_TRUE(again());
    EXPECT_EQ(xmm(1), lanes<u64>({double_1, 5}));
}

TEST_F(Simd, UnmaskedExceptionWithoutOsxmmexcptIsUd) {
    c.cr4.set(Cr4::osxmmexcpt, false);
    set_guest_mxcsr(c, mxcsr_reset & ~mxcsr_unmask_ze);
    set_xmm(1, lanes<u64>({double_1, 5}));
    set_xmm(2, lanes<u64>({double_0, 6}));
    EXPECT_FALSE(run({0xf2, 0x0f, 0x5e, 0xca}));
    EXPECT_TRUE(raised(Vector::invalid_opcode));
    EXPECT_EQ(xmm(1), lanes<u64>({double_1, 5}));
}

TEST_F(Simd, UnmaskedExceptionOfAMemoryOperandIsAnXmOnEveryPath) {
    set_guest_mxcsr(c, mxcsr_reset & ~mxcsr_unmask_ze);
    set_xmm(1, lanes<u64>({double_1, double_1}));
    set_ram(data, lanes<u64>({double_2, double_0}));
    c.gpr[rax] = data;
    ASSERT_TRUE(build({0x66, 0x0f, 0x5e, 0x08}));  // DIVPD xmm1, [rax]
    EXPECT_FALSE(again()) << "TLB filled on the way";
    EXPECT_TRUE(raised(Vector::simd_floating_point));
    EXPECT_FALSE(again()) << "TLB hit";
    EXPECT_TRUE(raised(Vector::simd_floating_point));
    EXPECT_EQ(xmm(1), lanes<u64>({double_1, double_1}));

    // Eight bytes that cross a page take the slow form.
    const u64 crossing = data + page_size - 4;
    std::memset(ram(crossing), 0, 8);
    c.gpr[rax] = crossing;
    EXPECT_FALSE(run({0xf2, 0x0f, 0x5e, 0x08}));  // DIVSD xmm1, [rax]
    EXPECT_TRUE(raised(Vector::simd_floating_point));
    EXPECT_EQ(xmm(1), lanes<u64>({double_1, double_1}));
}

TEST_F(Simd, StickyFlagOfAnUnmaskedExceptionDoesNotTrapByItself) {
    set_guest_mxcsr(c, (mxcsr_reset & ~mxcsr_unmask_ze) | mxcsr_ze);
    set_xmm(1, lanes<u64>({double_1, 5}));
    set_xmm(2, lanes<u64>({double_2, 6}));
    ASSERT_TRUE(run({0xf2, 0x0f, 0x58, 0xca}));
    EXPECT_EQ(xmm(1), lanes<u64>({double_3, 5}));
}

struct CompareRow {
    u64 a, b;
    u64 flags;  // ZF 40H, PF 4, CF 1
};

TEST_F(Simd, ComisdSetsZfPfCfAndClearsTheOthers) {
    constexpr CompareRow rows[]{
        {double_2, double_1, 0x00},
        {double_1, double_2, 0x01},
        {double_1, double_1, 0x40},
        {double_1, double_quiet_nan, 0x45},
    };
    for (const CompareRow& row : rows) {
        from_image(c, 0x8d5);  // all six set
        set_xmm(1, lanes<u64>({row.a, 0}));
        set_xmm(2, lanes<u64>({row.b, 0}));
        ASSERT_TRUE(run({0x66, 0x0f, 0x2f, 0xca}));
        EXPECT_EQ(status_flags(), row.flags) << row.b;
    }
    EXPECT_EQ(mxcsr(), mxcsr_reset | mxcsr_ie) << "a quiet NaN is invalid to COMISD";
}

TEST_F(Simd, UcomisdAcceptsQuietNans) {
    set_xmm(1, lanes<u64>({double_1, 0}));
    std::memcpy(ram(data), &double_quiet_nan, 8);
    c.gpr[rax] = data;
    ASSERT_TRUE(run({0x66, 0x0f, 0x2e, 0x08}));  // UCOMISD xmm1, [rax]
    EXPECT_EQ(status_flags(), 0x45u);
    EXPECT_EQ(mxcsr(), mxcsr_reset);
}

TEST_F(Simd, UnmaskedInvalidComparisonLeavesFlagsAlone) {
    set_guest_mxcsr(c, mxcsr_reset & ~mxcsr_unmask_ie);
    from_image(c, 0x891);
    set_xmm(1, lanes<u64>({double_1, 0}));
    set_xmm(2, lanes<u64>({double_quiet_nan, 0}));
    EXPECT_FALSE(run({0x66, 0x0f, 0x2f, 0xca}));
    EXPECT_TRUE(raised(Vector::simd_floating_point));
    EXPECT_EQ(status_flags(), 0x891u);
}

TEST_F(Simd, ConversionsToIntegersGiveTheIndefiniteValue) {
    c.gpr[rax] = ~u64{0};
    set_xmm(1, lanes<u64>({double_infinity, 0}));
    ASSERT_TRUE(run({0xf2, 0x0f, 0x2c, 0xc1}));  // CVTTSD2SI eax, xmm1
    EXPECT_EQ(c.gpr[rax], 0x8000'0000u);
    EXPECT_EQ(mxcsr(), mxcsr_reset | mxcsr_ie);
    ASSERT_TRUE(run({0xf2, 0x48, 0x0f, 0x2c, 0xc1}));
    EXPECT_EQ(c.gpr[rax], 0x8000'0000'0000'0000u);
}

TEST_F(Simd, ConversionsFromIntegersTakeTheSizeOfTheSource) {
    c.gpr[rax] = 0x0000'0001'0000'0003;
    set_xmm(1, lanes<u64>({0, 99}));
    ASSERT_TRUE(run({0xf2, 0x0f, 0x2a, 0xc8}));  // CVTSI2SD xmm1, eax
    EXPECT_EQ(xmm(1), lanes<u64>({double_3, 99}));
    ASSERT_TRUE(run({0xf2, 0x48, 0x0f, 0x2a, 0xc8}));  // ..., rax
    EXPECT_EQ(xmm(1), lanes<u64>({0x41f0'0000'0030'0000, 99}));
}

TEST_F(Simd, PtestSetsZfAndCf) {
    from_image(c, 0x8d4);
    set_xmm(1, lanes<u64>({0xf0, 0}));
    set_xmm(2, lanes<u64>({0x0f, 0}));
    ASSERT_TRUE(run({0x66, 0x0f, 0x38, 0x17, 0xca}));
    EXPECT_EQ(status_flags(), 0x40u);
    set_xmm(2, lanes<u64>({0x30, 0}));
    ASSERT_TRUE(again());
    EXPECT_EQ(status_flags(), 0x01u);
}

// Equal each, unsigned bytes, least significant index: where the strings first agree.
TEST_F(Simd, PcmpistriGivesIndexAndFlags) {
    c.gpr[rcx] = ~u64{0};
    set_xmm(1, lanes<u8>({'a', 'b', 'c', 'd', 0}));
    set_xmm(2, lanes<u8>({'x', 'y', 'c', 'd', 'e', 0}));
    ASSERT_TRUE(run({0x66, 0x0f, 0x3a, 0x63, 0xca, 0x08}));
    EXPECT_EQ(c.gpr[rcx], 2u);
    // CF: some agree; ZF and SF: each string ends within; OF: the first bytes differ.
    EXPECT_EQ(status_flags(), 0xc1u);
}

TEST_F(Simd, PcmpestriTakesItsLengthsFromRaxAndRdx) {
    set_xmm(1, lanes<u8>({'a', 'b', 'c', 'd'}));
    set_xmm(2, lanes<u8>({'x', 'y', 'c', 'd'}));
    c.gpr[rax] = 4;
    c.gpr[rdx] = 2;  // only x and y count
    c.gpr[rcx] = ~u64{0};
    ASSERT_TRUE(run({0x66, 0x0f, 0x3a, 0x61, 0xca, 0x0c}));  // equal ordered: no substring
    EXPECT_EQ(c.gpr[rcx], 16u);
    EXPECT_EQ(c.gpr[rax], 4u);
    EXPECT_EQ(c.gpr[rdx], 2u);
    // Only with REX.W do bits 63:32 count: a huge length saturates at 16.
    set_xmm(1, lanes<u8>({'c', 'd'}));
    set_xmm(2, lanes<u8>({'x', 'y', 'c', 'd'}));
    c.gpr[rax] = 2;
    c.gpr[rdx] = u64{1} << 32;
    ASSERT_TRUE(run({0x66, 0x0f, 0x3a, 0x61, 0xca, 0x0c}));
    EXPECT_EQ(c.gpr[rcx], 16u) << "EDX is 0: an empty string";
    ASSERT_TRUE(run({0x66, 0x48, 0x0f, 0x3a, 0x61, 0xca, 0x0c}));
    EXPECT_EQ(c.gpr[rcx], 2u);
}

// Memory operands

TEST_F(Simd, AlignedOperandMisalignedIsGpBeforeAnyPageFault) {
    c.gpr[rax] = hole + 8;
    set_xmm(1, lanes<u64>({1, 2}));
    EXPECT_FALSE(run({0x0f, 0x28, 0x08}));  // MOVAPS xmm1, [rax]
    EXPECT_TRUE(raised(Vector::general_protection));
    EXPECT_TRUE(c.pending.has_error_code);
    EXPECT_EQ(c.pending.error_code, 0u);
    EXPECT_FALSE(run({0x0f, 0x29, 0x08}));  // MOVAPS [rax], xmm1
    EXPECT_TRUE(raised(Vector::general_protection));
    EXPECT_FALSE(run({0x66, 0x0f, 0xfe, 0x08}));  // PADDD xmm1, [rax]
    EXPECT_TRUE(raised(Vector::general_protection));
    EXPECT_EQ(xmm(1), lanes<u64>({1, 2}));
}

TEST_F(Simd, UnalignedLoadsWorkWithinAndAcrossPages) {
    const Bytes bytes = lanes<u8>({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16});
    for (const u64 at : {data + 1, data + page_size - 9, data + page_size - 1}) {
        set_ram(at, bytes);
        c.gpr[rax] = at;
        set_xmm(1, {});
        ASSERT_TRUE(run({0x0f, 0x10, 0x08})) << at;  // MOVUPS xmm1, [rax]
        EXPECT_EQ(xmm(1), bytes) << at;
        set_xmm(1, {});
        ASSERT_TRUE(again()) << at;
        EXPECT_EQ(xmm(1), bytes) << at;
    }
}

TEST_F(Simd, UnalignedStoresWorkWithinAndAcrossPages) {
    const Bytes bytes = lanes<u8>({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16});
    set_xmm(9, bytes);
    for (const u64 at : {data + 1, data + page_size - 9, data + page_size - 1}) {
        std::memset(ram(at - 1), 0xee, 18);
        c.gpr[rax] = at;
        ASSERT_TRUE(run({0xf3, 0x44, 0x0f, 0x7f, 0x08})) << at;  // MOVDQU [rax], xmm9
        EXPECT_EQ(ram_bytes(at), bytes) << at;
        EXPECT_EQ(*ram(at - 1), 0xee);
        EXPECT_EQ(*ram(at + 16), 0xee);
    }
}

TEST_F(Simd, PageFaultOnTheSecondPageNamesItAndChangesNothing) {
    const u64 at = hole - 5;
    std::memset(ram(at), 0xee, 16);
    c.gpr[rax] = at;
    set_xmm(1, lanes<u64>({1, 2}));
    EXPECT_FALSE(run({0x0f, 0x10, 0x08}));  // MOVUPS xmm1, [rax]
    EXPECT_TRUE(raised(Vector::page_fault));
    EXPECT_EQ(c.pending.address, hole);
    EXPECT_EQ(c.pending.error_code, 0u);
    EXPECT_EQ(xmm(1), lanes<u64>({1, 2}));
    EXPECT_FALSE(run({0x0f, 0x11, 0x08}));  // MOVUPS [rax], xmm1
    EXPECT_TRUE(raised(Vector::page_fault));
    EXPECT_EQ(c.pending.address, hole);
    EXPECT_EQ(c.pending.error_code, 2u);
    for (unsigned n = 0; n < 5; ++n) EXPECT_EQ(*ram(at + n), 0xee);
}

TEST_F(Simd, NarrowStoresTouchTheirBytesOnly) {
    set_xmm(1, lanes<u64>({0x1111'2222'3333'4444, 0x5555'6666'7777'8888}));
    c.gpr[rax] = data + 3;
    std::memset(ram(data), 0xee, 16);
    ASSERT_TRUE(run({0xf3, 0x0f, 0x11, 0x08}));  // MOVSS [rax], xmm1
    EXPECT_EQ(ram_bytes(data), lanes<u8>({0xee, 0xee, 0xee, 0x44, 0x44, 0x33, 0x33, 0xee, 0xee,
                                          0xee, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee}));
    ASSERT_TRUE(run({0x0f, 0x17, 0x48, 0x01}));  // MOVHPS [rax + 1], xmm1
    EXPECT_EQ(ram_bytes(data), lanes<u8>({0xee, 0xee, 0xee, 0x44, 0x88, 0x88, 0x77, 0x77, 0x66,
                                          0x66, 0x55, 0x55, 0xee, 0xee, 0xee, 0xee}));
    ASSERT_TRUE(run({0x66, 0x0f, 0x3a, 0x14, 0x08, 0x0f}));  // PEXTRB [rax], xmm1, 15
    EXPECT_EQ(*ram(data + 3), 0x55);
    EXPECT_EQ(*ram(data + 4), 0x88);
}

TEST_F(Simd, NonTemporalStoresStoreAndWantAlignment) {
    set_xmm(1, lanes<u64>({1, 2}));
    c.gpr[rax] = data;
    ASSERT_TRUE(run({0x66, 0x0f, 0xe7, 0x08}));  // MOVNTDQ
    EXPECT_EQ(ram_bytes(data), lanes<u64>({1, 2}));
    c.gpr[rax] = data + 4;
    EXPECT_FALSE(again());
    EXPECT_TRUE(raised(Vector::general_protection));
    c.gpr[rcx] = 0x1234'5678'9abc'def0;
    ASSERT_TRUE(run({0x48, 0x0f, 0xc3, 0x08}));  // MOVNTI [rax], rcx: no alignment
    EXPECT_EQ(ram_bytes(data), lanes<u32>({1, 0x9abc'def0, 0x1234'5678, 0}));
}

TEST_F(Simd, MaskmovdquStoresTheSelectedBytesOnly) {
    std::memset(ram(data), 0xee, 16);
    set_xmm(1, lanes<u8>({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}));
    set_xmm(2, lanes<u8>({0, 0x80, 0x7f, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0}));
    c.gpr[rdi] = data;
    ASSERT_TRUE(run({0x66, 0x0f, 0xf7, 0xca}));
    EXPECT_EQ(ram_bytes(data), lanes<u8>({0xee, 2, 0xee, 4, 0xee, 0xee, 0xee, 0xee, 0xee, 0xee,
                                          0xee, 0xee, 0xee, 0xee, 15, 0xee}));
    // Bytes 0 to 4 lie on the last page before the hole, byte 14 beyond.
    c.gpr[rdi] = hole - 5;
    std::memset(ram(hole - 5), 0xee, 5);
    EXPECT_FALSE(again());
    EXPECT_TRUE(raised(Vector::page_fault));
    EXPECT_EQ(c.pending.address, hole);
    for (unsigned n = 0; n < 5; ++n) EXPECT_EQ(*ram(hole - 5 + n), 0xee);
}

TEST_F(Simd, StoreIntoAPageWithCachedCodeDropsIt) {
    auto* block = blocks().allocate<Block>(1);
    *block = {.host = ram(data),
              .second_page = nullptr,
              .mode = 0,
              .count = 1,
              .bytes = 32,
              .entry = nullptr,
              .next_same_slot = nullptr,
              .next_same_page = nullptr};
    blocks().insert(c, block);
    const u64 epoch = c.code_epoch;
    set_xmm(1, lanes<u64>({1, 2}));
    c.gpr[rax] = data + 16;
    ASSERT_TRUE(build({0x0f, 0x29, 0x08}));
    EXPECT_EQ(step(), Step::lookup);
    EXPECT_EQ(c.rip, code + 3);
    EXPECT_NE(c.code_epoch, epoch);
    EXPECT_EQ(ram_bytes(data + 16), lanes<u64>({1, 2}));
}

// What is refused

TEST_F(Simd, ModelDefinedFormsAreRefused) {
    EXPECT_FALSE(build({0x0f, 0x53, 0xca}));        // RCPPS
    EXPECT_FALSE(build({0xf3, 0x0f, 0x52, 0xca}));  // RSQRTSS
    EXPECT_FALSE(build({0xa5}));                    // MOVSD, the string instruction
}

static_assert(is_simd_exact(ZYDIS_MNEMONIC_ADDPS) && is_simd_exact(ZYDIS_MNEMONIC_MOVSD));
static_assert(!is_simd_exact(ZYDIS_MNEMONIC_RCPPS) && !is_simd_exact(ZYDIS_MNEMONIC_ADD));

struct Sweep {
    unsigned built = 0;
    std::string refused;
};

void sweep_one(std::span<const u8> bytes, BlockCache& cache, Sweep& sweep) {
    ZydisDecoder decoder;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    Decoded d{};
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes.data(), bytes.size(), &d.instruction,
                                             d.operand.data())) ||
        !is_simd_exact(d.instruction.mnemonic))
        return;
    Insn i{};
    if (build_simd(d, i, cache) != nullptr)
        ++sweep.built;
    else
        sweep.refused += std::string{ZydisMnemonicGetString(d.instruction.mnemonic)} + " ";
}

/// Every opcode of the three maps under every mandatory prefix, with register and memory forms.
TEST_F(Simd, EveryFormOfEveryListedMnemonicIsBuilt) {
    constexpr u8 opcodes[][2]{{0, 0}, {0x38, 1}, {0x3a, 1}};
    Sweep sweep;
    for (const u8 prefix : std::to_array<u8>({0x3e, 0x66, 0xf2, 0xf3})) {  // 3EH: none
        for (const u8 rex : std::to_array<u8>({0x40, 0x48})) {
            for (const auto& map : opcodes) {
                for (unsigned opcode = 0; opcode < 256; ++opcode) {
                    for (const unsigned modrm : {0x08u, 0xcau, 0xd2u, 0xdau, 0xe2u, 0xf2u, 0xfau}) {
                        std::array<u8, 15> bytes{prefix, rex, 0x0f};
                        unsigned n = 3;
                        if (map[1] != 0) bytes[n++] = map[0];
                        bytes[n++] = static_cast<u8>(opcode);
                        bytes[n++] = static_cast<u8>(modrm);
                        bytes[n] = 3;
                        sweep_one(bytes, blocks(), sweep);
                    }
                }
            }
        }
    }
    EXPECT_EQ(sweep.refused, "");
    EXPECT_GT(sweep.built, 2000u);
}

// The trap

TEST(FloatTrap, SigfpeOutsideAThunkEndsTheProcessWithAReport) {
    testing::FLAGS_gtest_death_test_style = "threadsafe";
    EXPECT_DEATH(
        {
            auto cpu = std::make_unique<Cpu>();
            cpu->vector.mxcsr = mxcsr_reset;
            enter_host_unit(*cpu);
            (void)std::raise(SIGFPE);
        },
        "SIGFPE at 0x.* outside the guest's instructions");
}

TEST(HostUnit, GivesTheHostItsOwnControlsBack) {
    auto cpu = std::make_unique<Cpu>();
    cpu->vector.mxcsr = 0x7f80;  // towards zero
    const u32 before = __builtin_ia32_stmxcsr();
    enter_host_unit(*cpu);
    EXPECT_EQ(__builtin_ia32_stmxcsr(), 0x7f80u);
    leave_host_unit(*cpu);
    EXPECT_EQ(__builtin_ia32_stmxcsr(), before);
    EXPECT_EQ(cpu->vector.mxcsr, 0x7f80u);
}

}  // namespace
}  // namespace postern::cpu
