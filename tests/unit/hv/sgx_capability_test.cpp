// SPDX-License-Identifier: Apache-2.0
// What a guest is told of SGX, and which leaves of ENCLS exit for it: pure functions.
#include <gtest/gtest.h>

#include "hv/sgx/capability.h"
#include "hv/sgx/encls_bitmap.h"

namespace postern::hv::test {
namespace {

/// A processor with everything that exists.
constexpr SgxProcessor everything{.extended_features = {0, 1u << 2, 1u << 30, 0},
                                  .features = {0xce3, 3, 0, 0x381f},
                                  .attributes = {0x4f7, 0, 0x2ff, 0},
                                  .feature_control = 0x6'0001};
constexpr SgxCapability all_of_it = offered_sgx(everything, {}, true);
constexpr EpcSection epc{Gpa{0x12'3456'7000}, 0x1'2340'0000};

constexpr SgxProcessor processor(u32 features) {
    SgxProcessor changed = everything;
    changed.features.eax = features;
    return changed;
}
constexpr SgxCapability guest_with(u32 features) {
    return offered_sgx(processor(features), {}, false);
}

// SGX1, SGX2, EVERIFYREPORT2, EDECCSSA; no leaves for oversubscription, no EUPDATESVN.
static_assert(all_of_it.features.to_raw() == 0x883);
static_assert(all_of_it.miscselect.to_raw() == 1);
static_assert(all_of_it.attributes.to_raw() == 0x4b6);
static_assert(all_of_it.xfrm.to_raw() == 0x2ff);
static_assert(all_of_it.size_bits_32 == 31 && all_of_it.size_bits_64 == 56);
static_assert(all_of_it.launch_control);

// No SGX without each of what it needs.
constexpr SgxProcessor lacking(void (*lack)(SgxProcessor&)) {
    SgxProcessor changed = everything;
    lack(changed);
    return changed;
}
static_assert(!offered_sgx(lacking([](SgxProcessor& p) { p.extended_features.ebx = 0; }), {}, true)
                   .present());
static_assert(
    !offered_sgx(lacking([](SgxProcessor& p) { p.features.eax = 0xce2; }), {}, true).present());
static_assert(!offered_sgx(lacking([](SgxProcessor& p) { p.feature_control = 0x6'0000; }), {}, true)
                   .present());
static_assert(!offered_sgx(lacking([](SgxProcessor& p) { p.feature_control = 0x2'0001; }), {}, true)
                   .present());
static_assert(!offered_sgx(everything, {.features = ~1u}, true).present());
static_assert(offered_sgx(everything, {.features = ~1u}, true) == SgxCapability{});

// Launch control needs the bit, the MSR and the owner.
static_assert(!offered_sgx(lacking([](SgxProcessor& p) { p.extended_features.ecx = 0; }), {}, true)
                   .launch_control);
static_assert(!offered_sgx(lacking([](SgxProcessor& p) { p.feature_control = 0x4'0001; }), {}, true)
                   .launch_control);
static_assert(!offered_sgx(everything, {.launch_control = false}, true).launch_control);

// The provisioning key is there by grant only.
static_assert(offered_sgx(everything, {}, false).attributes.to_raw() == 0x4a6);

// The owner's masks; legacy state stays.
static_assert(offered_sgx(everything, {.features = 1}, true).features.to_raw() == 1);
static_assert(offered_sgx(everything, {.miscselect = 0}, true).miscselect.to_raw() == 0);
static_assert(offered_sgx(everything, {.attributes = 6}, true).attributes.to_raw() == 6);
static_assert(offered_sgx(everything, {.xfrm = 4}, true).xfrm.to_raw() == 7);
static_assert(offered_sgx(everything, {.size_bits_64 = 36}, true).size_bits_64 == 36);
static_assert(offered_sgx(everything, {.size_bits_32 = 40}, true).size_bits_32 == 31);

// Each bit that is missing says why, the first reason that holds.
constexpr SgxLack why(SgxWord word, unsigned bit, const SgxMasks& masks = {}) {
    return lack_of(word, bit, everything, masks, false);
}
static_assert(why(SgxWord::features, 0) == SgxLack::none);
static_assert(why(SgxWord::features, 4) == SgxLack::processor);
static_assert(why(SgxWord::features, 6) == SgxLack::not_virtualized);
static_assert(why(SgxWord::features, 1, {.features = 1}) == SgxLack::masked);
static_assert(why(SgxWord::attributes, 4) == SgxLack::provisioning);
static_assert(why(SgxWord::attributes, 6) == SgxLack::not_virtualized);
static_assert(why(SgxWord::attributes, 0) == SgxLack::not_virtualized);
static_assert(why(SgxWord::xfrm, 9, {.xfrm = 7}) == SgxLack::masked);
static_assert(why(SgxWord::xfrm, 0, {.xfrm = 0}) == SgxLack::none);
static_assert(why(SgxWord::xfrm, 17) == SgxLack::processor);

TEST(SgxCpuid, Leaf12HSaysWhatTheGuestHas) {
    const CpuidResult features = sgx_leaf(all_of_it, epc, 0);
    EXPECT_EQ(features.eax, 0x883u);
    EXPECT_EQ(features.ebx, 1u);
    EXPECT_EQ(features.ecx, 0u);
    EXPECT_EQ(features.edx, 0x381fu);
    const CpuidResult attributes = sgx_leaf(all_of_it, epc, 1);
    EXPECT_EQ(attributes.eax, 0x4b6u);
    EXPECT_EQ(attributes.ebx, 0u);
    EXPECT_EQ(attributes.ecx, 0x2ffu);
    EXPECT_EQ(attributes.edx, 0u);
    const CpuidResult section = sgx_leaf(all_of_it, epc, 2);
    EXPECT_EQ(section.eax, 0x3456'7001u);
    EXPECT_EQ(section.ebx, 0x12u);
    EXPECT_EQ(section.ecx, 0x2340'0001u);
    EXPECT_EQ(section.edx, 1u);
    for (const u32 subleaf : {3u, 4u, ~0u}) {
        const CpuidResult none = sgx_leaf(all_of_it, epc, subleaf);
        EXPECT_EQ(none.eax | none.ebx | none.ecx | none.edx, 0u) << subleaf;
    }
}

TEST(SgxCpuid, WithoutSgxOrEpcLeaf12HIsEmpty) {
    for (u32 subleaf = 0; subleaf < 4; ++subleaf) {
        const CpuidResult no_sgx = sgx_leaf({}, epc, subleaf);
        EXPECT_EQ(no_sgx.eax | no_sgx.ebx | no_sgx.ecx | no_sgx.edx, 0u);
        const CpuidResult no_epc = sgx_leaf(all_of_it, {}, subleaf);
        EXPECT_EQ(no_epc.eax | no_epc.ebx | no_epc.ecx | no_epc.edx, 0u);
    }
}

constexpr u64 enabled = 0x6'0001;
constexpr u64 enforced = 1u << 0 | 1u << 2;  // ECREATE, EINIT

// SGX1 has leaves 0 to 0CH, SGX2 0DH to 0FH.
static_assert(encls_exiting_bitmap(guest_with(1), enabled) == (~u64{0x1fff} | enforced));
static_assert(encls_exiting_bitmap(guest_with(3), enabled) == (~u64{0xffff} | enforced));
// What the processor has beyond that no guest has: it stays trapped.
static_assert(encls_exiting_bitmap(all_of_it, enabled) == (~u64{0xffff} | enforced));
// No SGX, or IA32_FEATURE_CONTROL does not let it be used.
static_assert(encls_exiting_bitmap(guest_with(0), enabled) == ~u64{0});
static_assert(encls_exiting_bitmap(all_of_it, 0) == ~u64{0});
static_assert(encls_exiting_bitmap(all_of_it, 0x6'0000) == ~u64{0});
static_assert(encls_exiting_bitmap(all_of_it, 0x2'0001) == ~u64{0});
static_assert(encls_exiting_bitmap(all_of_it, 0x4'0001) == (~u64{0xffff} | enforced));

TEST(EnclsBitmap, K20_EcreateAndEinitExitWhateverTheGuestSharesWithTheProcessor) {
    for (u32 features = 0; features < 0x1000; ++features)
        for (const bool provision : {false, true}) {
            const u64 bitmap =
                encls_exiting_bitmap(offered_sgx(processor(features), {}, provision), enabled);
            ASSERT_EQ(bitmap & enforced, enforced) << features;
        }
}

TEST(EnclsBitmap, ALeafRunsWithoutAnExitExactlyIfAnExitWouldSayRun) {
    for (const u32 features : {0u, 1u, 3u, 0x883u, 0xce3u})
        for (const u64 control : {u64{0}, u64{1}, enabled})
            for (u32 leaf = 0; leaf < 64; ++leaf) {
                const SgxCapability guest = guest_with(features);
                const bool exits = (encls_exiting_bitmap(guest, control) >> leaf & 1) != 0;
                EXPECT_EQ(!exits, answer_encls(guest, control, true, leaf) == EnclsAnswer::run)
                    << features << " " << control << " " << leaf;
            }
}

// The order of faults: no SGX, FEATURE_CONTROL, an unknown leaf, no paging.
static_assert(answer_encls({}, 0, false, 99) == EnclsAnswer::invalid_opcode);
static_assert(answer_encls({}, enabled, true, 0) == EnclsAnswer::invalid_opcode);
static_assert(answer_encls(all_of_it, 0, true, 0) == EnclsAnswer::general_protection);
static_assert(answer_encls(all_of_it, 1, true, 1) == EnclsAnswer::general_protection);
static_assert(answer_encls(all_of_it, enabled, true, 0x14) == EnclsAnswer::general_protection);
static_assert(answer_encls(all_of_it, enabled, true, 0x10) == EnclsAnswer::general_protection);
static_assert(answer_encls(all_of_it, enabled, true, 0x18) == EnclsAnswer::general_protection);
static_assert(answer_encls(all_of_it, enabled, true, ~0u) == EnclsAnswer::general_protection);
static_assert(answer_encls(guest_with(1), enabled, true, 0xd) == EnclsAnswer::general_protection);
static_assert(answer_encls(all_of_it, enabled, false, 0) == EnclsAnswer::general_protection);
static_assert(answer_encls(all_of_it, enabled, true, 0) == EnclsAnswer::enforce);
static_assert(answer_encls(all_of_it, enabled, true, 2) == EnclsAnswer::enforce);
static_assert(answer_encls(all_of_it, enabled, true, 1) == EnclsAnswer::run);

}  // namespace
}  // namespace postern::hv::test
