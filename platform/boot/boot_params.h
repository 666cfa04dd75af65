// SPDX-License-Identifier: Apache-2.0
// Linux's boot parameters: the fields of the "zero page" and of the setup header, which has the
// same offsets in a bzImage. Linux, "The Linux/x86 Boot Protocol" and "Zero Page".
#pragma once

#include <cstring>
#include <span>

#include "platform/boot/start.h"

namespace postern::platform {

template <class T>
struct BootField {
    size_t offset;
};

namespace boot_field {
// The zero page alone.
inline constexpr BootField<u64> acpi_rsdp_addr{0x070};
inline constexpr BootField<u32> ext_ramdisk_image{0x0c0};
inline constexpr BootField<u32> ext_ramdisk_size{0x0c4};
inline constexpr BootField<u8> e820_entries{0x1e8};
inline constexpr size_t e820_table = 0x2d0;
inline constexpr size_t e820_most = 128;
// The setup header.
inline constexpr size_t setup_header = 0x1f1;
inline constexpr BootField<u8> setup_sects{0x1f1};
inline constexpr BootField<u32> syssize{0x1f4};
inline constexpr BootField<u16> boot_flag{0x1fe};
inline constexpr BootField<u8> jump_distance{0x201};  // from `header`: where the header ends
inline constexpr BootField<u32> header{0x202};
inline constexpr BootField<u16> version{0x206};
inline constexpr BootField<u8> type_of_loader{0x210};
inline constexpr BootField<u8> loadflags{0x211};
inline constexpr BootField<u32> code32_start{0x214};
inline constexpr BootField<u32> ramdisk_image{0x218};
inline constexpr BootField<u32> ramdisk_size{0x21c};
inline constexpr BootField<u32> cmd_line_ptr{0x228};
inline constexpr BootField<u32> initrd_addr_max{0x22c};
inline constexpr BootField<u32> kernel_alignment{0x230};
inline constexpr BootField<u8> relocatable_kernel{0x234};
inline constexpr BootField<u16> xloadflags{0x236};
inline constexpr BootField<u32> cmdline_size{0x238};
inline constexpr BootField<u32> payload_offset{0x248};
inline constexpr BootField<u32> payload_length{0x24c};
inline constexpr BootField<u64> pref_address{0x258};
inline constexpr BootField<u32> init_size{0x260};
inline constexpr size_t setup_header_least_end = 0x264;
inline constexpr size_t setup_header_most_end = 0x290;
}  // namespace boot_field

inline constexpr u16 boot_flag_value = 0xaa55;
inline constexpr u32 header_magic = 0x5372'6448;  // "HdrS"
inline constexpr u16 boot_protocol_2_12 = 0x020c;
inline constexpr u8 loader_undefined = 0xff;

inline constexpr u8 loadflag_loaded_high = 1 << 0;
inline constexpr u8 loadflag_kaslr = 1 << 1;

inline constexpr u16 xloadflag_kernel_64 = 1 << 0;
inline constexpr u16 xloadflag_above_4g = 1 << 1;

/// `bytes` are a zero page, or a bzImage from its beginning, and hold the field.
template <class T>
T read_field(std::span<const u8> bytes, BootField<T> field) {
    T value{};
    std::memcpy(&value, bytes.data() + field.offset, sizeof value);
    return value;
}

template <class T>
void write_field(std::span<u8> bytes, BootField<T> field, T value) {
    std::memcpy(bytes.data() + field.offset, &value, sizeof value);
}

/// What a kernel is told beside its own setup header.
struct BootParameters {
    std::span<const u8> setup_header;  // of the bzImage, from its offset 1F1H on
    u64 command_line;                  // physical
    u64 initrd;
    u64 initrd_size;
    u64 load_address;  // where the protected-mode code lies; 0: unpacked, it lies nowhere
};

/// The zero page at `base`, which is zero.
void put_boot_parameters(const GuestRam& ram, u64 base, const BootParameters& parameters,
                         const BootTables& tables);

}  // namespace postern::platform
