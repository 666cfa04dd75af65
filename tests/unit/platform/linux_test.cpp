// SPDX-License-Identifier: Apache-2.0
// What Linux finds in memory, unpacked here or left to unpack itself. Offsets are those of Linux's
// "The Linux/x86 Boot Protocol" and "Zero Page".
#include "platform/boot/linux.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "platform/boot/boot.h"
#include "platform/host_memory.h"
#include "unit/platform/bzimage_file.h"

namespace postern::platform {
namespace {

using test::BzImageFile;

class LinuxBoot : public ::testing::Test {
protected:
    LinuxBoot() {
        kernel.name = "vmlinuz";
        kernel.file = test::small_bzimage().bytes;
        kernel.command_line = "console=ttyS0";
        resize(64 * mib);
    }

    void resize(u64 size) {
        memory = std::move(*HostMemory::map(size));
        ram = {memory.data(), layout_of(size, 2 * mib)};
        tables = {0xe'0000, memory_map(ram.layout)};
    }

    u64 word(u64 address, unsigned size = 8) const {
        u64 value = 0;
        std::memcpy(&value, ram.at(address), size);
        return value;
    }

    /// Of the memory that the loader was given, nothing was written.
    bool untouched() const {
        return std::all_of(memory.data(), memory.data() + memory.size(),
                           [](u8 byte) { return byte == 0; });
    }

    void expect_refused(std::string_view where, std::string_view what) const {
        for (const BootWay way : {BootWay::linux_kernel, BootWay::decompress})
            expect_refused(way, where, what);
    }

    void expect_refused(BootWay way, std::string_view where, std::string_view what) const {
        const auto start = load_kernel(way, kernel, ram, tables);
        ASSERT_FALSE(start.has_value());
        EXPECT_EQ(start.error().where, where);
        EXPECT_EQ(start.error().what, what);
        EXPECT_FALSE(start.error().right.empty());
        EXPECT_TRUE(untouched());
    }

    HostMemory memory;
    GuestRam ram;
    BootTables tables;
    Kernel kernel;
};

TEST_F(LinuxBoot, TheUnpackedKernelIsEnteredIn64BitMode) {
    const auto start = load_linux(kernel, ram, tables);
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(start->mode, StartMode::long_64);
    EXPECT_EQ(start->rip, 0x100'0000u);
    EXPECT_EQ(std::memcmp(ram.at(0x100'0000), "code\0\0\0\0", 8), 0);
    EXPECT_EQ(start->code_selector, 0x10);  // __BOOT_CS
    EXPECT_EQ(start->data_selector, 0x18);  // __BOOT_DS
    EXPECT_EQ(start->gdt_limit, 31);
    EXPECT_EQ(word(start->gdt_base + 0x10), 0x00af'9a00'0000'ffffu);
    EXPECT_EQ(word(start->gdt_base + 0x18), 0x00cf'9200'0000'ffffu);
}

TEST_F(LinuxBoot, FourGibAreIdentityMapped) {
    const auto start = load_linux(kernel, ram, tables);
    ASSERT_TRUE(start.has_value());
    const u64 table = word(start->cr3) & ~u64{0xfff};
    for (u64 n = 0; n < 4; ++n) {
        const u64 directory = word(table + 8 * n) & ~u64{0xfff};
        EXPECT_EQ(word(directory), n * 0x4000'0000 + 0x83);
        EXPECT_EQ(word(directory + u64{511} * 8), n * 0x4000'0000 + 0x3fe0'0083);
    }
}

TEST_F(LinuxBoot, TheZeroPageHasTheSetupHeaderAndNothingElseOfTheFile) {
    const auto start = load_linux(kernel, ram, tables);
    ASSERT_TRUE(start.has_value());
    const u64 page = start->rsi;
    EXPECT_EQ(page % 4096, 0u);
    EXPECT_EQ(word(page + 0x1ef, 1), 0u);  // the sentinel: we know the whole zero page
    EXPECT_EQ(word(page + 0x202, 4), 0x5372'6448u);
    EXPECT_EQ(word(page + 0x206, 2), 0x020fu);
    EXPECT_EQ(word(page + 0x268, 4), 0x5a5a'5a5au);  // the last field of the header
    EXPECT_EQ(word(page + 0x26c, 4), 0u);            // the file's bytes behind it
    EXPECT_EQ(word(page + 0x1f1, 1), 4u);
}

TEST_F(LinuxBoot, TheZeroPageSaysWhatALoaderMustSay) {
    const auto start = load_linux(kernel, ram, tables);
    ASSERT_TRUE(start.has_value());
    const u64 page = start->rsi;
    EXPECT_EQ(word(page + 0x210, 1), 0xffu);   // type_of_loader: undefined
    EXPECT_EQ(word(page + 0x211, 1), 0x01u);   // LOADED_HIGH; KASLR_FLAG is clear
    EXPECT_EQ(word(page + 0x070), 0xe'0000u);  // acpi_rsdp_addr
    EXPECT_EQ(word(page + 0x218, 4), 0u);      // no initrd
    EXPECT_EQ(word(page + 0x21c, 4), 0u);
    const u64 line = word(page + 0x228, 4);
    EXPECT_STREQ(reinterpret_cast<char*>(ram.at(line)), "console=ttyS0");
}

TEST_F(LinuxBoot, TheE820MapIsTheFirmwares) {
    const auto start = load_linux(kernel, ram, tables);
    ASSERT_TRUE(start.has_value());
    const u64 map = start->rsi + 0x2d0;
    ASSERT_EQ(word(start->rsi + 0x1e8, 1), 5u);
    const u64 wanted[5][3] = {{0, 0x9'f000, 1},
                              {0x9'f000, 0x1000, 2},
                              {0xe'0000, 0x2'0000, 3},
                              {0x10'0000, 0x3f0'0000, 1},
                              {0x1'0000'0000, 0x20'0000, 2}};
    for (u64 n = 0; n < 5; ++n) {
        EXPECT_EQ(word(map + 20 * n), wanted[n][0]);
        EXPECT_EQ(word(map + 20 * n + 8), wanted[n][1]);
        EXPECT_EQ(word(map + 20 * n + 16, 4), wanted[n][2]);
    }
}

TEST_F(LinuxBoot, AnInitrdLiesAtTheTopOfMemory) {
    kernel.initrd.assign(5000, 0x5a);
    const auto start = load_linux(kernel, ram, tables);
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(word(start->rsi + 0x218, 4), 0x3ff'e000u);
    EXPECT_EQ(word(start->rsi + 0x21c, 4), 5000u);
    EXPECT_EQ(*ram.at(0x3ff'e000), 0x5a);
    EXPECT_EQ(*ram.at(0x3ff'e000 + 4999), 0x5a);
    EXPECT_EQ(*ram.at(0x3ff'e000 + 5000), 0);
}

TEST_F(LinuxBoot, AnInitrdStaysBelowWhatTheKernelAllows) {
    BzImageFile file = test::small_bzimage();
    file.put(0x22c, 0x17f'ffff, 4);
    kernel.file = file.bytes;
    kernel.initrd.assign(0x60'0000, 0x5a);  // all that is left above the kernel, at 1200000H
    const auto start = load_linux(kernel, ram, tables);
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(word(start->rsi + 0x218, 4), 0x120'0000u);
    memory = std::move(*HostMemory::map(64 * mib));
    ram.bytes = memory.data();
    kernel.initrd.push_back(0);
    file.put(0x236, 0x7d, 2);  // not even above 4 GiB
    expect_refused("--initrd",
                   "6291457 bytes do not fit in memory above the kernel, which ends at 0x1200000");
}

TEST_F(LinuxBoot, AnInitrdThatMayNotLieLowGoesAbove4Gib) {
    resize(3 * gib + 64 * mib);
    BzImageFile file = test::small_bzimage();
    file.put(0x22c, 0x11f'ffff, 4);  // the kernel's own end
    kernel.file = file.bytes;
    kernel.initrd.assign(5000, 0x5a);
    const auto start = load_linux(kernel, ram, tables);
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(word(start->rsi + 0x218, 4), 0x3ff'e000u);
    EXPECT_EQ(word(start->rsi + 0x0c0, 4), 1u);  // ext_ramdisk_image
    EXPECT_EQ(word(start->rsi + 0x0c4, 4), 0u);  // ext_ramdisk_size
    EXPECT_EQ(*ram.at(0x1'03ff'e000), 0x5a);
    file.put(0x236, 0x01, 2);  // XLF_CAN_BE_LOADED_ABOVE_4G is clear
    kernel.file = file.bytes;
    EXPECT_EQ(load_linux(kernel, ram, tables).error().where, "--initrd");
}

TEST_F(LinuxBoot, AnInitrdLargerThanMemoryIsRefusedBeforeAnythingIsWritten) {
    kernel.initrd.assign(64 * mib, 1);
    expect_refused("--initrd",
                   "67108864 bytes do not fit in memory above the kernel, which ends at 0x1200000");
}

TEST_F(LinuxBoot, ACommandLineMayBeAsLongAsTheKernelSays) {
    kernel.command_line.assign(2047, 'x');
    EXPECT_TRUE(load_linux(kernel, ram, tables).has_value());
    memory = std::move(*HostMemory::map(64 * mib));
    ram.bytes = memory.data();
    kernel.command_line.assign(2048, 'x');
    expect_refused("--append", "a command line of 2048 bytes");
    EXPECT_EQ(load_linux(kernel, ram, tables).error().right, "at most 2047 bytes, for this kernel");
}

TEST_F(LinuxBoot, MemoryMustHoldWhatTheKernelUsesAtFirst) {
    resize(18 * mib);
    EXPECT_TRUE(load_linux(kernel, ram, tables).has_value());
    EXPECT_TRUE(load_decompressor(kernel, ram, tables).has_value());
    resize(18 * mib - 4096);
    expect_refused("vmlinuz", "the kernel needs memory from 0x1000000 to 0x1200000");
}

TEST_F(LinuxBoot, FirmwaresMemoryIsNotTheKernels) {
    tables.memory = {{0, 0x9'f000, MemoryKind::ram},
                     {mib, 16 * mib, MemoryKind::ram},
                     {17 * mib, mib, MemoryKind::acpi_tables},
                     {18 * mib, 46 * mib, MemoryKind::ram}};
    expect_refused("vmlinuz", "the kernel needs memory from 0x1000000 to 0x1200000");
}

TEST_F(LinuxBoot, APayloadThatOutgrowsItsHeaderIsRefused) {
    kernel.file = BzImageFile{test::pack_zstd(test::Bytes(0x20'0001))}.bytes;
    expect_refused(BootWay::linux_kernel, "vmlinuz",
                   "its zstd payload unpacks to more than the 0x200000 bytes that its header "
                   "announces");
}

TEST_F(LinuxBoot, APayloadThatIsNoKernelIsRefused) {
    kernel.file = BzImageFile{test::pack_gzip({'h', 'e', 'l', 'l', 'o'})}.bytes;
    expect_refused(BootWay::linux_kernel, "vmlinuz (unpacked)",
                   "not an ELF file (it begins with 0x68)");
}

TEST_F(LinuxBoot, ADamagedPayloadIsRefused) {
    kernel.file[BzImageFile::setup_size + BzImageFile::payload_offset + 40] ^= 1;
    expect_refused(BootWay::linux_kernel, "vmlinuz", "its xz payload is cut short or damaged");
}

TEST_F(LinuxBoot, OverlappingSegmentsInsideAreRefused) {
    test::ElfFile inside = test::small_vmlinux();
    inside.add({1, 0x1000, 0x100'1000, 4, 0x1000});
    kernel.file = BzImageFile{test::pack_xz(inside.bytes)}.bytes;
    expect_refused(BootWay::linux_kernel, "vmlinuz (unpacked)",
                   "ELF segments at 0x1000000 and 0x1001000 overlap");
}

TEST_F(LinuxBoot, ASegmentWhereFirmwareKeepsItsTablesIsRefused) {
    test::ElfFile inside = test::small_vmlinux();
    inside.add({1, 0x1000, 0xe'0000, 4, 0x1000});
    kernel.file = BzImageFile{test::pack_xz(inside.bytes)}.bytes;
    expect_refused(BootWay::linux_kernel, "vmlinuz",
                   "the kernel needs memory from 0xe0000 to 0xe1000");
}

TEST_F(LinuxBoot, AMemoryMapBeyondTheZeroPagesTableIsRefused) {
    tables.memory.resize(129, {0, 0, MemoryKind::reserved});
    expect_refused("--memory", "a memory map of 129 ranges");
}

TEST_F(LinuxBoot, APlainVmlinuxIsTakenWithAHeaderOfOurs) {
    kernel.file = test::small_vmlinux().bytes;
    kernel.initrd.assign(100, 0x5a);
    const auto start = load_linux(kernel, ram, tables);
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(start->rip, 0x100'0000u);
    EXPECT_EQ(word(start->rsi + 0x1fe, 2), 0xaa55u);
    EXPECT_EQ(word(start->rsi + 0x202, 4), 0x5372'6448u);
    EXPECT_EQ(word(start->rsi + 0x206, 2), 0x020cu);
    EXPECT_EQ(word(start->rsi + 0x218, 4), 0x3ff'f000u);
    EXPECT_EQ(std::memcmp(ram.at(0x100'0000), "code", 4), 0);
}

TEST_F(LinuxBoot, TheDecompressorIsEnteredAtItsThirdSector) {
    const auto start = load_decompressor(kernel, ram, tables);
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(start->mode, StartMode::long_64);
    EXPECT_EQ(start->rip, 0x100'0200u);
    EXPECT_EQ(*ram.at(0x100'0200), 0xf4);
    EXPECT_EQ(word(start->rsi + 0x214, 4), 0x100'0000u);  // code32_start
    EXPECT_EQ(word(start->rsi + 0x211, 1), 0x01u);
    const auto* payload = ram.at(0x100'0000 + BzImageFile::payload_offset);
    EXPECT_EQ(std::memcmp(payload,
                          "\xfd"
                          "7zXZ",
                          6),
              0);
}

TEST_F(LinuxBoot, ADecompressorThatCannotMoveIsLoadedAt1Mib) {
    BzImageFile file = test::small_bzimage();
    file.put(0x234, 0, 1);
    kernel.file = file.bytes;
    const auto start = load_decompressor(kernel, ram, tables);
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(start->rip, 0x10'0200u);
    EXPECT_EQ(*ram.at(0x10'0200), 0xf4);
}

TEST_F(LinuxBoot, OnlyABzImageCanUnpackItself) {
    kernel.file = test::small_vmlinux().bytes;
    expect_refused(BootWay::decompress, "vmlinuz", "not a bzImage (no boot flag: 0x0000 at 0x1fe)");
}

TEST(Boot, TheFileTellsTheWay) {
    EXPECT_EQ(detect_boot(test::small_bzimage().bytes), BootWay::linux_kernel);
    EXPECT_EQ(detect_boot(test::small_vmlinux().bytes), BootWay::elf);
    EXPECT_EQ(detect_boot({}), BootWay::elf);
}

TEST_F(LinuxBoot, AutomaticMeansLinuxForABzImageAndElfForAnElf) {
    auto start = load_kernel(BootWay::automatic, kernel, ram, tables);
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(start->code_selector, 0x10);
    kernel.file = test::small_vmlinux().bytes;
    start = load_kernel(BootWay::automatic, kernel, ram, tables);
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(word(start->rsi, 4), 0x336e'c578u);  // PVH's start info
}

}  // namespace
}  // namespace postern::platform
