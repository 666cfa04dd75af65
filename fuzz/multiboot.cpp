// SPDX-License-Identifier: Apache-2.0
// Any bytes as a Multiboot kernel: the loader takes them or says what is wrong, and touches nothing
// but the RAM it was given. Each input is tried as it is, behind a header with a right checksum, as
// that header's flags and addresses, as the program headers of an ELF32 file, and packed.
// iterations: 10000
#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "platform/boot/multiboot.h"
#include "platform/host_memory.h"

namespace {

using namespace postern;
using Bytes = std::vector<u8>;

constexpr u64 memory_size = 4 * platform::mib;

bool is_in(const platform::GuestRam& ram, u64 address) { return ram.layout.is_ram(address, 1); }

void load(const Bytes& file) {
    auto memory = platform::HostMemory::map(memory_size);
    if (!memory) std::abort();
    platform::Kernel kernel;
    kernel.name = "fuzz";
    kernel.file = file;
    kernel.command_line.assign(file.size() % 5000, 'x');
    for (size_t n = 0; n < file.size() % 4; ++n)
        kernel.modules.push_back({"module", Bytes(n * 3000, 0x5a), std::string(n * 7, 'm')});
    const platform::GuestRam ram{memory->data(), platform::layout_of(memory_size, 0)};
    const auto start =
        platform::load_multiboot(kernel, ram, {0xe'0000, platform::memory_map(ram.layout)});
    if (!start && (start.error().what.empty() || start.error().right.empty())) std::abort();
    if (start && !(is_in(ram, start->rip) && is_in(ram, start->rbx) && is_in(ram, start->gdt_base)))
        std::abort();
}

void put(Bytes& file, size_t at, u64 value, size_t size = 4) {
    if (file.size() < at + size) file.resize(at + size);
    std::memcpy(&file[at], &value, size);
}

u32 field(const Bytes& input, size_t at) {
    u32 value = 0;
    if (at + sizeof value <= input.size()) std::memcpy(&value, &input[at], sizeof value);
    return value;
}

void put_header(Bytes& file, size_t at, u32 flags) {
    put(file, at, platform::multiboot_header_magic);
    put(file, at + 4, flags);
    put(file, at + 8, 0u - (platform::multiboot_header_magic + flags));
}

/// A header whose addresses lie in memory and in order, or just do not.
Bytes flat(const Bytes& input) {
    constexpr u32 base = 0x10'0000;
    Bytes file;
    const size_t at = field(input, 0) % 64 * 4;
    put_header(file, at, 1u << 16 | (field(input, 4) % 8 == 0 ? field(input, 8) : 3));
    const u32 load = base + field(input, 12) % 0x1000;
    put(file, at + 12, load + at - field(input, 16) % 4);
    put(file, at + 16, load);
    put(file, at + 20, input[0] % 2 == 0 ? 0 : load + field(input, 20) % 0x400);
    put(file, at + 24, input[0] % 4 < 2 ? 0 : load + field(input, 24) % 0x40'0000);
    put(file, at + 28, load + field(input, 28) % 0x200);
    file.insert(file.end(), input.begin(), input.end());
    return file;
}

/// An ELF32 file of up to four program headers from the input.
Bytes elf32(const Bytes& input) {
    constexpr size_t table = 52, entry_size = 32;
    Bytes file{0x7f, 'E', 'L', 'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 1, 0, 0, 0};
    const u16 count = input[0] % 4 + 1;
    put(file, 24, 0xc010'0000 + field(input, 0) % 0x100);
    put(file, 28, table);
    put(file, 42, entry_size, 2);
    put(file, 44, count, 2);
    file.resize(table + count * entry_size);
    for (size_t n = 0; n < count; ++n) {
        const size_t at = table + n * entry_size, from = 4 + n * 16;
        put(file, at, input[0] % 8 < 6 ? 1 : field(input, from) % 5);
        put(file, at + 4, field(input, from) % (input.size() + 200));
        put(file, at + 8, 0xc010'0000 + n * 0x4000);
        put(file, at + 12, 0x10'0000 + n * 0x4000 + field(input, from + 4) % 0x5000);
        put(file, at + 16, field(input, from + 8) % (input.size() + 10));
        put(file, at + 20, field(input, from + 12) % 0x6000);
    }
    put_header(file, (file.size() + 3) / 4 * 4, field(input, 1) % 4);
    file.insert(file.end(), input.begin(), input.end());
    return file;
}

Bytes packed(const Bytes& plain) {
    z_stream stream{};
    if (deflateInit2(&stream, 1, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        std::abort();
    Bytes out(deflateBound(&stream, plain.size()) + 32);
    Bytes in = plain;
    stream.next_in = in.data();
    stream.avail_in = static_cast<uInt>(in.size());
    stream.next_out = out.data();
    stream.avail_out = static_cast<uInt>(out.size());
    deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const Bytes input{data, data + size};
    load(input);
    Bytes behind;
    put_header(behind, 0, field(input, 0));
    behind.insert(behind.end(), input.begin(), input.end());
    load(behind);
    load(flat(input));
    load(elf32(input));
    load(packed(flat(input)));
    Bytes damaged = packed(elf32(input));
    damaged[field(input, 0) % damaged.size()] ^= input[0];
    load(damaged);
    return 0;
}
