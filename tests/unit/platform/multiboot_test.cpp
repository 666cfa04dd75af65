// SPDX-License-Identifier: Apache-2.0
// Multiboot: what a kernel finds, and every way in which a file is refused.
#include "platform/boot/multiboot.h"

#include <gtest/gtest.h>

#include <cstring>

#include "platform/boot/boot.h"
#include "platform/host_memory.h"
#include "unit/platform/bzimage_file.h"
#include "unit/platform/multiboot_file.h"

namespace postern::platform {
namespace {

using test::elf32_multiboot;
using test::flat_multiboot;
using test::MultibootFile;

const std::vector<u8> code{0xf4, 0x90, 0x90, 0xcc};

class Multiboot : public ::testing::Test {
protected:
    Multiboot() {
        kernel.name = "k";
        use(flat_multiboot(code));
        kernel.command_line = "fast=1";
    }
    void use(const MultibootFile& file) { kernel.file = file.bytes; }
    [[nodiscard]] Expected<StartState> load() const { return load_multiboot(kernel, ram, tables); }
    [[nodiscard]] u64 word(u64 address, unsigned size = 4) const {
        u64 value = 0;
        std::memcpy(&value, ram.at(address), size);
        return value;
    }
    [[nodiscard]] std::string text(u64 address) const {
        return reinterpret_cast<const char*>(ram.at(address));
    }
    void expect_refused(std::string_view what, std::string_view where = "k") const {
        const auto start = load();
        ASSERT_FALSE(start.has_value());
        EXPECT_EQ(start.error().what, what);
        EXPECT_EQ(start.error().where, where);
        EXPECT_FALSE(start.error().right.empty());
        EXPECT_EQ(word(0x10'0000), 0u);  // nothing was loaded
    }

    HostMemory memory = std::move(*HostMemory::map(64 * mib));
    GuestRam ram{memory.data(), layout_of(64 * mib, 2 * mib)};
    BootTables tables{0xe'0000, memory_map(ram.layout)};
    Kernel kernel;
};

TEST_F(Multiboot, AFlatFileLiesWhereItsHeaderSays) {
    const auto start = load();
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(start->mode, StartMode::protected_32);
    EXPECT_EQ(start->rip, 0x10'0040u);
    EXPECT_EQ(start->rax, 0x2bad'b002u);
    EXPECT_EQ(word(0x10'0000), 0x9abc'def0u);
    EXPECT_EQ(word(0x10'0040), 0xcc90'90f4u);
}

TEST_F(Multiboot, TheSegmentsAreFlat) {
    const auto start = load();
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(word(start->gdt_base + start->code_selector, 8), 0x00cf'9a00'0000'ffffu);
    EXPECT_EQ(word(start->gdt_base + start->data_selector, 8), 0x00cf'9200'0000'ffffu);
}

TEST_F(Multiboot, ThePartBeforeTheLoadAddressIsNotLoaded) {
    MultibootFile file = flat_multiboot(code);
    file.addresses(0x10, 0x10'0008, 0x10'0000, 0, 0, 0x10'0038);
    use(file);
    ASSERT_TRUE(load().has_value());
    EXPECT_EQ(word(0x10'0008), 0x1bad'b002u);
    EXPECT_EQ(word(0x10'0038), 0xcc90'90f4u);
}

TEST_F(Multiboot, WhatLiesBeyondTheLoadEndIsNotLoaded) {
    MultibootFile file = flat_multiboot(code);
    file.addresses(0x10, 0x10'0010, 0x10'0000, 0x10'0042, 0x10'1000, 0x10'0040);
    use(file);
    ASSERT_TRUE(load().has_value());
    EXPECT_EQ(word(0x10'0040), 0x90f4u);
}

TEST_F(Multiboot, AnElf32FileIsEnteredAtThePhysicalAddressOfItsEntry) {
    use(elf32_multiboot(code));
    const auto start = load();
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(start->rip, 0x20'0010u);
    EXPECT_EQ(word(0x20'0010), 0xcc90'90f4u);
    EXPECT_EQ(start->rax, 0x2bad'b002u);
}

TEST_F(Multiboot, AnElf64FileIsEnteredIn32Bits) {
    test::ElfFile elf = test::small_elf();
    for (const u32 value : {0x1bad'b002u, 3u, 0u - (0x1bad'b002u + 3u)}) {
        const size_t at = elf.bytes.size() + (4 - elf.bytes.size() % 4) % 4;
        elf.put(at, value, 4);
    }
    kernel.file = elf.bytes;
    const auto start = load();
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(start->mode, StartMode::protected_32);
    EXPECT_EQ(start->rip, 0x10'0000u);
}

TEST_F(Multiboot, APackedFileIsUnpacked) {
    kernel.file = test::pack_gzip(elf32_multiboot(code).bytes);
    const auto start = load();
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(word(0x20'0010), 0xcc90'90f4u);
    kernel.file.resize(20);
    kernel.name = "k.gz";
    const auto broken = load();
    ASSERT_FALSE(broken.has_value());
    EXPECT_EQ(broken.error().what, "its gzip stream is cut short or damaged");
}

TEST_F(Multiboot, APackedFileWithMoreThanMemoryIsRefused) {
    kernel.file = test::pack_gzip(std::vector<u8>(65 * mib));
    expect_refused("it unpacks to more than the 67108864 bytes of memory");
}

TEST_F(Multiboot, TheBootInformationTellsTheMemory) {
    const auto start = load();
    ASSERT_TRUE(start.has_value());
    const u64 info = start->rbx;
    EXPECT_EQ(word(info), 0x24du);  // memory, command line, modules, map, loader
    EXPECT_EQ(word(info + 4), 636u);
    EXPECT_EQ(word(info + 8), 63u * 1024);
    const u64 map = word(info + 48);
    ASSERT_EQ(word(info + 44), 5u * 24);
    EXPECT_EQ(word(map), 20u);
    EXPECT_EQ(word(map + 4, 8), 0u);
    EXPECT_EQ(word(map + 12, 8), 0x9'f000u);
    EXPECT_EQ(word(map + 20), 1u);
    const u64 main = map + 3 * 24;
    EXPECT_EQ(word(main + 4, 8), 0x10'0000u);
    EXPECT_EQ(word(main + 12, 8), 63 * mib);
    EXPECT_EQ(word(main + 20), 1u);
    const u64 epc = map + 4 * 24;
    EXPECT_EQ(word(epc + 4, 8), 0x1'0000'0000u);
    EXPECT_EQ(word(epc + 20), 2u);
}

TEST_F(Multiboot, TheCommandLineBeginsWithTheKernelsName) {
    auto start = load();
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(text(word(start->rbx + 16)), "k fast=1");
    EXPECT_TRUE(text(word(start->rbx + 64)).starts_with("Postern "));
    kernel.command_line.clear();
    start = load();
    EXPECT_EQ(text(word(start->rbx + 16)), "k");
}

TEST_F(Multiboot, ModulesLieInPagesAboveTheKernelWithTheirArguments) {
    kernel.modules.push_back({"a", {1, 2, 3}, "a quiet"});
    kernel.modules.push_back({"b", std::vector<u8>(0x1001, 7), "b"});
    kernel.modules.push_back({"c", {}, "c"});
    const auto start = load();
    ASSERT_TRUE(start.has_value());
    ASSERT_EQ(word(start->rbx + 20), 3u);
    const u64 modules = word(start->rbx + 24);
    const u64 first = word(modules), second = word(modules + 16);
    EXPECT_EQ(first % 0x1000, 0u);
    EXPECT_GE(first, 0x10'1044u);
    EXPECT_EQ(word(modules + 4), first + 3);
    EXPECT_EQ(word(first), 0x03'0201u);
    EXPECT_EQ(text(word(modules + 8)), "a quiet");
    EXPECT_EQ(second % 0x1000, 0u);
    EXPECT_GE(second, first + 3);
    EXPECT_EQ(word(modules + 20), second + 0x1001);
    EXPECT_EQ(word(second + 0x1000), 7u);
    EXPECT_EQ(text(word(modules + 24)), "b");
    EXPECT_EQ(word(modules + 32), word(modules + 36));
}

TEST_F(Multiboot, NothingOfItOverlaps) {
    kernel.modules.push_back({"a", std::vector<u8>(5000, 0xaa), std::string(9000, 'x')});
    const auto start = load();
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(word(0x10'0040), 0xcc90'90f4u);
    EXPECT_EQ(word(start->gdt_base + start->code_selector, 8), 0x00cf'9a00'0000'ffffu);
    EXPECT_EQ(text(word(word(start->rbx + 24) + 8)).size(), 9000u);
    EXPECT_EQ(text(word(start->rbx + 16)), "k fast=1");
}

TEST_F(Multiboot, AModuleThatDoesNotFitIsNamed) {
    kernel.modules.push_back({"big", std::vector<u8>(63 * mib), ""});
    expect_refused("66060288 bytes do not fit in memory above the kernel, which ends at 0x101044",
                   "big");
}

TEST_F(Multiboot, AFileWithoutAHeaderIsRefused) {
    kernel.file.clear();
    expect_refused("the file is empty");
    kernel.file = {1, 2, 3};
    expect_refused("no Multiboot header");
    kernel.file = test::small_elf().bytes;
    expect_refused("no Multiboot header");
}

TEST_F(Multiboot, AHeaderMustBeAlignedAndWithinTheFirst8KiB) {
    MultibootFile file;
    file.header(2, 0);
    use(file);
    expect_refused("no Multiboot header");
    file.bytes.clear();
    file.header(8192 - 8, 0);
    use(file);
    expect_refused("no Multiboot header");
    file.bytes.clear();
    file.header(8192 - 12, 0);
    use(file);
    expect_refused("not an ELF file (it begins with 0x00)");
}

TEST_F(Multiboot, AWrongChecksumIsNamed) {
    MultibootFile file = flat_multiboot(code);
    file.put(0x18, 1);
    use(file);
    expect_refused(
        "Multiboot header at 0x10 with a wrong checksum (magic, flags and checksum add "
        "up to 0x1baeb003)");
}

TEST_F(Multiboot, ALaterHeaderCountsIfItsChecksumIsRight) {
    MultibootFile file = flat_multiboot(code);
    file.put(0, 0x1bad'b002);
    use(file);
    EXPECT_TRUE(load().has_value());
}

TEST_F(Multiboot, AHeaderCutOffIsTruncated) {
    kernel.file.resize(0x10 + 28);
    expect_refused("truncated Multiboot header at 0x10: the file ends at 0x2c");
}

TEST_F(Multiboot, UnknownDemandsAreRefusedAndOffersAreNot) {
    MultibootFile file = flat_multiboot(code);
    file.header(0x10, 1u << 16 | 4);
    use(file);
    expect_refused("Multiboot header that demands a video mode (flags 0x4)");
    file.header(0x10, 1u << 16 | 0x8000);
    use(file);
    expect_refused("Multiboot header that demands what is not known (flags 0x8000)");
    file.header(0x10, 0x8001'0003);
    use(file);
    EXPECT_TRUE(load().has_value());
}

TEST_F(Multiboot, AddressesThatCannotBeAreRefused) {
    struct Row {
        u32 header, load, load_end, bss_end, entry;
        std::string_view what;
    };
    const Row rows[] = {
        {0x10'0000, 0x10'0010, 0, 0, 0x10'0040,
         "Multiboot header at 0x10 of the file whose address 0x100000 does not go with the load "
         "address 0x100010"},
        {0x10'0011, 0x10'0000, 0, 0, 0x10'0040,
         "Multiboot header at 0x10 of the file whose address 0x100011 does not go with the load "
         "address 0x100000"},
        {0x10'0010, 0x10'0000, 0xf'0000, 0, 0x10'0040,
         "Multiboot addresses out of order: loaded from 0x100000 to 0xf0000, ends at 0xf0000"},
        {0x10'0010, 0x10'0000, 0x10'0040, 0x10'003f, 0x10'0020,
         "Multiboot addresses out of order: loaded from 0x100000 to 0x100040, ends at 0x10003f"},
        {0x10'0010, 0x10'0000, 0x10'0045, 0, 0x10'0040,
         "truncated file: 0x45 bytes are to be loaded from 0x0 on, it ends at 0x44"},
        {0x10'0010, 0x10'0000, 0, 0x500'0000, 0x10'0040,
         "0x4f00000 bytes at 0x100000 lie outside memory"},
        {0xff00'0010, 0xff00'0000, 0, 0, 0xff00'0040,
         "0x44 bytes at 0xff000000 lie outside memory"},
        {0x10'0010, 0x10'0000, 0, 0, 0x10'0044,
         "Multiboot entry 0x100044 is not in what is loaded"},
    };
    for (const Row& row : rows) {
        MultibootFile file = flat_multiboot(code);
        file.addresses(0x10, row.header, row.load, row.load_end, row.bss_end, row.entry);
        use(file);
        expect_refused(row.what);
    }
}

TEST_F(Multiboot, AKernelInAHoleOfMemoryIsRefused) {
    MultibootFile file = flat_multiboot(code);
    file.addresses(0x10, 0x9'f010, 0x9'f000, 0, 0, 0x9'f040);
    use(file);
    expect_refused("the kernel needs memory from 0x9f000 to 0x9f044");
}

TEST_F(Multiboot, AKernelThatLeavesNoRoomIsRefused) {
    MultibootFile file = flat_multiboot(code);
    file.addresses(0x10, 0x10'0010, 0x10'0000, 0, 0x400'0000, 0x10'0040);
    use(file);
    tables.memory = {{mib, 63 * mib, MemoryKind::ram}};
    expect_refused("the kernel leaves no 8 KiB for the boot information");
}

TEST_F(Multiboot, BadElf32FilesAreRefused) {
    MultibootFile file = elf32_multiboot(code);
    file.put(52 + 16, 0x5000);
    file.put(52 + 20, 0x5000);
    use(file);
    expect_refused("truncated ELF: segment 0 is 0x5000 bytes at 0x1000, the file ends at 0x1014");
    file = elf32_multiboot(code);
    file.put(18, 62, 2);
    use(file);
    expect_refused("ELF for machine 62, not 3 (80386)");
    file = elf32_multiboot(code);
    file.put(42, 56, 2);
    use(file);
    expect_refused("ELF with program headers of 56 bytes, not 32");
    file = elf32_multiboot(code);
    file.put(52 + 12, 0xfff0'0000);
    use(file);
    expect_refused("ELF segment 0 of 0x2014 bytes at 0xfff00000 lies outside memory");
    file = elf32_multiboot(code);
    file.put(24, 0xc030'0000);
    use(file);
    expect_refused("ELF entry 0xc0300000 is in no segment below 4 GiB");
    file = elf32_multiboot(code);
    file.put(44, 2, 2);
    for (size_t at = 0; at < 32; ++at) file.put(84 + at, file.bytes[52 + at], 1);
    use(file);
    expect_refused("ELF segments at 0x200000 and 0x200000 overlap");
}

TEST(MultibootDetection, AHeaderAPackedFileOrElf32MeansMultiboot) {
    EXPECT_EQ(detect_boot(flat_multiboot(code).bytes), BootWay::multiboot);
    EXPECT_EQ(detect_boot(elf32_multiboot(code).bytes), BootWay::multiboot);
    EXPECT_EQ(detect_boot(test::pack_gzip(flat_multiboot(code).bytes)), BootWay::multiboot);
    MultibootFile without = elf32_multiboot(code);
    without.put(0x1000, 0);
    EXPECT_EQ(detect_boot(without.bytes), BootWay::multiboot);
    MultibootFile wrong = flat_multiboot(code);
    wrong.put(0x18, 1);
    EXPECT_EQ(detect_boot(wrong.bytes), BootWay::elf);
    EXPECT_EQ(detect_boot(test::small_elf().bytes), BootWay::elf);
}

}  // namespace
}  // namespace postern::platform
