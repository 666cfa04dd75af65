// SPDX-License-Identifier: Apache-2.0
// PVH: the note with the entry, and what a kernel entered there finds.
#include "platform/boot/pvh.h"

#include <gtest/gtest.h>

#include <cstring>

#include "platform/host_memory.h"
#include "unit/platform/bzimage_file.h"

namespace postern::platform {
namespace {

constexpr u32 note_segment = 4;
constexpr u64 notes_at = 0x2000;

/// One note, its name and content padded as they must be.
test::Bytes note(std::string_view name, u32 type, const test::Bytes& content) {
    test::Bytes bytes;
    test::append_word(bytes, name.size());
    test::append_word(bytes, content.size());
    test::append_word(bytes, type);
    bytes.insert(bytes.end(), name.begin(), name.end());
    while (bytes.size() % 4 != 0) bytes.push_back(0);
    bytes.insert(bytes.end(), content.begin(), content.end());
    while (bytes.size() % 4 != 0) bytes.push_back(0);
    return bytes;
}

constexpr std::string_view xen{"Xen", 4};  // with its zero
const test::Bytes entry_32{0x40, 0, 0, 1};
const test::Bytes entry_64{0x40, 0, 0, 1, 0, 0, 0, 0};

test::ElfFile with_notes(const test::Bytes& notes) {
    test::ElfFile file = test::small_vmlinux();
    file.add({note_segment, notes_at, 0, notes.size(), notes.size()});
    for (size_t i = 0; i < notes.size(); ++i) file.put(notes_at + i, notes[i], 1);
    return file;
}

class Pvh : public ::testing::Test {
protected:
    Pvh() {
        kernel.name = "k";
        kernel.file = with_notes(note(xen, 18, entry_64)).bytes;
        kernel.command_line = "quiet";
    }
    u64 word(u64 address, unsigned size = 8) const {
        u64 value = 0;
        std::memcpy(&value, ram.at(address), size);
        return value;
    }
    void expect_refused(std::string_view what) const {
        const auto start = load_pvh(kernel, ram, tables);
        ASSERT_FALSE(start.has_value());
        EXPECT_EQ(start.error().what, what);
        EXPECT_FALSE(start.error().right.empty());
        EXPECT_EQ(word(0x100'0000), 0u);
    }

    HostMemory memory = std::move(*HostMemory::map(64 * mib));
    GuestRam ram{memory.data(), layout_of(64 * mib, 0)};
    BootTables tables{0xe'0000, memory_map(ram.layout)};
    Kernel kernel;
};

TEST_F(Pvh, TheKernelIsEnteredIn32BitProtectedMode) {
    const auto start = load_pvh(kernel, ram, tables);
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(start->mode, StartMode::protected_32);
    EXPECT_EQ(start->rip, 0x100'0040u);
    EXPECT_EQ(start->cr3, 0u);
    EXPECT_EQ(start->rsi, 0u);
    EXPECT_EQ(word(start->gdt_base + start->code_selector), 0x00cf'9a00'0000'ffffu);
    EXPECT_EQ(word(start->gdt_base + start->data_selector), 0x00cf'9200'0000'ffffu);
    EXPECT_EQ(start->gdt_limit, start->data_selector + 7);
    EXPECT_EQ(std::memcmp(ram.at(0x100'0000), "code", 4), 0);
}

TEST_F(Pvh, TheStartInfoIsInRbx) {
    kernel.initrd.assign(5000, 0x5a);
    const auto start = load_pvh(kernel, ram, tables);
    ASSERT_TRUE(start.has_value());
    const u64 info = start->rbx;
    EXPECT_EQ(word(info, 4), 0x336e'c578u);
    EXPECT_EQ(word(info + 4, 4), 1u);
    EXPECT_EQ(word(info + 12, 4), 1u);  // one module
    const u64 module = word(info + 16);
    EXPECT_EQ(word(module), 0x3ff'e000u);
    EXPECT_EQ(word(module + 8), 5000u);
    EXPECT_EQ(*ram.at(0x3ff'e000 + 4999), 0x5a);
    EXPECT_STREQ(reinterpret_cast<char*>(ram.at(word(info + 24))), "quiet");
    EXPECT_EQ(word(info + 32), 0xe'0000u);  // ACPI's root pointer
}

TEST_F(Pvh, TheMemoryMapIsTheFirmwares) {
    const auto start = load_pvh(kernel, ram, tables);
    ASSERT_TRUE(start.has_value());
    const u64 map = word(start->rbx + 40);
    ASSERT_EQ(word(start->rbx + 48, 4), 4u);
    EXPECT_EQ(word(map), 0u);
    EXPECT_EQ(word(map + 8), 0x9'f000u);
    EXPECT_EQ(word(map + 16, 4), 1u);
    EXPECT_EQ(word(map + 2 * 24), 0xe'0000u);
    EXPECT_EQ(word(map + 2 * 24 + 16, 4), 3u);  // ACPI tables
    EXPECT_EQ(word(map + 3 * 24), 0x10'0000u);
    EXPECT_EQ(word(map + 3 * 24 + 8), 0x3f0'0000u);
}

TEST_F(Pvh, TheNoteIsFoundBehindOthersAndMayHave4Bytes) {
    test::Bytes notes = note("GNU", 18, {1, 2, 3, 4});
    for (const auto& more : {note(xen, 17, {9}), note(xen, 18, entry_32)})
        notes.insert(notes.end(), more.begin(), more.end());
    kernel.file = with_notes(notes).bytes;
    const auto start = load_pvh(kernel, ram, tables);
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(start->rip, 0x100'0040u);
}

TEST_F(Pvh, ABzImageIsUnpackedForIt) {
    kernel.file = test::BzImageFile{test::pack_lz4(kernel.file)}.bytes;
    const auto start = load_pvh(kernel, ram, tables);
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(start->rip, 0x100'0040u);
    EXPECT_EQ(std::memcmp(ram.at(0x100'0000), "code", 4), 0);
}

TEST_F(Pvh, WithoutTheNoteThereIsNoEntry) {
    constexpr const char* none = "ELF without a PVH entry (no note XEN_ELFNOTE_PHYS32_ENTRY)";
    kernel.file = test::small_vmlinux().bytes;
    expect_refused(none);
    kernel.file = with_notes(note(xen, 18, {1, 2, 3})).bytes;
    expect_refused(none);
    kernel.file = with_notes(note({"Xem", 4}, 18, entry_64)).bytes;
    expect_refused(none);
}

TEST_F(Pvh, NotesThatClaimMoreThanThereIsAreNotRead) {
    constexpr const char* none = "ELF without a PVH entry (no note XEN_ELFNOTE_PHYS32_ENTRY)";
    for (const size_t at : {size_t{0}, size_t{4}}) {
        test::Bytes notes = note(xen, 18, entry_64);
        for (size_t n = 0; n < 4; ++n) notes[at + n] = 0xff;
        kernel.file = with_notes(notes).bytes;
        expect_refused(none);
    }
}

TEST_F(Pvh, NotesBeyondTheFileAreTruncated) {
    test::ElfFile file = test::small_vmlinux();
    file.add({note_segment, 0x9'0000, 0, 16, 16});
    kernel.file = file.bytes;
    expect_refused("truncated ELF: notes 1 are 0x10 bytes at 0x90000, the file ends at 0x1004");
}

TEST_F(Pvh, AnEntryOutsideTheKernelIsRefused) {
    kernel.file = with_notes(note(xen, 18, {0, 0x20, 0, 1})).bytes;
    expect_refused("PVH entry 0x1002000 is in no segment below 4 GiB");
}

TEST_F(Pvh, WhatDoesNotFitIsRefused) {
    kernel.command_line.assign(4096, 'x');
    expect_refused("a command line of 4096 bytes");
    kernel.command_line.clear();
    kernel.initrd.assign(64 * mib, 1);
    expect_refused("67108864 bytes do not fit in memory");
    kernel.initrd.clear();
    tables.memory.resize(161, {0, 0, MemoryKind::reserved});
    expect_refused("a memory map of 161 ranges");
}

}  // namespace
}  // namespace postern::platform
