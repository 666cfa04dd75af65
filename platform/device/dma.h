// SPDX-License-Identifier: Apache-2.0
// Physical memory as a bus master sees it: RAM, bounds-checked; EPC reads as ones and drops writes.
// What is written drops the code that processors have cached of it. The devices of a guest see the
// guest's memory, and nothing else.
#pragma once

#include <span>
#include <vector>

#include "cpu/system.h"
#include "platform/layout.h"

namespace postern::platform {

/// Where a guest's memory lies in the machine's.
struct DmaMap {
    std::vector<Stretch> ram;
    u64 epc_base = 0;
    u64 epc_size = 0;
};

class Dma {
public:
    /// `system` must outlive this, and so must `map`. Null: addresses are the machine's.
    explicit Dma(cpu::System& system, const DmaMap* map = nullptr) : system_{&system}, map_{map} {}

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
    [[nodiscard]] bool is_epc(u64 address) const;
    /// Null where there is no RAM; valid to the end of its page.
    [[nodiscard]] u8* pointer(u64 address) const;

    cpu::System* system_;
    const DmaMap* map_;
};

}  // namespace postern::platform
