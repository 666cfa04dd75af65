// SPDX-License-Identifier: Apache-2.0
// Physical memory as a bus master sees it: RAM, bounds-checked; EPC reads as ones and drops writes.
// What is written drops the code that processors have cached of it.
#pragma once

#include <span>

#include "cpu/system.h"

namespace postern::platform {

class Dma {
public:
    /// `system` must outlive this.
    explicit Dma(cpu::System& system) : system_{&system} {}

    /// False: a byte of it is neither RAM nor EPC, and those before it have been moved.
    [[nodiscard]] bool read(u64 address, std::span<u8> to) const;
    [[nodiscard]] bool write(u64 address, std::span<const u8> from) const;

    /// All of it is RAM.
    [[nodiscard]] bool holds(u64 address, u64 size) const;

    template <class T>
    [[nodiscard]] bool get(u64 address, T& value) const {
        return read(address, {reinterpret_cast<u8*>(&value), sizeof value});
    }
    template <class T>
    [[nodiscard]] bool put(u64 address, const T& value) const {
        return write(address, {reinterpret_cast<const u8*>(&value), sizeof value});
    }

private:
    cpu::System* system_;
};

}  // namespace postern::platform
