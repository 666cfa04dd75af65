// SPDX-License-Identifier: Apache-2.0
// Names of addresses, and files that lie about them.
#include "platform/debug/symbols.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace postern::platform {
namespace {

struct Entry {
    u64 address;
    u64 size;
    const char* name;
    u8 info;
};

constexpr u8 function = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
constexpr u8 label = ELF64_ST_INFO(STB_LOCAL, STT_NOTYPE);
constexpr u8 section = ELF64_ST_INFO(STB_LOCAL, STT_SECTION);

/// ELF header, three section headers, symbols, strings.
std::vector<u8> file_of(const std::vector<Entry>& entries) {
    std::string strings(1, '\0');
    std::vector<Elf64_Sym> symbols(1);
    for (const Entry& e : entries) {
        Elf64_Sym s{};
        s.st_name = static_cast<u32>(strings.size());
        s.st_info = e.info;
        s.st_shndx = SHN_ABS;
        s.st_value = e.address;
        s.st_size = e.size;
        symbols.push_back(s);
        strings += e.name;
        strings.push_back('\0');
    }
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_shoff = sizeof header;
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = 3;
    std::array<Elf64_Shdr, 3> sections{};
    sections[1].sh_type = SHT_SYMTAB;
    sections[1].sh_offset = sizeof header + sizeof sections;
    sections[1].sh_size = symbols.size() * sizeof(Elf64_Sym);
    sections[1].sh_link = 2;
    sections[1].sh_entsize = sizeof(Elf64_Sym);
    sections[2].sh_type = SHT_STRTAB;
    sections[2].sh_offset = sections[1].sh_offset + sections[1].sh_size;
    sections[2].sh_size = strings.size();
    std::vector<u8> file(sections[2].sh_offset + strings.size());
    std::memcpy(file.data(), &header, sizeof header);
    std::memcpy(&file[sizeof header], sections.data(), sizeof sections);
    std::memcpy(&file[sections[1].sh_offset], symbols.data(), sections[1].sh_size);
    std::memcpy(&file[sections[2].sh_offset], strings.data(), strings.size());
    return file;
}

const std::vector<Entry> some{{0x2000, 0, "later", function},
                              {0x1000, 0x10, "first", function},
                              {0x1000, 0, "alias", label},
                              {0x1800, 0, "local", label},
                              {0x1900, 0, "section", section}};

TEST(Symbols, NameTheNearestAddressBelow) {
    const auto symbols = Symbols::parse(file_of(some), "k.elf");
    ASSERT_TRUE(symbols.has_value());
    EXPECT_EQ(symbols->size(), 4u);
    EXPECT_EQ(symbols->words(0x1000), "first");
    EXPECT_EQ(symbols->words(0x100f), "first+0xf");
    EXPECT_EQ(symbols->words(0x1910), "local+0x110");
    EXPECT_EQ(symbols->words(0x2fff), "later+0xfff");
}

TEST(Symbols, NameNothingBelowTheFirstAndBehindAnEnd) {
    const auto symbols = Symbols::parse(file_of(some), "k.elf");
    EXPECT_EQ(symbols->nearest(0xfff), nullptr);
    EXPECT_EQ(symbols->words(0x1010), "");
    EXPECT_EQ(Symbols{}.nearest(0), nullptr);
}

TEST(Symbols, AreFoundByName) {
    const auto symbols = Symbols::parse(file_of(some), "k.elf");
    EXPECT_EQ(symbols->address_of("later"), 0x2000u);
    EXPECT_FALSE(symbols->address_of("nobody").has_value());
}

TEST(Symbols, OfAFileThatIsNoneAreRefused) {
    const std::vector<u8> text{'h', 'e', 'l', 'l', 'o'};
    const auto symbols = Symbols::parse(text, "notes.txt");
    ASSERT_FALSE(symbols.has_value());
    EXPECT_EQ(symbols.error().where, "notes.txt");
    auto cut = file_of(some);
    cut.resize(sizeof(Elf64_Ehdr) + 70);
    EXPECT_FALSE(Symbols::parse(cut, "cut.elf").has_value());
}

TEST(Symbols, OfADamagedFileNeverCrash) {
    constexpr unsigned seed = 11, inputs = 20'000;
    std::mt19937 random{seed};
    const auto whole = file_of(some);
    for (unsigned n = 0; n < inputs; ++n) {
        auto file = whole;
        for (unsigned changes = 0; changes < 4; ++changes)
            file[random() % file.size()] = static_cast<u8>(random());
        if (n % 4 == 0) file.resize(random() % file.size());
        const auto symbols = Symbols::parse(file, "f");
        ASSERT_TRUE(!symbols || symbols->size() <= file.size()) << "seed " << seed;
    }
}

}  // namespace
}  // namespace postern::platform
