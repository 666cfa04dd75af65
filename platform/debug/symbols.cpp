// SPDX-License-Identifier: Apache-2.0
// Reading .symtab. System V ABI, "Object Files".
#include "platform/debug/symbols.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <tuple>

#include <fmt/format.h>

namespace postern::platform {

namespace {

/// A file, of which nothing is believed.
class Reader {
public:
    explicit Reader(std::span<const u8> file) : file_{file} {}

    template <class T>
    [[nodiscard]] std::optional<T> at(u64 offset) const {
        if (offset > file_.size() || file_.size() - offset < sizeof(T)) return {};
        T value;
        std::memcpy(&value, &file_[offset], sizeof value);
        return value;
    }
    [[nodiscard]] std::string text(u64 offset, u64 limit) const {
        const u64 end = std::min<u64>(limit, file_.size());
        std::string result;
        for (; offset < end && file_[offset] != 0; ++offset)
            result.push_back(static_cast<char>(file_[offset]));
        return result;
    }

private:
    std::span<const u8> file_;
};

bool is_wanted(const Elf64_Sym& symbol) {
    const unsigned type = ELF64_ST_TYPE(symbol.st_info);
    return symbol.st_shndx != SHN_UNDEF && symbol.st_name != 0 &&
           (type == STT_FUNC || type == STT_OBJECT || type == STT_NOTYPE);
}

/// Of several at one address the first in this order is shown: functions, then others; no
/// mapping symbols or local labels before names.
int rank(const Elf64_Sym& symbol) {
    const int type = ELF64_ST_TYPE(symbol.st_info) == STT_FUNC ? 0 : 2;
    return type + (ELF64_ST_BIND(symbol.st_info) == STB_LOCAL ? 1 : 0);
}

struct Ranked {
    Symbol symbol;
    int rank;
    size_t order;  // in the file
};

void read_table(const Reader& reader, const Elf64_Ehdr& header, const Elf64_Shdr& table,
                std::vector<Ranked>& found) {
    const auto strings =
        reader.at<Elf64_Shdr>(header.e_shoff + u64{table.sh_link} * sizeof(Elf64_Shdr));
    if (!strings || table.sh_entsize != sizeof(Elf64_Sym)) return;
    const u64 limit = strings->sh_offset + strings->sh_size;
    for (u64 n = 0; n < table.sh_size / sizeof(Elf64_Sym); ++n) {
        const auto symbol = reader.at<Elf64_Sym>(table.sh_offset + n * sizeof(Elf64_Sym));
        if (!symbol) return;
        if (!is_wanted(*symbol)) continue;
        std::string name = reader.text(strings->sh_offset + symbol->st_name, limit);
        if (name.empty()) continue;
        found.push_back(
            {{symbol->st_value, symbol->st_size, std::move(name)}, rank(*symbol), found.size()});
    }
}

}  // namespace

Expected<Symbols> Symbols::parse(std::span<const u8> file, const std::string& name) {
    const Reader reader{file};
    const auto header = reader.at<Elf64_Ehdr>(0);
    if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
        (header->e_shnum != 0 && header->e_shentsize != sizeof(Elf64_Shdr)))
        return error("not an ELF64 file", name, "an ELF64 file with a symbol table");
    std::vector<Ranked> found;
    for (unsigned n = 0; n < header->e_shnum; ++n) {
        const auto section = reader.at<Elf64_Shdr>(header->e_shoff + u64{n} * sizeof(Elf64_Shdr));
        if (!section)
            return error("a section header lies outside the file", name, "the whole file");
        if (section->sh_type == SHT_SYMTAB) read_table(reader, *header, *section, found);
    }
    std::ranges::sort(
        found, {}, [](const Ranked& r) { return std::tuple{r.symbol.address, r.rank, r.order}; });
    Symbols symbols;
    for (Ranked& r : found) symbols.symbols_.push_back(std::move(r.symbol));
    return symbols;
}

const Symbol* Symbols::nearest(u64 address) const {
    const auto above = std::ranges::upper_bound(symbols_, address, {}, &Symbol::address);
    if (above == symbols_.begin()) return nullptr;
    const u64 at = std::prev(above)->address;
    const Symbol& symbol = *std::ranges::lower_bound(symbols_, at, {}, &Symbol::address);
    const bool ended = symbol.size != 0 && address - symbol.address >= symbol.size;
    return ended ? nullptr : &symbol;
}

std::optional<u64> Symbols::address_of(std::string_view name) const {
    const auto found = std::ranges::find(symbols_, name, &Symbol::name);
    if (found == symbols_.end()) return {};
    return found->address;
}

std::string Symbols::words(u64 address) const {
    const Symbol* const symbol = nearest(address);
    if (symbol == nullptr) return {};
    const u64 offset = address - symbol->address;
    return offset == 0 ? symbol->name : fmt::format("{}+{:#x}", symbol->name, offset);
}

}  // namespace postern::platform
