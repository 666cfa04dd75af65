// SPDX-License-Identifier: Apache-2.0
// Page by page.
#include "platform/device/dma.h"

#include <algorithm>
#include <cstring>

#include "cpu/decode/block_cache.h"

namespace postern::platform {

namespace {

size_t in_page(u64 address, size_t left) {
    return std::min<size_t>(left, page_size - address % page_size);
}

bool is_within(u64 address, u64 size, u64 base, u64 length) {
    return address - base <= length && size <= length - (address - base);
}

}  // namespace

bool Dma::is_epc(u64 address) const {
    if (map_ == nullptr) return system_->memory.is_epc(Hpa{address});
    return address - map_->epc_base < map_->epc_size;
}

u8* Dma::pointer(u64 address) const {
    if (map_ == nullptr) return system_->memory.pointer(Hpa{address});
    for (const Stretch& stretch : map_->ram)
        if (address - stretch.guest < stretch.size)
            return system_->memory.pointer(Hpa{address - stretch.guest + stretch.machine});
    return nullptr;
}

/// Of what lies in one piece in the guest but not in the machine, each half is asked for.
bool Dma::holds(u64 address, u64 size) const {
    if (map_ != nullptr) {
        while (size != 0) {
            const auto in = std::ranges::find_if(
                map_->ram, [&](const Stretch& s) { return address - s.guest < s.size; });
            if (in == map_->ram.end()) return false;
            const u64 here = std::min(size, in->size - (address - in->guest));
            address += here;
            size -= here;
        }
        return true;
    }
    const cpu::PhysicalMemory& memory = system_->memory;
    return is_within(address, size, 0, memory.low_size) ||
           is_within(address, size, cpu::PhysicalMemory::high_base, memory.high_size);
}

bool Dma::read(u64 address, std::span<u8> to) const {
    while (!to.empty()) {
        const size_t count = in_page(address, to.size());
        if (is_epc(address))
            std::memset(to.data(), 0xff, count);
        else if (const u8* from = pointer(address))
            std::memcpy(to.data(), from, count);
        else
            return false;
        to = to.subspan(count);
        address += count;
    }
    return true;
}

bool Dma::write(u64 address, std::span<const u8> from) const {
    while (!from.empty()) {
        const size_t count = in_page(address, from.size());
        if (!is_epc(address)) {
            u8* const to = pointer(address);
            if (to == nullptr) return false;
            cpu::about_to_write(*system_, to, count);
            std::memcpy(to, from.data(), count);
        }
        from = from.subspan(count);
        address += count;
    }
    return true;
}

}  // namespace postern::platform
