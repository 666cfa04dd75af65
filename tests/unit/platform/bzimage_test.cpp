// SPDX-License-Identifier: Apache-2.0
// The setup header of a bzImage: what is read of it, and every way in which it is refused.
#include "platform/boot/bzimage.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "unit/platform/bzimage_file.h"

namespace postern::platform {
namespace {

using test::BzImageFile;
using test::small_bzimage;

void expect_refused(const BzImageFile& file, std::string_view what) {
    const auto image = parse_bzimage(file.bytes, "vmlinuz");
    ASSERT_FALSE(image.has_value());
    EXPECT_EQ(image.error().what, what);
    EXPECT_EQ(image.error().where, "vmlinuz");
    EXPECT_FALSE(image.error().right.empty());
}

/// With one field of the header changed.
void expect_refused(size_t at, u64 value, size_t size, std::string_view what) {
    BzImageFile file = small_bzimage();
    file.put(at, value, size);
    expect_refused(file, what);
}

TEST(BzImage, ItsFieldsAreRead) {
    const test::Bytes payload{1, 2, 3, 4, 5};
    const BzImageFile file{payload};
    EXPECT_TRUE(is_bzimage(file.bytes));
    const auto image = parse_bzimage(file.bytes, "vmlinuz");
    ASSERT_TRUE(image.has_value());
    EXPECT_TRUE(std::ranges::equal(image->payload, payload));
    EXPECT_EQ(image->code.data(), file.bytes.data() + 0xa00);
    EXPECT_EQ(image->code.size(), 0x2e0u);  // 2CCH + 5, in paragraphs
    EXPECT_EQ(image->setup_header.size(), 0x26cu - 0x1f1u);
    EXPECT_EQ(image->setup_header[0], 4);
    EXPECT_EQ(image->pref_address, 0x100'0000u);
    EXPECT_EQ(image->init_size, 0x20'0000u);
    EXPECT_EQ(image->initrd_end, 0x8000'0000u);
    EXPECT_EQ(image->command_line_most, 2047u);
    EXPECT_TRUE(image->relocatable);
    EXPECT_TRUE(image->above_4g);
}

TEST(BzImage, NoSetupSectorsMeanFour) {
    BzImageFile file = small_bzimage();
    file.put(0x1f1, 0, 1);
    const auto image = parse_bzimage(file.bytes, "vmlinuz");
    ASSERT_TRUE(image.has_value());
    EXPECT_EQ(image->code.data(), file.bytes.data() + 0xa00);
}

TEST(BzImage, AnythingElseIsNone) {
    BzImageFile file = small_bzimage();
    file.bytes.clear();
    expect_refused(file, "the file is empty");
    file.bytes = {'M', 'Z'};
    expect_refused(file, "not a bzImage (2 bytes)");
    EXPECT_FALSE(is_bzimage(file.bytes));
    expect_refused(0x1fe, 0x55aa, 2, "not a bzImage (no boot flag: 0x55aa at 0x1fe)");
    expect_refused(0x202, 0x2072'6448, 4, "not a bzImage (no \"HdrS\" at 0x202)");
}

TEST(BzImage, ACutFileIsTruncatedWhereverItIsCut) {
    BzImageFile file = small_bzimage();
    const size_t whole = file.bytes.size() - 100;  // without the signature
    file.bytes.resize(whole);
    EXPECT_TRUE(parse_bzimage(file.bytes, "vmlinuz").has_value());
    for (const size_t left : {whole - 1, size_t{0xa00}, size_t{0x400}}) {
        file.bytes.resize(left);
        const auto image = parse_bzimage(file.bytes, "vmlinuz");
        ASSERT_FALSE(image.has_value());
        EXPECT_TRUE(image.error().what.starts_with("truncated bzImage: 0xa00 bytes of setup and"));
        EXPECT_EQ(image.error().right, "the whole file, as the kernel's build wrote it");
    }
    file.bytes.resize(0x263);
    expect_refused(file, "truncated bzImage: 611 bytes, its header needs 612");
}

TEST(BzImage, OtherKindsOfKernelAreRefused) {
    expect_refused(0x206, 0x020b, 2, "boot protocol 2.11, not 2.12 or later");
    expect_refused(0x211, 0, 1, "a zImage, which is loaded below 1 MiB");
    expect_refused(0x236, 0x7e, 2, "a kernel without a 64-bit entry");
}

TEST(BzImage, AHeaderOfImpossibleLengthIsRefused) {
    expect_refused(0x201, 0x61, 1, "bzImage with a setup header that ends at 0x263");
    expect_refused(0x201, 0x8f, 1, "bzImage with a setup header that ends at 0x291");
}

TEST(BzImage, SizesThatDoNotFitAreRefused) {
    expect_refused(0x1f4, 0, 4, "bzImage without protected-mode code");
    expect_refused(0x24c, 0, 4, "bzImage without a payload");
    BzImageFile file{test::Bytes(0x114)};  // 3E0H bytes of code, all of them used
    EXPECT_TRUE(parse_bzimage(file.bytes, "vmlinuz").has_value());
    file.put(0x24c, 0x115, 4);
    expect_refused(file, "bzImage with a payload of 0x115 bytes at 0x2cc of 0x3e0 bytes of code");
    file.put(0x248, 0xffff'ffff, 4);
    expect_refused(file,
                   "bzImage with a payload of 0x115 bytes at 0xffffffff of 0x3e0 bytes of code");
}

TEST(BzImage, PlacesWhereNoKernelCanRunAreRefused) {
    expect_refused(0x258, 0x100'0800, 8, "bzImage that wants to run at 0x1000800");
    expect_refused(0x258, 0xf'f000, 8, "bzImage that wants to run at 0xff000");
    expect_refused(0x258, 0x1'0000'0000, 8, "bzImage that wants to run at 0x100000000");
    expect_refused(0x260, 0xff00'1000, 4, "bzImage of 0xff001000 bytes when unpacked (init_size)");
    expect_refused(0x260, 1, 4, "bzImage of 0x1 bytes when unpacked (init_size)");
}

}  // namespace
}  // namespace postern::platform
