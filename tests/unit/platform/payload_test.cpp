// SPDX-License-Identifier: Apache-2.0
// Unpacking, format by format: what was packed comes back, and everything else is refused.
#include "platform/boot/payload.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "unit/platform/bzimage_file.h"

namespace postern::platform {
namespace {

using test::Bytes;

struct Format {
    const char* name;
    Bytes (*pack)(const Bytes&);
};

void PrintTo(const Format& format, std::ostream* out) { *out << format.name; }

/// Text, and calls as x86 code has them, so that xz's filter has something to do.
Bytes plain(size_t size = 100'000) {
    Bytes bytes(size);
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<u8>((i * i) >> 7);
    for (size_t i = 0; i + 5 <= size; i += 64) {
        const u8 call[] = {0xe8, static_cast<u8>(i), static_cast<u8>(i >> 8), 0x01, 0x00};
        std::ranges::copy(call, bytes.begin() + static_cast<std::ptrdiff_t>(i));
    }
    return bytes;
}

std::string refusal(const Bytes& packed, u64 most = 1 << 20) {
    const auto unpacked = unpack(packed, most, "k");
    if (unpacked) return "taken";
    EXPECT_EQ(unpacked.error().where, "k");
    EXPECT_FALSE(unpacked.error().right.empty());
    return unpacked.error().what;
}

class Packed : public ::testing::TestWithParam<Format> {
protected:
    Bytes packed = GetParam().pack(plain());
    std::string damaged =
        std::string{"its "} + GetParam().name + " payload is cut short or damaged";
};

TEST_P(Packed, ComesBackAsItWas) {
    ASSERT_FALSE(packed.empty());
    const auto unpacked = unpack(packed, 1 << 20, "k");
    ASSERT_TRUE(unpacked.has_value());
    EXPECT_TRUE(std::ranges::equal(unpacked->bytes(), plain()));
}

TEST_P(Packed, MayFillTheWholeSizeAllowed) {
    const auto unpacked = unpack(packed, 100'000, "k");
    ASSERT_TRUE(unpacked.has_value());
    EXPECT_EQ(unpacked->size, 100'000u);
}

TEST_P(Packed, IsRefusedIfItUnpacksToMoreThanAllowed) {
    const std::string wanted = std::string{"its "} + GetParam().name +
                               " payload unpacks to more than the 0x1869f bytes that its header "
                               "announces";
    EXPECT_EQ(refusal(packed, 99'999), wanted);
}

TEST_P(Packed, ABombStopsAtTheSizeAllowed) {
    const Bytes bomb = GetParam().pack(Bytes(8 << 20));
    ASSERT_LT(bomb.size(), size_t{1} << 20);
    EXPECT_NE(refusal(bomb).find("more than the 0x100000 bytes"), std::string::npos);
}

TEST_P(Packed, IsRefusedIfCutAnywhere) {
    for (const size_t left : {packed.size() / 2, packed.size() - 9, size_t{16}})
        EXPECT_EQ(refusal({packed.begin(), packed.begin() + static_cast<std::ptrdiff_t>(left)}),
                  damaged)
            << left;
}

INSTANTIATE_TEST_SUITE_P(Payload, Packed,
                         ::testing::Values(Format{"xz", test::pack_xz},
                                           Format{"LZMA", test::pack_lzma},
                                           Format{"gzip", test::pack_gzip},
                                           Format{"zstd", test::pack_zstd},
                                           Format{"LZ4", test::pack_lz4}),
                         [](const auto& of) { return std::string{of.param.name}; });

TEST(Payload, ChecksumsAreLookedAt) {
    for (Bytes packed : {test::pack_xz(plain()), test::pack_gzip(plain())}) {
        packed[packed.size() / 2] ^= 1;
        EXPECT_NE(refusal(packed), "taken");
    }
}

TEST(Payload, Lz4HasTheAppendedSizeForAChecksum) {
    Bytes packed = test::pack_lz4(plain());
    packed[packed.size() - 4] ^= 1;
    EXPECT_EQ(refusal(packed), "its LZ4 payload is cut short or damaged");
}

TEST(Payload, Lz4MayHaveSeveralBlocks) {
    const Bytes large = plain(20 << 20);
    const auto unpacked = unpack(test::pack_lz4(large), 32 << 20, "k");
    ASSERT_TRUE(unpacked.has_value());
    EXPECT_TRUE(std::ranges::equal(unpacked->bytes(), large));
}

TEST(Payload, OtherFormatsAreRefusedByName) {
    EXPECT_EQ(refusal({'B', 'Z', 'h', '9', 0, 0}), "a payload packed with bzip2: not implemented");
    EXPECT_EQ(refusal({0x89, 'L', 'Z', 'O', 0, 13}), "a payload packed with LZO: not implemented");
    EXPECT_EQ(refusal({1, 2, 3, 4, 5, 6, 7}),
              "a payload in an unknown format (it begins with 01 02 03 04 05 06)");
    EXPECT_EQ(refusal({0x1f}), "a payload in an unknown format (it begins with 1f)");
}

}  // namespace
}  // namespace postern::platform
