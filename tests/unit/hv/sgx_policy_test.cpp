// SPDX-License-Identifier: Apache-2.0
// What ECREATE is refused: for each check a SECS that fails it alone. K18, K19.
#include <gtest/gtest.h>

#include "hv/sgx/policy.h"

namespace postern::hv::test {
namespace {

constexpr SgxPolicy policy{
    .guest = {.features = CpuidSgxEaxWord{CpuidSgxEax::sgx1, CpuidSgxEax::sgx2},
              .miscselect = SgxMiscselectWord{SgxMiscselect::exinfo},
              .attributes = SgxAttributeFlags{SgxAttribute::debug, SgxAttribute::mode64bit,
                                              SgxAttribute::kss},
              .xfrm = Xcr0Word::from_raw(0x207),
              .size_bits_32 = 31,
              .size_bits_64 = 36,
              .launch_control = true},
    .xcr0 = Xcr0Word::from_raw(0x7)};

constexpr Secs good() {
    Secs secs{};
    secs.size = u64{1} << 20;
    secs.baseaddr = u64{1} << 32;
    secs.ssaframesize = 1;
    secs.attributes = {SgxAttributeFlags{SgxAttribute::mode64bit}, Xcr0Word::from_raw(3)};
    return secs;
}

struct Row {
    const char* what;
    void (*change)(Secs&);
    SgxVerdict verdict;
};

constexpr SgxVerdict fine{};
constexpr u64 attributes_allowed = 0x86;
constexpr Row rows[]{
    {"nothing", [](Secs&) {}, fine},
    {"the provisioning key",
     [](Secs& s) { s.attributes.flags.set(SgxAttribute::provisionkey); },
     {SgxField::provision_key, 0x14, attributes_allowed}},
    {"the launch token's key",
     [](Secs& s) { s.attributes.flags.set(SgxAttribute::einittoken_key); },
     {SgxField::einittoken_key, 0x24, attributes_allowed}},
    {"an attribute that was not offered",
     [](Secs& s) { s.attributes.flags.set(SgxAttribute::aexnotify); },
     {SgxField::attributes, 0x404, attributes_allowed}},
    {"INIT",
     [](Secs& s) { s.attributes.flags.set(SgxAttribute::init); },
     {SgxField::attributes, 0x5, attributes_allowed}},
    {"an attribute of the upper half",
     [](Secs& s) { s.attributes.flags = SgxAttributeFlags::from_raw(4 | u64{1} << 63); },
     {SgxField::attributes, 4 | u64{1} << 63, attributes_allowed}},
    {"CPINFO",
     [](Secs& s) { s.miscselect = SgxMiscselectWord::from_raw(3); },
     {SgxField::miscselect, 3, 1}},
    {"no SSE state",
     [](Secs& s) { s.attributes.xfrm = Xcr0Word::from_raw(1); },
     {SgxField::xfrm_legacy, 1, 3}},
    {"no x87 state",
     [](Secs& s) { s.attributes.xfrm = Xcr0Word::from_raw(2); },
     {SgxField::xfrm_legacy, 2, 3}},
    {"a state that CPUID does not offer",
     [](Secs& s) { s.attributes.xfrm = Xcr0Word::from_raw(0xe7); },
     {SgxField::xfrm, 0xe7, 0x207}},
    {"XFRM[63]",
     [](Secs& s) { s.attributes.xfrm = Xcr0Word::from_raw(3 | u64{1} << 63); },
     {SgxField::xfrm, 3 | u64{1} << 63, 0x207}},
    {"a state that the guest's XCR0 cannot have",
     [](Secs& s) { s.attributes.xfrm = Xcr0Word::from_raw(0x203); },
     {SgxField::xfrm_xcr0, 0x203, 7}},
    {"the largest size", [](Secs& s) { s.size = u64{1} << 35; }, fine},
    {"a size that is the limit",
     [](Secs& s) { s.size = u64{1} << 36; },
     {SgxField::size, u64{1} << 36, u64{1} << 36}},
    {"the largest size of 32 bits",
     [](Secs& s) {
         s.attributes.flags = {};
         s.size = u64{1} << 30;
     },
     fine},
    {"a size that is the limit of 32 bits",
     [](Secs& s) {
         s.attributes.flags = {};
         s.size = u64{1} << 31;
     },
     {SgxField::size, u64{1} << 31, u64{1} << 31}},
    {"CONFIGSVN without KSS", [](Secs& s) { s.configsvn = 7; }, {SgxField::configuration, 7, 0}},
    {"CONFIGID without KSS",
     [](Secs& s) { s.configid[1] = 2; },
     {SgxField::configuration, 0x200, 0}},
    {"the end of CONFIGID without KSS",
     [](Secs& s) { s.configid[63] = 1; },
     {SgxField::configuration, 0, 0}},
    {"both with KSS",
     [](Secs& s) {
         s.attributes.flags.set(SgxAttribute::kss);
         s.configsvn = 7;
         s.configid[63] = 1;
     },
     fine},
    {"CET attributes",
     [](Secs& s) { s.cet_attributes = SgxCetAttributes::from_raw(1); },
     {SgxField::cet, 1, 0}},
    {"a CET bitmap", [](Secs& s) { s.cet_leg_bitmap_offset = 0x1000; }, {SgxField::cet, 0x1000, 0}},
};

TEST(SgxPolicy, EachCheckRefusesWhatFailsItAloneAndSaysWhatWasAskedAndAllowed) {
    for (const Row& row : rows) {
        Secs secs = good();
        row.change(secs);
        EXPECT_EQ(judge_secs(secs, policy), row.verdict) << row.what;
    }
}

TEST(SgxPolicy, WhatIsOfferedIsAllowed) {
    SgxPolicy generous = policy;
    generous.guest.attributes.set(SgxAttribute::provisionkey);
    generous.guest.attributes.set(SgxAttribute::einittoken_key);
    generous.xcr0 = Xcr0Word::from_raw(0x207);
    Secs secs = good();
    secs.attributes.flags.set(SgxAttribute::provisionkey);
    secs.attributes.flags.set(SgxAttribute::einittoken_key);
    secs.attributes.xfrm = Xcr0Word::from_raw(0x207);
    secs.miscselect = SgxMiscselectWord::from_raw(1);
    EXPECT_FALSE(judge_secs(secs, generous).refused());
}

TEST(SgxPolicy, K19_NoSizeInCpuidIsTooLargeToCompareWith) {
    static_assert(enclave_size_limit(0) == 1);
    static_assert(enclave_size_limit(63) == u64{1} << 63);
    static_assert(enclave_size_limit(64) == ~u64{0});
    static_assert(enclave_size_limit(255) == ~u64{0});
    SgxPolicy silly = policy;
    silly.guest.size_bits_64 = 200;
    Secs secs = good();
    secs.size = u64{1} << 63;
    EXPECT_FALSE(judge_secs(secs, silly).refused());
}

}  // namespace
}  // namespace postern::hv::test
