// SPDX-License-Identifier: Apache-2.0
// The running measurement against SHA-256 of the whole message.
#include "cpu/sgx/measure.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <cstring>
#include <vector>

namespace postern::cpu::sgx {
namespace {

Digest whole(const std::vector<u8>& message) {
    Digest digest;
    EVP_Digest(message.data(), message.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
    return digest;
}

TEST(Measurement, OfNoBlockIsTheDigestOfTheEmptyMessage) {
    // FIPS 180-4's algorithm on the empty message, as published.
    constexpr Digest empty{0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4,
                           0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
                           0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55};
    EXPECT_EQ(finish_measurement(start_measurement()), empty);
}

TEST(Measurement, CopiedBlockByBlockIsThatOfTheWhole) {
    std::vector<u8> message;
    Measurement measurement = start_measurement();
    for (unsigned n = 0; n < 40; ++n) {
        std::array<u8, 64> block;
        for (unsigned b = 0; b < 64; ++b) block[b] = static_cast<u8>(n * 64 + b * 3);
        add_block(measurement, block.data());
        message.insert(message.end(), block.begin(), block.end());
        Measurement saved;  // as a snapshot or an evicted SECS would carry it
        std::memcpy(&saved, &measurement, sizeof saved);
        measurement = saved;
        ASSERT_EQ(finish_measurement(measurement), whole(message)) << n;
    }
}

TEST(Measurement, OfHalfAGibibyteEndsInAPaddingBlockWithTheWholeLength) {
    Measurement measurement = start_measurement();
    measurement.blocks = (u64{1} << 23) + 1;  // 2 to the 32nd bits and 512
    std::array<u8, 64> padding{0x80};
    padding[59] = 1;
    padding[62] = 2;
    Measurement padded = measurement;
    add_block(padded, padding.data());
    Digest expected;
    for (unsigned n = 0; n < 32; ++n)
        expected[n] = static_cast<u8>(padded.h[n / 4] >> (24 - n % 4 * 8));
    EXPECT_EQ(finish_measurement(measurement), expected);
}

}  // namespace
}  // namespace postern::cpu::sgx
