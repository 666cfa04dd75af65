// SPDX-License-Identifier: Apache-2.0
// The items and the two registers. QEMU, "QEMU Firmware Configuration (fw_cfg) Device".
#include "platform/device/fw_cfg.h"

#include <algorithm>
#include <cstring>

namespace postern::platform {

namespace {

enum Key : u16 {
    key_signature = 0x0000,
    key_interfaces = 0x0001,
    key_ram_size = 0x0003,
    key_processors = 0x0005,
    key_most_processors = 0x000f,
    key_directory = 0x0019,
    key_first_file = 0x0020,
};

constexpr u32 traditional_interface = 1;
/// Set in a selector to write: no item can be.
constexpr u16 write_channel = 0x4000;

constexpr size_t file_name_size = 56;

template <class T>
void append(std::vector<u8>& item, T value) {
    for (size_t n = 0; n < sizeof value; ++n) item.push_back(static_cast<u8>(value >> 8 * n));
}

/// The directory's numbers have their most significant byte first.
void append_big(std::vector<u8>& item, u32 value, unsigned size) {
    for (unsigned n = size; n-- > 0;) item.push_back(static_cast<u8>(value >> 8 * n));
}

template <class T>
std::vector<u8> number(T value) {
    std::vector<u8> item;
    append(item, value);
    return item;
}

/// The format of the BIOS's e820 function: base, size, kind.
std::vector<u8> e820(const Layout& layout) {
    std::vector<u8> item;
    for (const MemoryRange& memory : memory_map(layout)) {
        append(item, memory.base);
        append(item, memory.size);
        append(item, static_cast<u32>(memory.kind));
    }
    return item;
}

}  // namespace

FwCfg::FwCfg(const Layout& layout, unsigned processors) {
    items_[key_signature] = {'Q', 'E', 'M', 'U'};
    items_[key_interfaces] = number(traditional_interface);
    items_[key_ram_size] = number(layout.ram_size());
    items_[key_processors] = number(static_cast<u16>(processors));
    items_[key_most_processors] = number(static_cast<u16>(processors));
    items_[key_directory] = {0, 0, 0, 0};
    add_file("etc/e820", e820(layout));
}

void FwCfg::add_file(std::string_view name, Item content) {
    Item& directory = items_[key_directory];
    const u8 files = directory[3]++;
    const auto key = static_cast<u16>(key_first_file + files);
    append_big(directory, static_cast<u32>(content.size()), 4);
    append_big(directory, key, 2);
    append_big(directory, 0, 2);
    const size_t end = directory.size() + file_name_size;
    directory.insert(directory.end(), name.begin(), name.end());
    directory.resize(end);
    items_[key] = std::move(content);
}

/// The data register has one byte; what is wider reads the bytes that follow.
u32 FwCfg::port_read(u16 offset, unsigned size) {
    if (offset == 0) return 0;
    const auto item = items_.find(static_cast<u16>(state_.selected));
    u32 value = 0;
    for (unsigned n = 0; n < size; ++n) {
        if (item == items_.end() || state_.position >= item->second.size()) break;
        value |= u32{item->second[state_.position++]} << 8 * n;
    }
    return value;
}

void FwCfg::port_write(u16 offset, unsigned size, u32 value) {
    if (offset != 0 || size < 2) return;
    state_.selected = value & ~u32{write_channel} & 0xffff;
    state_.position = 0;
}

}  // namespace postern::platform
