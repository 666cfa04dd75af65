// SPDX-License-Identifier: Apache-2.0
// OASIS, "Virtual I/O Device (VIRTIO) Version 1.1", "The Virtqueue Descriptor Table" and "Indirect
// Descriptors".
#include "platform/device/virtio_chain.h"

#include <algorithm>

namespace postern::platform {

namespace {

enum DescriptorFlag : u16 { has_next = 1, device_writes = 2, is_indirect = 4 };

struct Descriptor {
    u64 address;
    u32 size;
    u16 flags;
    u16 next;
};
static_assert(sizeof(Descriptor) == VirtioDescriptors::size);

/// The table that descriptors are taken from at the moment.
struct Table {
    u64 address;
    u32 count;
    bool may_refer;  // to another one
};

/// "A driver MUST NOT set both INDIRECT and NEXT", nor nest tables.
bool enter(const Dma& dma, const Descriptor& d, Table& table) {
    const bool right = table.may_refer && (d.flags & has_next) == 0 && d.size != 0 &&
                       d.size % sizeof(Descriptor) == 0 && dma.holds(d.address, d.size);
    if (right) table = {d.address, static_cast<u32>(d.size / sizeof(Descriptor)), false};
    return right;
}

/// Readable buffers come first.
bool add(const Dma& dma, const Descriptor& d, VirtioRequest& request) {
    const bool writes = (d.flags & device_writes) != 0;
    if (!writes && !request.writable.empty()) return false;
    if (d.size != 0 && !dma.holds(d.address, d.size)) return false;
    (writes ? request.writable : request.readable).push_back({d.address, d.size});
    return true;
}

}  // namespace

/// No chain is longer than the longest queue, nor has more than 4 GiB: one that loops ends here.
bool gather_chain(const Dma& dma, const VirtioDescriptors& descriptors, VirtioRequest& request) {
    constexpr unsigned longest = VirtioDescriptors::count_most + 1;  // and one that refers
    constexpr u64 largest = u64{1} << 32;
    Table table{descriptors.address, descriptors.count, descriptors.indirect};
    u32 next = request.head;
    u64 bytes = 0;
    for (unsigned n = 0; n < longest; ++n) {
        Descriptor d{};
        if (next >= table.count || !dma.get(table.address + sizeof d * u64{next}, d)) return false;
        if ((d.flags & is_indirect) != 0) {
            if (!enter(dma, d, table)) return false;
            next = 0;
            continue;
        }
        bytes += d.size;
        if (bytes > largest || !add(dma, d, request)) return false;
        if ((d.flags & has_next) == 0) return true;
        next = d.next;
    }
    return false;
}

VirtioBuffer VirtioStream::next(u64 most) {
    while (buffers_[index_].size == at_) ++index_, at_ = 0;
    const VirtioBuffer& b = buffers_[index_];
    const auto count = static_cast<u32>(std::min<u64>(most, b.size - at_));
    const VirtioBuffer piece{b.address + at_, count};
    at_ += count;
    left_ -= count;
    return piece;
}

}  // namespace postern::platform
