// SPDX-License-Identifier: Apache-2.0
// Names of addresses, from the symbol table of an ELF64 file.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "platform/error.h"

namespace postern::platform {

struct Symbol {
    u64 address;
    u64 size;  // 0: to the next one
    std::string name;
};

class Symbols {
public:
    Symbols() = default;
    /// Functions, objects and plain labels of .symtab. `name` is what errors call the file; one
    /// without symbols is no error.
    static Expected<Symbols> parse(std::span<const u8> file, const std::string& name);

    [[nodiscard]] bool empty() const { return symbols_.empty(); }
    [[nodiscard]] size_t size() const { return symbols_.size(); }
    /// The last symbol at or below `address`; null if there is none, or it ends before.
    [[nodiscard]] const Symbol* nearest(u64 address) const;
    [[nodiscard]] std::optional<u64> address_of(std::string_view name) const;
    /// "name+0x12", "name", or nothing.
    [[nodiscard]] std::string words(u64 address) const;

private:
    std::vector<Symbol> symbols_;  // by rising address
};

}  // namespace postern::platform
