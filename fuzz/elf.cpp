// SPDX-License-Identifier: Apache-2.0
// Any bytes as a kernel: the loader takes them or says what is wrong, and touches nothing but the
// RAM it was given. Each input is tried as it is, behind a header that passes the first checks, and
// with segments that pass most others.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "platform/boot/start.h"
#include "platform/host_memory.h"

namespace {

using namespace postern;

constexpr u64 memory_size = 2 * platform::mib;

/// The first 24 bytes of an ELF64 executable for x86-64.
constexpr u8 header[24] = {0x7f, 'E', 'L', 'F', 2, 1, 1,  0, 0, 0, 0, 0,
                           0,    0,   0,   0,   2, 0, 62, 0, 1, 0, 0, 0};

void load(std::vector<u8> file) {
    auto memory = platform::HostMemory::map(memory_size);
    if (!memory) std::abort();
    platform::Kernel kernel;
    kernel.name = "fuzz";
    kernel.file = std::move(file);
    const platform::GuestRam ram{memory->data(), platform::layout_of(memory_size, 0)};
    const auto start = platform::load_elf(kernel, ram);
    if (!start && (start.error().what.empty() || start.error().right.empty())) std::abort();
    if (start && !ram.layout.is_ram(start->rip, 1)) std::abort();
}

u64 field(const std::vector<u8>& file, size_t at) {
    u64 value = 0;
    std::memcpy(&value, &file[at], sizeof value);
    return value;
}

void set_field(std::vector<u8>& file, size_t at, u64 value) {
    std::memcpy(&file[at], &value, sizeof value);
}

/// A table of program headers right behind the header, with entries of the right size.
void repair_table(std::vector<u8>& file) {
    const u16 entry_size = 56;
    const u16 count = file[56] % 4 + 1;
    set_field(file, 32, 64);
    std::memcpy(&file[54], &entry_size, sizeof entry_size);
    std::memcpy(&file[56], &count, sizeof count);
}

/// Segments that lie in the file and in memory, or just do not.
void repair_segments(std::vector<u8>& file) {
    constexpr u64 table = 64;
    constexpr u64 entry_size = 56;
    for (u64 at = table; at + entry_size <= file.size() && at < table + 4 * entry_size;
         at += entry_size) {
        set_field(file, at, u64{1} | u64{5} << 32);
        set_field(file, at + 8, field(file, at + 8) % (file.size() + 2));
        set_field(file, at + 24, field(file, at + 24) % (memory_size + 0x1000));
        set_field(file, at + 32, field(file, at + 32) % (file.size() + 2));
        set_field(file, at + 40, field(file, at + 40) % 0x2'0000);
        if (at == table) set_field(file, 24, field(file, at + 24));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    load({data, data + size});
    std::vector<u8> file{data, data + size};
    file.insert(file.begin(), std::begin(header), std::end(header));
    if (file.size() >= 64) {
        repair_table(file);
        load(file);
        repair_segments(file);
    }
    load(std::move(file));
    return 0;
}
