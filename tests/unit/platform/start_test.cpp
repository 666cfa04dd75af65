// SPDX-License-Identifier: Apache-2.0
// What a loaded kernel finds in memory.
#include "platform/boot/start.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "platform/host_memory.h"
#include "unit/platform/elf_image.h"

namespace postern::platform {
namespace {

class Loading : public ::testing::Test {
protected:
    Loading() {
        kernel.name = "k.elf";
        kernel.file = test::small_elf().bytes;
        kernel.command_line = "rows=1";
    }
    u64 word(u64 address) const {
        u64 value = 0;
        std::memcpy(&value, ram.at(address), sizeof value);
        return value;
    }
    u32 word32(u64 address) const { return static_cast<u32>(word(address)); }

    HostMemory memory = std::move(*HostMemory::map(64 * mib));
    GuestRam ram{memory.data(), layout_of(64 * mib, 2 * mib)};
    Kernel kernel;
};

TEST_F(Loading, SegmentsLieWhereTheyAskToAndTheirRestIsZero) {
    ASSERT_TRUE(load_elf(kernel, ram).has_value());
    EXPECT_EQ(std::string(reinterpret_cast<char*>(ram.at(0x10'0000)), 5), std::string("code\0", 5));
}

/// As after a reset, which keeps RAM.
TEST_F(Loading, UsedMemoryIsLoadedAsFreshMemoryIs) {
    kernel.initrd = {1, 2, 3};
    const auto fresh = load_elf(kernel, ram);
    ASSERT_TRUE(fresh.has_value());
    HostMemory used_memory = std::move(*HostMemory::map(64 * mib));
    std::memset(used_memory.data(), 0xa5, 64 * mib);
    const GuestRam used{used_memory.data(), ram.layout};
    const auto again = load_elf(kernel, used);
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ(again->rsi, fresh->rsi);
    EXPECT_EQ(std::memcmp(used.at(0x10'0000), ram.at(0x10'0000), 2 * page_size), 0)
        << "the segment";
    EXPECT_EQ(std::memcmp(used.at(fresh->cr3), ram.at(fresh->cr3), 8 * page_size), 0)
        << "tables, start info and command line";
    EXPECT_EQ(*used.at(32 * mib), 0xa5) << "the rest stays";
}

TEST_F(Loading, TheStartStateIsFlat64BitMode) {
    const auto start = load_elf(kernel, ram);
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(start->rip, 0x10'0000u);
    EXPECT_EQ(start->code_selector, 8);
    EXPECT_EQ(start->data_selector, 16);
    EXPECT_EQ(start->gdt_limit, 23);
    EXPECT_EQ(word(start->gdt_base), 0u);
    EXPECT_EQ(word(start->gdt_base + 8), 0x00af'9a00'0000'ffffu);
    EXPECT_EQ(word(start->gdt_base + 16), 0x00cf'9200'0000'ffffu);
}

TEST_F(Loading, FourGibAreIdentityMappedByLargePages) {
    const auto start = load_elf(kernel, ram);
    ASSERT_TRUE(start.has_value());
    const u64 root = word(start->cr3);
    EXPECT_EQ(root & 0xfff, 3u);
    EXPECT_EQ(word(start->cr3 + 8), 0u);
    const u64 table = root & ~u64{0xfff};
    for (u64 gib_number = 0; gib_number < 4; ++gib_number) {
        const u64 directory = word(table + 8 * gib_number) & ~u64{0xfff};
        EXPECT_EQ(word(directory), gib_number * 0x4000'0000 + 0x83);
        EXPECT_EQ(word(directory + u64{511} * 8), gib_number * 0x4000'0000 + 0x3fe0'0083);
    }
    EXPECT_EQ(word(table + u64{8} * 4), 0u);
}

TEST_F(Loading, TheStartInfoIsPvhVersionOne) {
    const auto start = load_elf(kernel, ram);
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(word32(start->rsi), 0x336e'c578u);
    EXPECT_EQ(word32(start->rsi + 4), 1u);
    EXPECT_EQ(word32(start->rsi + 12), 0u);  // no modules
    EXPECT_STREQ(reinterpret_cast<char*>(ram.at(word(start->rsi + 24))), "rows=1");
    EXPECT_EQ(word(start->rsi + 32), 0u);  // no ACPI tables
    const u64 map = word(start->rsi + 40);
    EXPECT_EQ(word32(start->rsi + 48), 2u);
    EXPECT_EQ(word(map), 0u);
    EXPECT_EQ(word(map + 8), 0x400'0000u);
    EXPECT_EQ(word32(map + 16), 1u);  // RAM
    EXPECT_EQ(word(map + 24), 0x1'0000'0000u);
    EXPECT_EQ(word(map + 32), 0x20'0000u);
    EXPECT_EQ(word32(map + 40), 2u);  // EPC, reserved
}

TEST_F(Loading, AnInitrdIsAModuleThatTouchesNothingElse) {
    kernel.initrd.assign(5000, 0x5a);
    const auto start = load_elf(kernel, ram);
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(word32(start->rsi + 12), 1u);
    const u64 list = word(start->rsi + 16);
    const u64 module = word(list);
    EXPECT_EQ(word(list + 8), 5000u);
    EXPECT_EQ(module % 4096, 0u);
    EXPECT_EQ(*ram.at(module), 0x5a);
    EXPECT_EQ(*ram.at(module + 4999), 0x5a);
    EXPECT_GE(module, start->cr3 + u64{8} * 4096);
    EXPECT_TRUE(module + 5000 <= 0x10'0000 || module >= 0x10'2000);
}

TEST_F(Loading, BootStructuresMakeRoomForALowKernel) {
    test::ElfFile file;
    file.entry(0x1000);
    file.add({1, 0x1000, 0x1000, 4, 0x9000});
    file.content(0x1000, "code");
    kernel.file = file.bytes;
    const auto start = load_elf(kernel, ram);
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(start->cr3, 0xa000u);
    EXPECT_EQ(std::memcmp(ram.at(0x1000), "code", 4), 0);
}

TEST_F(Loading, AKernelThatFillsMemoryIsRefused) {
    test::ElfFile file;
    file.entry(0x1000);
    file.add({1, 0x1000, 0x1000, 4, 64 * mib - 0x1000});
    file.content(0x1000, "code");
    kernel.file = file.bytes;
    const auto start = load_elf(kernel, ram);
    ASSERT_FALSE(start.has_value());
    EXPECT_EQ(start.error().what, "the kernel leaves no 32 KiB for the boot structures");
    EXPECT_EQ(word(0x1000), 0u);  // nothing was written
}

TEST_F(Loading, AnInitrdLargerThanMemoryIsRefusedBeforeAnythingIsWritten) {
    kernel.initrd.assign(64 * mib, 1);
    const auto start = load_elf(kernel, ram);
    ASSERT_FALSE(start.has_value());
    EXPECT_EQ(start.error().where, "--initrd");
    EXPECT_EQ(word(0x10'0000), 0u);
}

TEST_F(Loading, ACommandLineMayHave4095Bytes) {
    kernel.command_line.assign(4095, 'x');
    EXPECT_TRUE(load_elf(kernel, ram).has_value());
    kernel.command_line.assign(4096, 'x');
    EXPECT_EQ(load_elf(kernel, ram).error().where, "--append");
}

}  // namespace
}  // namespace postern::platform
