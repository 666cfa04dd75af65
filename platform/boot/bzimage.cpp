// SPDX-License-Identifier: Apache-2.0
// Reading of setup headers. Linux, "The Linux/x86 Boot Protocol".
#include "platform/boot/bzimage.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "base/bits.h"
#include "platform/boot/boot_params.h"

namespace postern::platform {

namespace {

constexpr const char* right_file = "a bzImage for x86-64 of Linux 3.8 or later";
constexpr const char* right_whole = "the whole file, as the kernel's build wrote it";

constexpr u64 sector = 512;
constexpr u64 sectors_if_zero = 4;
constexpr u64 paragraph = 16;
constexpr u64 least_address = mib;

/// Sectors of the real-mode part, the boot sector included.
u64 setup_size(std::span<const u8> file) {
    const u64 sectors = read_field(file, boot_field::setup_sects);
    return (1 + (sectors == 0 ? sectors_if_zero : sectors)) * sector;
}

u64 header_end(std::span<const u8> file) {
    return boot_field::header.offset + read_field(file, boot_field::jump_distance);
}

/// One file while it is checked.
class Reader {
public:
    Reader(std::span<const u8> file, const std::string& name) : file_{file}, name_{name} {}

    Expected<BzImage> read() const {
        for (const auto check : {&Reader::check_magic, &Reader::check_kind, &Reader::check_sizes,
                                 &Reader::check_payload, &Reader::check_placement})
            if (auto wrong = (this->*check)()) return std::unexpected{*wrong};
        return image();
    }

private:
    using Wrong = std::optional<Error>;

    [[nodiscard]] Wrong wrong(std::string what, const char* right = right_file) const {
        return Error{std::move(what), name_, right};
    }

    template <class T>
    [[nodiscard]] T get(BootField<T> field) const {
        return read_field(file_, field);
    }

    [[nodiscard]] u64 code_size() const { return u64{get(boot_field::syssize)} * paragraph; }

    [[nodiscard]] Wrong check_magic() const {
        if (file_.empty()) return wrong("the file is empty");
        if (file_.size() < boot_field::boot_flag.offset + 2)
            return wrong(fmt::format("not a bzImage ({} bytes)", file_.size()));
        if (get(boot_field::boot_flag) != boot_flag_value)
            return wrong(fmt::format("not a bzImage (no boot flag: {:#06x} at 0x1fe)",
                                     get(boot_field::boot_flag)));
        if (file_.size() < boot_field::setup_header_least_end)
            return wrong(fmt::format("truncated bzImage: {} bytes, its header needs {}",
                                     file_.size(), boot_field::setup_header_least_end),
                         right_whole);
        if (get(boot_field::header) != header_magic)
            return wrong("not a bzImage (no \"HdrS\" at 0x202)");
        return {};
    }

    [[nodiscard]] Wrong check_kind() const {
        const u16 version = get(boot_field::version);
        if (version < boot_protocol_2_12)
            return wrong(fmt::format("boot protocol {}.{:02}, not 2.12 or later", version >> 8,
                                     version & 0xff));
        if ((get(boot_field::loadflags) & loadflag_loaded_high) == 0)
            return wrong("a zImage, which is loaded below 1 MiB");
        if ((get(boot_field::xloadflags) & xloadflag_kernel_64) == 0)
            return wrong("a kernel without a 64-bit entry");
        return {};
    }

    [[nodiscard]] Wrong check_sizes() const {
        const u64 end = header_end(file_);
        if (end < boot_field::setup_header_least_end || end > boot_field::setup_header_most_end)
            return wrong(fmt::format("bzImage with a setup header that ends at {:#x}", end));
        const u64 setup = setup_size(file_);
        if (code_size() == 0) return wrong("bzImage without protected-mode code");
        if (setup + code_size() > file_.size())
            return wrong(fmt::format("truncated bzImage: {:#x} bytes of setup and {:#x} of code, "
                                     "the file ends at {:#x}",
                                     setup, code_size(), file_.size()),
                         right_whole);
        return {};
    }

    [[nodiscard]] Wrong check_payload() const {
        const u64 offset = get(boot_field::payload_offset);
        const u64 length = get(boot_field::payload_length);
        if (length == 0) return wrong("bzImage without a payload");
        if (offset + length > code_size())
            return wrong(
                fmt::format("bzImage with a payload of {:#x} bytes at {:#x} of {:#x} "
                            "bytes of code",
                            length, offset, code_size()));
        return {};
    }

    [[nodiscard]] Wrong check_placement() const {
        const u64 base = get(boot_field::pref_address);
        const u64 size = get(boot_field::init_size);
        if (!is_aligned(base, page_size) || base < least_address || base >= high_ram_base)
            return wrong(fmt::format("bzImage that wants to run at {:#x}", base),
                         "a page's address from 1 MiB to 4 GiB");
        if (size < get(boot_field::payload_length) || base + size > high_ram_base)
            return wrong(fmt::format("bzImage of {:#x} bytes when unpacked (init_size)", size),
                         "more than its packed size, and below 4 GiB where it runs");
        return {};
    }

    [[nodiscard]] BzImage image() const {
        const std::span<const u8> code = file_.subspan(setup_size(file_), code_size());
        BzImage image{};
        image.setup_header =
            file_.subspan(boot_field::setup_header, header_end(file_) - boot_field::setup_header);
        image.code = code;
        image.payload =
            code.subspan(get(boot_field::payload_offset), get(boot_field::payload_length));
        image.pref_address = get(boot_field::pref_address);
        image.init_size = get(boot_field::init_size);
        image.initrd_end = u64{get(boot_field::initrd_addr_max)} + 1;
        image.command_line_most = get(boot_field::cmdline_size);
        image.relocatable = get(boot_field::relocatable_kernel) != 0;
        image.above_4g = (get(boot_field::xloadflags) & xloadflag_above_4g) != 0;
        return image;
    }

    std::span<const u8> file_;
    const std::string& name_;
};

}  // namespace

bool is_bzimage(std::span<const u8> file) {
    return file.size() >= boot_field::header.offset + 4 &&
           read_field(file, boot_field::boot_flag) == boot_flag_value &&
           read_field(file, boot_field::header) == header_magic;
}

Expected<BzImage> parse_bzimage(std::span<const u8> file, const std::string& name) {
    return Reader{file, name}.read();
}

}  // namespace postern::platform
