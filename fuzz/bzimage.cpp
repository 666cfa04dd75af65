// SPDX-License-Identifier: Apache-2.0
// Any bytes as a Linux kernel: every loader takes them or says what is wrong, and touches nothing
// but the RAM it was given. Each input is tried as it is, behind a setup header that passes the
// first checks, as the fields of a header with a payload of each format, and as what a payload
// unpacks to.
// iterations: 10000
#include <lz4.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "platform/boot/boot.h"
#include "platform/host_memory.h"

namespace {

using namespace postern;
using Bytes = std::vector<u8>;

constexpr u64 memory_size = 4 * platform::mib;
constexpr u64 run_address = 2 * platform::mib;
constexpr size_t setup_size = 5 * 512;

bool is_in(const platform::GuestRam& ram, u64 address) { return ram.layout.is_ram(address, 1); }

void load(const Bytes& file) {
    using platform::BootWay;
    for (const BootWay way : {BootWay::linux_kernel, BootWay::decompress, BootWay::pvh}) {
        auto memory = platform::HostMemory::map(memory_size);
        if (!memory) std::abort();
        platform::Kernel kernel;
        kernel.name = "fuzz";
        kernel.file = file;
        kernel.initrd.assign(file.size() % 3 * 5000, 0x5a);
        kernel.command_line.assign(file.size() % 2100, 'x');
        const platform::GuestRam ram{memory->data(), platform::layout_of(memory_size, 0)};
        const auto start =
            platform::load_kernel(way, kernel, ram, {0xe'0000, platform::memory_map(ram.layout)});
        if (!start && (start.error().what.empty() || start.error().right.empty())) std::abort();
        if (start && !(is_in(ram, start->rip) && is_in(ram, start->rsi) && is_in(ram, start->rbx)))
            std::abort();
    }
}

template <class T>
void put(Bytes& file, size_t at, T value) {
    if (file.size() < at + sizeof value) file.resize(at + sizeof value);
    std::memcpy(&file[at], &value, sizeof value);
}

/// A header that is right where it must be, with `payload` behind it.
Bytes image(const Bytes& payload) {
    Bytes file(setup_size);
    put<u8>(file, 0x1f1, 4);
    put<u16>(file, 0x1fe, 0xaa55);
    put<u16>(file, 0x200, 0x6aeb);
    put<u32>(file, 0x202, 0x5372'6448);
    put<u16>(file, 0x206, 0x020f);
    put<u8>(file, 0x211, 1);
    put<u32>(file, 0x22c, 0x7fff'ffff);
    put<u8>(file, 0x234, 1);
    put<u16>(file, 0x236, 3);
    put<u32>(file, 0x238, 2047);
    put<u32>(file, 0x248, 0x210);
    put<u32>(file, 0x24c, static_cast<u32>(payload.size()));
    put<u64>(file, 0x258, run_address);
    put<u32>(file, 0x260, 0x10'0000);
    file.resize(setup_size + 0x210);
    file.insert(file.end(), payload.begin(), payload.end());
    file.resize(setup_size + (file.size() - setup_size + 15) / 16 * 16);
    put<u32>(file, 0x1f4, static_cast<u32>((file.size() - setup_size) / 16));
    return file;
}

/// Some of the header's fields, each now and then, from the input's first bytes.
void change_fields(Bytes& file, const Bytes& input) {
    struct Field {
        size_t at;
        size_t size;
    };
    constexpr Field fields[] = {{0x1f1, 1}, {0x1f4, 4}, {0x201, 1}, {0x22c, 4},
                                {0x234, 1}, {0x236, 2}, {0x238, 4}, {0x248, 4},
                                {0x24c, 4}, {0x258, 8}, {0x260, 4}, {0x206, 2}};
    size_t from = 2;
    for (size_t n = 0; n < std::size(fields) && from + 8 < input.size(); ++n) {
        if ((input[n / 8] >> n % 8 & 1) == 0) continue;
        std::memcpy(&file[fields[n].at], &input[from], fields[n].size);
        from += fields[n].size;
    }
}

Bytes behind(std::initializer_list<u8> magic, const Bytes& input) {
    Bytes bytes{magic};
    bytes.insert(bytes.end(), input.begin(), input.end());
    return bytes;
}

/// One block of LZ4 and the size behind it: the loaders see the input itself as a vmlinux.
Bytes packed(const Bytes& input) {
    Bytes bytes{0x02, 0x21, 0x4c, 0x18, 0, 0, 0, 0};
    Bytes block(static_cast<size_t>(LZ4_compressBound(static_cast<int>(input.size()))));
    const int size = LZ4_compress_default(
        reinterpret_cast<const char*>(input.data()), reinterpret_cast<char*>(block.data()),
        static_cast<int>(input.size()), static_cast<int>(block.size()));
    bytes.insert(bytes.end(), block.begin(), block.begin() + size);
    put<u32>(bytes, 4, static_cast<u32>(size));
    put<u32>(bytes, bytes.size(), static_cast<u32>(input.size()));
    return bytes;
}

/// Half of the inputs behind a note with a PVH entry in the segment, or just outside.
Bytes behind_a_note(const Bytes& input) {
    if (input[0] % 2 == 0) return input;
    Bytes bytes =
        behind({4, 0, 0, 0, 4, 0, 0, 0, 18, 0, 0, 0, 'X', 'e', 'n', 0, 0, 0, 0, 0}, input);
    put<u32>(bytes, 16, static_cast<u32>(run_address + input.back() * 4));
    return bytes;
}

/// A vmlinux with a segment where it is to run and one of notes, both from the input.
Bytes kernel_of(const Bytes& input) {
    Bytes elf{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 62, 0, 1, 0, 0, 0};
    put<u64>(elf, 24, run_address);
    put<u64>(elf, 32, 64);
    put<u16>(elf, 54, 56);
    put<u16>(elf, 56, 2);
    elf.resize(64 + 2 * 56);
    for (size_t n = 0; n < 2; ++n) {
        const size_t at = 64 + n * 56;
        put<u32>(elf, at, n == 0 ? 1 : 4);
        put<u64>(elf, at + 8, 64 + 2 * 56);
        put<u64>(elf, at + 24, run_address);
        put<u64>(elf, at + 32, input.size());
        put<u64>(elf, at + 40, u64{input.size()} + input[0] * u64{0x2000});
    }
    elf.insert(elf.end(), input.begin(), input.end());
    return elf;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const Bytes input{data, data + size};
    load(input);
    Bytes file = image(input);
    change_fields(file, input);
    load(file);
    load(image(behind({0xfd, '7', 'z', 'X', 'Z', 0, 0, 1, 0x69, 0x22, 0xde, 0x36}, input)));
    load(image(behind({0x5d, 0, 0, 0x10, 0}, input)));
    load(image(behind({0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3}, input)));
    load(image(behind({0x28, 0xb5, 0x2f, 0xfd}, input)));
    load(image(behind({0x02, 0x21, 0x4c, 0x18, static_cast<u8>(size - 4), 0, 0, 0}, input)));
    load(image(packed(input)));
    load(image(packed(kernel_of(behind_a_note(input)))));
    return 0;
}
