// SPDX-License-Identifier: Apache-2.0
// The models, and which of them a host can run.
#include "cpu/model.h"

#include <gtest/gtest.h>

#include "cpu/cpuid.h"
#include "cpu/msr.h"
#include "cpu/simd/host_features.h"
#include "tests/support/guest_code.h"

namespace postern::cpu {
namespace {

const Model& model(std::string_view name) {
    const Model* found = find_model(name);
    EXPECT_NE(found, nullptr) << name;
    return *found;
}

TEST(Model, TheDefaultIsX8664V3) {
    EXPECT_EQ(default_model().name, "postern-v3");
    using enum Feature;
    for (const Feature f : {sse3, ssse3, cx16, sse4_1, sse4_2, popcnt, lahf_lm, avx, avx2, bmi1,
                            bmi2, f16c, fma, lzcnt, movbe, xsave})
        EXPECT_TRUE(has_feature(default_model(), f)) << name_of(f);
}

TEST(Model, EachModelHasWhatTheSmallerOneHas) {
    EXPECT_TRUE(model("postern-v3").features.includes(model("postern-v2").features));
    EXPECT_TRUE(model("postern-icx").features.includes(model("postern-v3").features));
    EXPECT_FALSE(has_feature(model("postern-v2"), Feature::avx));
    EXPECT_FALSE(has_feature(model("postern-v2"), Feature::xsave));
    EXPECT_FALSE(has_feature(model("postern-v3"), Feature::vaes));
    EXPECT_TRUE(has_feature(model("postern-icx"), Feature::gfni));
}

TEST(Model, HostsThatLackSomethingAreToldWhatWouldDo) {
    using enum Feature;
    FeatureSet host{sse3, ssse3, sse4_1, sse4_2};
    Feature lacking{};
    ASSERT_TRUE(lacks_feature(host, default_model(), lacking));
    EXPECT_EQ(lacking, avx);
    EXPECT_FALSE(lacks_feature(host, model("postern-v2"), lacking));
    EXPECT_EQ(best_model(host)->name, "postern-v2");
    for (const Feature f : {avx, avx2, f16c, fma, aes, pclmulqdq}) host.set(f);
    EXPECT_EQ(best_model(host)->name, "postern-v3");
    EXPECT_TRUE(lacks_feature(host, model("postern-icx"), lacking));
    for (const Feature f : {sha, vaes, vpclmulqdq, gfni}) host.set(f);
    EXPECT_EQ(best_model(host)->name, "postern-icx");
    EXPECT_EQ(best_model(FeatureSet{}), nullptr);
}

TEST(Model, ItsProcessorSaysThatNoSpeculationLeaks) {
    GuestCode m;
    m.model = default_model();
    EXPECT_EQ(cpuid(m.c, 7, 0).edx & 0xbc00'0400, 0xbc00'0400u)
        << "MD_CLEAR, IBRS, STIBP, L1D_FLUSH, ARCH_CAPABILITIES, SSBD";
    // RDCL, SKIP_L1DFL, SSB, MDS, PSCHANGE_MC, TAA, SBDR_SSDP, FBSDP, PSDP, BHI, PBRSB, GDS, RFDS,
    // ITS; and IBRS_ALL. Neither RSBA nor RRSBA.
    const Result<u64> value = read_msr(m.c, 0x10a);
    ASSERT_TRUE(value.ok());
    EXPECT_EQ(value.value(), 0x4000'0000'0d10'e17b);
}

TEST(Model, CommandsAgainstSpeculationCanBeGivenAndNotRead) {
    GuestCode m;
    m.model = default_model();
    for (const u32 msr : {0x49u, 0x10bu}) {
        EXPECT_TRUE(write_msr(m.c, msr, 1).ok()) << msr;
        EXPECT_FALSE(write_msr(m.c, msr, 2).ok()) << msr;
        EXPECT_FALSE(read_msr(m.c, msr).ok()) << msr;
    }
    EXPECT_TRUE(write_msr(m.c, 0x48, 7).ok());
    EXPECT_EQ(read_msr(m.c, 0x48).value(), 7u);
    EXPECT_FALSE(write_msr(m.c, 0x48, 8).ok());
}

}  // namespace
}  // namespace postern::cpu
