// SPDX-License-Identifier: Apache-2.0
// When VEX-encoded instructions are #UD or #NM, through the decoder. SDM 2A, "AVX Instructions and
// State Support".
#include <gtest/gtest.h>

#include "tests/support/guest_code.h"

namespace postern::cpu {
namespace {

using Code = std::vector<u8>;

const Code vaddps{0xc5, 0xe8, 0x58, 0xcb};                // VADDPS xmm1, xmm2, xmm3
const Code vpaddd_ymm{0xc5, 0xed, 0xfe, 0xcb};            // VPADDD ymm1, ymm2, ymm3
const Code vaesenc{0xc4, 0xe2, 0x69, 0xdc, 0xcb};         // VAESENC xmm1, xmm2, xmm3
const Code vaesenc_ymm{0xc4, 0xe2, 0x6d, 0xdc, 0xcb};     // VAESENC ymm1, ymm2, ymm3
const Code vpclmul{0xc4, 0xe3, 0x69, 0x44, 0xcb, 0};      // VPCLMULQDQ xmm1, xmm2, xmm3, 0
const Code vpclmul_ymm{0xc4, 0xe3, 0x6d, 0x44, 0xcb, 0};  // VPCLMULQDQ ymm1, ymm2, ymm3, 0
const Code vgf2p8mulb{0xc4, 0xe2, 0x69, 0xcf, 0xcb};      // VGF2P8MULB xmm1, xmm2, xmm3
const Code vfmadd{0xc4, 0xe2, 0x69, 0xa8, 0xcb};          // VFMADD213PS xmm1, xmm2, xmm3
const Code vcvtph2ps{0xc4, 0xe2, 0x79, 0x13, 0xca};       // VCVTPH2PS xmm1, xmm2
const Code vzeroupper{0xc5, 0xf8, 0x77};
const Code vrcpps{0xc5, 0xf8, 0x53, 0xca};      // VRCPPS xmm1, xmm2
const Code andn{0xc4, 0xe2, 0x68, 0xf2, 0xcb};  // ANDN ecx, edx, ebx
const Code addps{0x0f, 0x58, 0xca};             // ADDPS xmm1, xmm2

class VexRules : public testing::Test {
protected:
    /// The vector of its fault; -1: it ran.
    int outcome(const Code& code) {
        Code all = code;
        all.push_back(0xf4);
        m.write(guest_at::code, all);
        m.set_plain_state(guest_at::code);
        const GuestStop stop = m.run(100);
        EXPECT_EQ(stop.outcome, RunOutcome::halted);
        return stop.fault ? static_cast<int>(stop.fault->vector) : -1;
    }
    GuestCode m;
    Cpu& c = m.c;
};

constexpr int ran = -1, ud = 6, nm = 7;

TEST_F(VexRules, TheyRunWhereTheSystemHasTurnedThemOn) {
    for (const Code& code : {vaddps, vpaddd_ymm, vzeroupper, vrcpps, andn, addps})
        EXPECT_EQ(outcome(code), ran);
}

TEST_F(VexRules, WithoutOsxsaveOrItsStateTheyAreUndefined) {
    c.cr4.set(Cr4::osxsave, false);
    for (const Code& code : {vaddps, vpaddd_ymm, vzeroupper, vrcpps}) EXPECT_EQ(outcome(code), ud);
    EXPECT_EQ(outcome(andn), ran) << "general registers only";
    EXPECT_EQ(outcome(addps), ran);
    c.cr4.set(Cr4::osxsave);
    for (const u64 xcr0 : {1u, 3u}) {
        c.xcr0 = xcr0;
        for (const Code& code : {vaddps, vpaddd_ymm, vzeroupper, vrcpps})
            EXPECT_EQ(outcome(code), ud);
        EXPECT_EQ(outcome(addps), ran);
    }
}

TEST_F(VexRules, ATaskSwitchMakesThemNm) {
    c.cr0.set(Cr0::ts);
    for (const Code& code : {vaddps, vpaddd_ymm, vzeroupper, vrcpps, addps})
        EXPECT_EQ(outcome(code), nm);
    EXPECT_EQ(outcome(andn), ran);
    c.xcr0 = 3;
    EXPECT_EQ(outcome(vaddps), ud) << "#UD goes first";
}

TEST_F(VexRules, EmulationConcernsLegacyEncodingsOnly) {
    c.cr0.set(Cr0::em);
    EXPECT_EQ(outcome(vaddps), ran);
    EXPECT_EQ(outcome(addps), ud);
}

TEST_F(VexRules, PrefixesThatVexContainsAreUndefinedBeforeIt) {
    for (const u8 prefix : std::to_array<u8>({0x66, 0xf2, 0xf3, 0xf0, 0x40, 0x48})) {
        Code code{prefix};
        code.insert(code.end(), vaddps.begin(), vaddps.end());
        EXPECT_EQ(outcome(code), ud) << unsigned{prefix};
    }
    for (const u8 prefix : std::to_array<u8>({0x3e, 0x64, 0x67})) {
        Code code{prefix};
        code.insert(code.end(), vaddps.begin(), vaddps.end());
        EXPECT_EQ(outcome(code), ran) << unsigned{prefix};
    }
}

TEST_F(VexRules, ReservedEncodingsAreUndefined) {
    EXPECT_EQ(outcome({0xc5, 0xe8, 0x51, 0xca}), ud) << "VSQRTPS with a third operand";
    EXPECT_EQ(outcome({0xc4, 0xe2, 0x69, 0x18, 0xca}), ud) << "VBROADCASTSS with VVVV";
    EXPECT_EQ(outcome({0xc4, 0xe3, 0x79, 0x06, 0xca, 0}), ud) << "VPERM2F128 of 128 bits";
    EXPECT_EQ(outcome({0xc4, 0xe3, 0x7d, 0x41, 0xca, 0}), ud) << "VDPPD of 256 bits";
    EXPECT_EQ(outcome({0xc5, 0xfc, 0x16, 0xca}), ud) << "VMOVLHPS of 256 bits";
}

TEST_F(VexRules, AGathersRegistersAreThreeDifferentOnes) {
    // VPGATHERDD xmm1, [rax + xmm3 * 4], xmm2, with two of them the same
    EXPECT_EQ(outcome({0xc4, 0xe2, 0x61, 0x90, 0x0c, 0x98}), ud) << "mask and index";
    EXPECT_EQ(outcome({0xc4, 0xe2, 0x71, 0x90, 0x0c, 0x98}), ud) << "mask and destination";
    EXPECT_EQ(outcome({0xc4, 0xe2, 0x69, 0x90, 0x1c, 0x98}), ud) << "index and destination";
}

struct FeatureRow {
    const Code& code;
    Feature feature;
    const char* what;
};

TEST_F(VexRules, WhatTheModelLacksIsUndefined) {
    const FeatureRow rows[]{
        {vaddps, Feature::avx, "VADDPS"},
        {vpaddd_ymm, Feature::avx2, "VPADDD of 256 bits"},
        {vaesenc, Feature::aes, "VAESENC"},
        {vaesenc_ymm, Feature::vaes, "VAESENC of 256 bits"},
        {vpclmul, Feature::pclmulqdq, "VPCLMULQDQ"},
        {vpclmul_ymm, Feature::vpclmulqdq, "VPCLMULQDQ of 256 bits"},
        {vgf2p8mulb, Feature::gfni, "VGF2P8MULB"},
        {vfmadd, Feature::fma, "VFMADD213PS"},
        {vcvtph2ps, Feature::f16c, "VCVTPH2PS"},
        {vgf2p8mulb, Feature::avx, "VGF2P8MULB without AVX"},
    };
    for (const FeatureRow& row : rows) {
        GuestCode machine;
        Code all = row.code;
        all.push_back(0xf4);
        machine.model.features.set(row.feature, false);
        machine.write(guest_at::code, all);
        const GuestStop stop = machine.run(100);
        ASSERT_TRUE(stop.fault.has_value()) << row.what;
        EXPECT_EQ(stop.fault->vector, Vector::invalid_opcode) << row.what;
    }
}

/// XSETBV ends its block, and what was decoded before it is not used again after it.
TEST_F(VexRules, XsetbvTakesEffectAtOnce) {
    m.write(guest_at::code, Code{0xc5, 0xe8, 0x58, 0xcb,  // VADDPS xmm1, xmm2, xmm3
                                 0x31, 0xc9, 0x31, 0xd2,  // XOR ecx, ecx; XOR edx, edx
                                 0xb8, 0x03, 0, 0, 0,     // MOV eax, 3
                                 0x0f, 0x01, 0xd1,        // XSETBV
                                 0xeb, 0xee});            // JMP to the start
    m.set_plain_state(guest_at::code);
    const GuestStop stop = m.run(100);
    ASSERT_TRUE(stop.fault.has_value());
    EXPECT_EQ(stop.fault->vector, Vector::invalid_opcode);
    EXPECT_EQ(stop.state.rip, guest_at::code);
    EXPECT_EQ(stop.instructions, 6u);
}

}  // namespace
}  // namespace postern::cpu
