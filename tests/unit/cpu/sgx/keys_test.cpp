// SPDX-License-Identifier: Apache-2.0
// The MAC that reports, tokens and key derivation use, and the roots of all keys.
#include "cpu/sgx/keys.h"

#include <gtest/gtest.h>

#include "unit/cpu/sgx/key_machine.h"

namespace postern::cpu::sgx {
namespace {

// RFC 4493, "Test Vectors".
constexpr Bytes16 rfc_key{0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6,
                          0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c};
constexpr std::array<u8, 40> rfc_message{
    0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93,
    0x17, 0x2a, 0xae, 0x2d, 0x8a, 0x57, 0x1e, 0x03, 0xac, 0x9c, 0x9e, 0xb7, 0x6f, 0xac,
    0x45, 0xaf, 0x8e, 0x51, 0x30, 0xc8, 0x1c, 0x46, 0xa3, 0x5c, 0xe4, 0x11};
struct Vector {
    size_t size;
    Bytes16 mac;
};
constexpr Vector vectors[] = {
    {0,
     {0xbb, 0x1d, 0x69, 0x29, 0xe9, 0x59, 0x37, 0x28, 0x7f, 0xa3, 0x7d, 0x12, 0x9b, 0x75, 0x67,
      0x46}},
    {16,
     {0x07, 0x0a, 0x16, 0xb4, 0x6b, 0x4d, 0x41, 0x44, 0xf7, 0x9b, 0xdd, 0x9d, 0xd0, 0x4a, 0x28,
      0x7c}},
    {40,
     {0xdf, 0xa6, 0x67, 0x47, 0xde, 0x9a, 0xe6, 0x30, 0x30, 0xca, 0x32, 0x61, 0x14, 0x97, 0xc8,
      0x27}},
};

TEST(Cmac, IsThatOfTheRfc) {
    for (const Vector& v : vectors) EXPECT_EQ(cmac(rfc_key, rfc_message.data(), v.size), v.mac);
}

TEST(Cmac, OfTheTestsIsThatOfTheRfcToo) {
    for (const Vector& v : vectors)
        EXPECT_EQ(reference_cmac(rfc_key, std::span{rfc_message}.first(v.size)), v.mac);
}

TEST(RootKeys, DifferByDomainAndBySeed) {
    System one, two;
    two.sgx_seed = 2;
    EXPECT_NE(root_key(one, KeyDomain::paging), root_key(one, KeyDomain::derivation));
    EXPECT_NE(root_key(one, KeyDomain::derivation), root_key(one, KeyDomain::seal_fuses));
    EXPECT_NE(root_key(one, KeyDomain::derivation), root_key(two, KeyDomain::derivation));
    EXPECT_NE(report_keyid(one), report_keyid(two));
}

TEST(RootKeys, EveryByteOfTheSeedCounts) {
    System one;
    for (unsigned bit = 0; bit < 64; bit += 8) {
        System other;
        other.sgx_seed = one.sgx_seed ^ u64 { 2 } << bit;
        EXPECT_NE(root_key(one, KeyDomain::derivation), root_key(other, KeyDomain::derivation));
    }
}

// CPUSVN is {2, 2, 0, ...}: each component for itself.
static_assert(is_supported({2, 2}) && is_supported({0, 0}) && is_supported({1, 2}));
static_assert(!is_supported({3, 0}) && !is_supported({0, 3}));
static_assert(!is_supported({0, 0, 1}));
static_assert(!is_supported({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}));

}  // namespace
}  // namespace postern::cpu::sgx
