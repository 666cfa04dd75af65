// SPDX-License-Identifier: Apache-2.0
// ELF files made by hand, byte by byte, for tests.
#pragma once

#include <string_view>
#include <vector>

#include "base/types.h"

namespace postern::test {

struct ProgramHeader {
    u32 type = 1;
    u64 offset = 0;
    u64 physical = 0;
    u64 file_size = 0;
    u64 memory_size = 0;
};

class ElfFile {
public:
    ElfFile() : bytes(64) {
        put(0, 0x464c'457f, 4);
        put(4, 2, 1);  // 64-bit
        put(5, 1, 1);  // little-endian
        put(6, 1, 1);
        put(16, 2, 2);   // executable
        put(18, 62, 2);  // x86-64
        put(20, 1, 4);
        put(32, 64, 8);  // program headers follow the header
        put(52, 64, 2);
        put(54, 56, 2);
    }

    void put(size_t at, u64 value, size_t size) {
        if (bytes.size() < at + size) bytes.resize(at + size);
        for (size_t i = 0; i < size; ++i) bytes[at + i] = static_cast<u8>(value >> (8 * i));
    }
    void entry(u64 address) { put(24, address, 8); }
    void add(const ProgramHeader& header) {
        const size_t at = 64 + 56 * count_++;
        put(at, header.type, 4);
        put(at + 4, 5, 4);
        put(at + 8, header.offset, 8);
        put(at + 16, header.physical, 8);
        put(at + 24, header.physical, 8);
        put(at + 32, header.file_size, 8);
        put(at + 40, header.memory_size, 8);
        put(at + 48, 4096, 8);
        put(56, count_, 2);
    }
    void content(size_t at, std::string_view text) {
        for (size_t i = 0; i < text.size(); ++i) put(at + i, static_cast<u8>(text[i]), 1);
    }

    std::vector<u8> bytes;

private:
    size_t count_ = 0;
};

/// One segment of "code" at 1 MiB, entered there.
inline ElfFile small_elf() {
    ElfFile file;
    file.entry(0x10'0000);
    file.add({1, 0x1000, 0x10'0000, 4, 0x2000});
    file.content(0x1000, "code");
    return file;
}

}  // namespace postern::test
