// SPDX-License-Identifier: Apache-2.0
// The ELF of a kernel, whether it comes plain or inside a bzImage.
#pragma once

#include <optional>

#include "platform/boot/bzimage.h"
#include "platform/boot/payload.h"
#include "platform/boot/start.h"

namespace postern::platform {

struct Vmlinux {
    std::optional<BzImage> packed;  // the bzImage that it came in
    Unpacked unpacked;
    std::span<const u8> bytes;  // the ELF: in `unpacked`, or the kernel's file itself
    ElfImage image;
};

/// The result points into `kernel`.
Expected<Vmlinux> open_vmlinux(const Kernel& kernel, const Layout& layout);

}  // namespace postern::platform
