// SPDX-License-Identifier: Apache-2.0
// Unpacking, then the ELF.
#include "platform/boot/vmlinux.h"

#include <fmt/format.h>

namespace postern::platform {

namespace {

/// The unpacked kernel uses init_size bytes: without them there is no use in unpacking it.
Expected<void> unpack_into(Vmlinux& vmlinux, const Kernel& kernel, const Layout& layout) {
    auto packed = parse_bzimage(kernel.file, kernel.name);
    if (!packed) return std::unexpected{packed.error()};
    if (!layout.is_ram(packed->pref_address, packed->init_size))
        return error(fmt::format("the kernel needs memory from {:#x} to {:#x}",
                                 packed->pref_address, packed->pref_address + packed->init_size),
                     kernel.name, "more --memory");
    auto unpacked = unpack(packed->payload, packed->init_size, kernel.name);
    if (!unpacked) return std::unexpected{unpacked.error()};
    vmlinux.packed = *packed;
    vmlinux.unpacked = std::move(*unpacked);
    vmlinux.bytes = vmlinux.unpacked.bytes();
    return {};
}

}  // namespace

Expected<Vmlinux> open_vmlinux(const Kernel& kernel, const Layout& layout) {
    Vmlinux vmlinux;
    vmlinux.bytes = kernel.file;
    if (is_bzimage(kernel.file))
        if (auto done = unpack_into(vmlinux, kernel, layout); !done)
            return std::unexpected{done.error()};
    const std::string name = kernel.name + (vmlinux.packed ? " (unpacked)" : "");
    auto image = parse_elf(vmlinux.bytes, name, layout);
    if (!image) return std::unexpected{image.error()};
    vmlinux.image = std::move(*image);
    return vmlinux;
}

}  // namespace postern::platform
