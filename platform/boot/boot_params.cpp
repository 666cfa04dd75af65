// SPDX-License-Identifier: Apache-2.0
// Filling the zero page. Linux, "The Linux/x86 Boot Protocol".
#include "platform/boot/boot_params.h"

#include "platform/boot/structures.h"

namespace postern::platform {

namespace {

/// The low half and the `ext_` half of an address or size.
void write_halves(std::span<u8> page, BootField<u32> low, BootField<u32> high, u64 value) {
    write_field(page, low, static_cast<u32>(value));
    write_field(page, high, static_cast<u32>(value >> 32));
}

/// An entry has 20 bytes: base, size, type.
void write_e820(std::span<u8> page, const std::vector<MemoryRange>& memory) {
    u8* entry = page.data() + boot_field::e820_table;
    for (const MemoryRange& range : memory) {
        std::memcpy(entry, &range.base, 8);
        std::memcpy(entry + 8, &range.size, 8);
        std::memcpy(entry + 16, &range.kind, 4);
        entry += 20;
    }
    write_field(page, boot_field::e820_entries, static_cast<u8>(memory.size()));
}

}  // namespace

void put_boot_parameters(const GuestRam& ram, u64 base, const BootParameters& parameters,
                         const BootTables& tables) {
    const std::span<u8> page{ram.at(base), page_size};
    put_bytes(ram, base + boot_field::setup_header, parameters.setup_header);
    const u8 loadflags = read_field(page, boot_field::loadflags);
    write_field(page, boot_field::loadflags, static_cast<u8>(loadflags & ~loadflag_kaslr));
    write_field(page, boot_field::type_of_loader, loader_undefined);
    if (parameters.load_address != 0)
        write_field(page, boot_field::code32_start, static_cast<u32>(parameters.load_address));
    write_field(page, boot_field::cmd_line_ptr, static_cast<u32>(parameters.command_line));
    write_halves(page, boot_field::ramdisk_image, boot_field::ext_ramdisk_image, parameters.initrd);
    write_halves(page, boot_field::ramdisk_size, boot_field::ext_ramdisk_size,
                 parameters.initrd_size);
    write_field(page, boot_field::acpi_rsdp_addr, tables.rsdp);
    write_e820(page, tables.memory);
}

}  // namespace postern::platform
