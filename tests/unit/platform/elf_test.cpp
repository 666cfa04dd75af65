// SPDX-License-Identifier: Apache-2.0
// Every way in which an ELF file is refused, and that the right one is taken.
#include "platform/boot/elf.h"

#include <gtest/gtest.h>

#include "unit/platform/elf_image.h"

namespace postern::platform {
namespace {

using test::ElfFile;
using test::small_elf;

const Layout small_layout = layout_of(64 * mib, 2 * mib);

Expected<ElfImage> parse(const ElfFile& file) {
    return parse_elf(file.bytes, "k.elf", small_layout);
}

void expect_refused(const ElfFile& file, std::string_view what) {
    const auto image = parse(file);
    ASSERT_FALSE(image.has_value());
    EXPECT_EQ(image.error().what, what);
    EXPECT_EQ(image.error().where, "k.elf");
    EXPECT_FALSE(image.error().right.empty());
}

TEST(Elf, ASmallExecutableIsTaken) {
    const auto image = parse(small_elf());
    ASSERT_TRUE(image.has_value());
    EXPECT_EQ(image->entry, 0x10'0000u);
    ASSERT_EQ(image->segments.size(), 1u);
    EXPECT_EQ(image->segments[0].physical, 0x10'0000u);
    EXPECT_EQ(image->segments[0].file_size, 4u);
    EXPECT_EQ(image->segments[0].memory_size, 0x2000u);
}

TEST(Elf, AnEmptyFileIsRefused) {
    ElfFile file;
    file.bytes.clear();
    expect_refused(file, "the file is empty");
}

TEST(Elf, AnythingElseIsNotElf) {
    ElfFile file = small_elf();
    file.bytes[1] = 'X';
    expect_refused(file, "not an ELF file (it begins with 0x7f)");
    file.bytes = {'M', 'Z'};
    expect_refused(file, "not an ELF file (it begins with 0x4d)");
}

TEST(Elf, AHeaderCutOffIsTruncated) {
    ElfFile file = small_elf();
    file.bytes.resize(63);
    expect_refused(file, "truncated ELF: 63 bytes, the header alone has 64");
    file.bytes.resize(2);
    expect_refused(file, "truncated ELF: 2 bytes, the header alone has 64");
}

TEST(Elf, AnotherClassEncodingMachineOrTypeIsRefused) {
    ElfFile file = small_elf();
    file.put(4, 1, 1);
    expect_refused(file, "ELF of class 1, not 2 (64-bit)");
    file = small_elf();
    file.put(5, 2, 1);
    expect_refused(file, "ELF of data encoding 2, not 1 (little-endian)");
    file = small_elf();
    file.put(18, 183, 2);
    expect_refused(file, "ELF for machine 183, not 62 (x86-64)");
    file = small_elf();
    file.put(16, 3, 2);
    expect_refused(file, "ELF of type 3 (position-independent), not 2 (executable)");
    file.put(16, 1, 2);
    expect_refused(file, "ELF of type 1, not 2 (executable)");
}

TEST(Elf, ATableOfProgramHeadersThatCannotBeIsRefused) {
    ElfFile file = small_elf();
    file.put(56, 0, 2);
    expect_refused(file, "ELF without program headers");
    file = small_elf();
    file.put(54, 32, 2);
    expect_refused(file, "ELF with program headers of 32 bytes, not 56");
    file = small_elf();
    file.put(56, 65, 2);
    expect_refused(file, "ELF with 65 program headers");
    file = small_elf();
    file.put(32, 0xfff0, 8);
    expect_refused(file, "truncated ELF: 1 program headers at 0xfff0, the file ends at 0x1004");
    file.put(32, ~u64{0}, 8);
    expect_refused(file,
                   "truncated ELF: 1 program headers at 0xffffffffffffffff, the file ends at "
                   "0x1004");
}

TEST(Elf, ASegmentBeyondTheFileIsTruncated) {
    ElfFile file = small_elf();
    file.bytes.resize(0x1003);
    expect_refused(file,
                   "truncated ELF: segment 0 is 0x4 bytes at 0x1000, the file ends at 0x1003");
    file = small_elf();
    file.put(64 + 8, ~u64{0} - 1, 8);
    expect_refused(file,
                   "truncated ELF: segment 0 is 0x4 bytes at 0xfffffffffffffffe, the file ends at "
                   "0x1004");
}

TEST(Elf, ASegmentLargerInTheFileThanInMemoryIsRefused) {
    ElfFile file = small_elf();
    file.put(64 + 40, 3, 8);
    expect_refused(file, "ELF segment 0 has 0x4 bytes in the file but 0x3 in memory");
}

TEST(Elf, ASegmentBeyondMemoryIsRefused) {
    ElfFile file = small_elf();
    file.put(64 + 40, 0x400'0000, 8);
    expect_refused(file, "ELF segment 0 of 0x4000000 bytes at 0x100000 lies outside memory");
    file.put(64 + 40, ~u64{0}, 8);
    expect_refused(file,
                   "ELF segment 0 of 0xffffffffffffffff bytes at 0x100000 lies outside memory");
    file = small_elf();
    file.put(64 + 24, 0xfe00'0000, 8);
    expect_refused(file, "ELF segment 0 of 0x2000 bytes at 0xfe000000 lies outside memory");
}

TEST(Elf, OverlappingSegmentsAreRefusedInWhateverOrder) {
    ElfFile file = small_elf();
    file.add({1, 0x1000, 0x10'1fff, 1, 1});
    expect_refused(file, "ELF segments at 0x100000 and 0x101fff overlap");
    file = ElfFile{};
    file.entry(0x10'0000);
    file.add({1, 0x1000, 0x10'1000, 0, 0x1000});
    file.add({1, 0x1000, 0x10'0000, 0, 0x1001});
    file.put(0x1000, 0, 8);
    expect_refused(file, "ELF segments at 0x100000 and 0x101000 overlap");
}

TEST(Elf, AdjacentSegmentsAreTaken) {
    ElfFile file = small_elf();
    file.add({1, 0x1000, 0x10'2000, 1, 1});
    EXPECT_TRUE(parse(file).has_value());
}

TEST(Elf, NothingToLoadIsRefused) {
    ElfFile file;
    file.add({4, 0, 0, 0, 0});
    expect_refused(file, "ELF with nothing to load");
    file = ElfFile{};
    file.add({1, 0, 0x10'0000, 0, 0});
    expect_refused(file, "ELF with nothing to load");
}

TEST(Elf, AnInterpreterMeansDynamicLinking) {
    ElfFile file = small_elf();
    file.add({3, 0x1000, 0, 4, 4});
    expect_refused(file, "dynamically linked ELF");
}

TEST(Elf, TheEntryMustLieInASegment) {
    ElfFile file = small_elf();
    file.entry(0x10'2000);
    expect_refused(file, "ELF entry 0x102000 is in no segment below 4 GiB");
    file.entry(0xffff'ffff'8010'0000);
    expect_refused(file, "ELF entry 0xffffffff80100000 is in no segment below 4 GiB");
}

}  // namespace
}  // namespace postern::platform
