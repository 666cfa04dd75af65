// SPDX-License-Identifier: Apache-2.0
// Multiboot kernels made by hand, byte by byte, for tests.
#pragma once

#include <string>
#include <vector>

#include "base/types.h"

namespace postern::test {

class MultibootFile {
public:
    void put(size_t at, u64 value, size_t size = 4) {
        if (bytes.size() < at + size) bytes.resize(at + size);
        for (size_t i = 0; i < size; ++i) bytes[at + i] = static_cast<u8>(value >> (8 * i));
    }
    void header(size_t at, u32 flags) {
        put(at, 0x1bad'b002);
        put(at + 4, flags);
        put(at + 8, 0u - (0x1bad'b002 + flags));
    }
    /// Behind the header at `at`: its own address, and the others.
    void addresses(size_t at, u32 header, u32 load, u32 load_end, u32 bss_end, u32 entry) {
        size_t place = at + 12;
        for (const u32 value : {header, load, load_end, bss_end, entry}) {
            put(place, value);
            place += 4;
        }
    }
    void code(size_t at, const std::vector<u8>& code) {
        for (size_t i = 0; i < code.size(); ++i) put(at + i, code[i], 1);
    }

    std::vector<u8> bytes;
};

/// A flat file: 16 bytes of something else, the header, then at file offset 40H the code, which
/// goes to 100040H. 1000H bytes of bss.
inline MultibootFile flat_multiboot(const std::vector<u8>& code) {
    MultibootFile file;
    file.put(0, 0x1234'5678'9abc'def0, 8);
    file.header(0x10, 1u << 16);
    file.addresses(0x10, 0x10'0010, 0x10'0000, 0, 0, 0x10'0040);
    file.code(0x40, code);
    file.put(0x10 + 24, 0x10'0000 + file.bytes.size() + 0x1000);
    return file;
}

/// An ELF32 file: the header and the code behind it in one segment at 200000H, linked at
/// c0200000H, whose entry is a linear address.
inline MultibootFile elf32_multiboot(const std::vector<u8>& code) {
    MultibootFile file;
    file.put(0, 0x464c'457f);
    file.put(4, 0x01'01'01, 3);  // 32-bit, little-endian, version 1
    file.put(16, 2, 2);          // executable
    file.put(18, 3, 2);          // 80386
    file.put(20, 1);
    file.put(24, 0xc020'0010);  // entry
    file.put(28, 52);           // program headers
    file.put(40, 52, 2);
    file.put(42, 32, 2);
    file.put(44, 1, 2);
    const size_t segment = 52;
    const u32 size = static_cast<u32>(0x10 + code.size());
    file.put(segment, 1);  // load
    file.put(segment + 4, 0x1000);
    file.put(segment + 8, 0xc020'0000);
    file.put(segment + 12, 0x20'0000);
    file.put(segment + 16, size);
    file.put(segment + 20, size + 0x2000);
    file.put(segment + 24, 7);
    file.put(segment + 28, 0x1000);
    file.header(0x1000, 0);
    file.code(0x1010, code);
    return file;
}

}  // namespace postern::test
