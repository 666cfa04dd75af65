// SPDX-License-Identifier: Apache-2.0
// VIRTIO 1.1, "Block Device".
#include "platform/device/virtio_blk.h"

#include <algorithm>
#include <cstring>

namespace postern::platform {

namespace {

constexpr u16 block_device = 2;
constexpr u32 storage_class = 0x01'80'00;
constexpr u64 feature_seg_max = 1 << 2;
constexpr u64 feature_flush = 1 << 9;

enum class Type : u32 { in = 0, out = 1, flush = 4, get_id = 8 };
enum Result : u8 { done = 0, failed = 1, unsupported = 2 };

struct Header {
    Type type;
    u32 reserved;
    u64 sector;
};
static_assert(sizeof(Header) == 16);

constexpr u64 piece_most = 64 << 10;

/// Calls f(piece, offset in the run) for `count` bytes, as long as it gives true.
template <class F>
bool for_pieces(VirtioStream& stream, u64 count, F f) {
    for (u64 at = 0; at < count;) {
        const VirtioBuffer piece = stream.next(std::min(count - at, piece_most));
        if (!f(piece, at)) return false;
        at += piece.size;
    }
    return true;
}

bool read_all(const Dma& dma, VirtioStream& from, std::span<u8> to) {
    return from.left() >= to.size() &&
           for_pieces(from, to.size(), [&](const VirtioBuffer& piece, u64 at) {
               return dma.read(piece.address, to.subspan(at, piece.size));
           });
}

bool write_all(const Dma& dma, VirtioStream& to, std::span<const u8> from) {
    return to.left() >= from.size() &&
           for_pieces(to, from.size(), [&](const VirtioBuffer& piece, u64 at) {
               return dma.write(piece.address, from.subspan(at, piece.size));
           });
}

bool on_disk(const Disk& disk, u64 sector, u64 count) {
    const u64 sectors = disk.size() / Disk::sector_size;
    return count % Disk::sector_size == 0 && sector <= sectors &&
           count / Disk::sector_size <= sectors - sector;
}

Result read_disk(const Disk& disk, const Dma& dma, u64 sector, VirtioStream& to, u64 count) {
    if (!on_disk(disk, sector, count)) return failed;
    std::vector<u8> bytes(std::min(count, piece_most));
    const bool good = for_pieces(to, count, [&](const VirtioBuffer& piece, u64 at) {
        const std::span<u8> part{bytes.data(), piece.size};
        return disk.read(sector * Disk::sector_size + at, part) && dma.write(piece.address, part);
    });
    return good ? done : failed;
}

Result write_disk(const Disk& disk, const Dma& dma, u64 sector, VirtioStream& from) {
    const u64 count = from.left();
    if (!on_disk(disk, sector, count)) return failed;
    std::vector<u8> bytes(std::min(count, piece_most));
    const bool good = for_pieces(from, count, [&](const VirtioBuffer& piece, u64 at) {
        const std::span<u8> part{bytes.data(), piece.size};
        return dma.read(piece.address, part) && disk.write(sector * Disk::sector_size + at, part);
    });
    return good ? done : failed;
}

Result give_name(const Dma& dma, VirtioStream& to, u64 count) {
    std::array<u8, 20> name{};
    std::memcpy(name.data(), "postern", 7);
    const std::span<const u8> part{name.data(), std::min<size_t>(name.size(), count)};
    return write_all(dma, to, part) ? done : failed;
}

}  // namespace

VirtioBlk::VirtioBlk(const Disk& disk, const Dma& dma)
    : VirtioPci{block_device, "virtio-blk", storage_class, feature_seg_max | feature_flush, 1, dma},
      disk_{&disk} {}

u8 VirtioBlk::device_config(u64 offset) const {
    struct Config {
        u64 capacity;
        u32 size_max;
        u32 seg_max;
    };
    // A header and a status byte take two descriptors.
    const Config config{disk_->size() / Disk::sector_size, 0, queue_size_most - 2};
    return offset < sizeof config ? reinterpret_cast<const u8*>(&config)[offset] : u8{0};
}

void VirtioBlk::notified(unsigned queue) {
    // A ring that its own requests refill must not keep us here.
    VirtioRequest request;
    for (unsigned n = 0; n < queue_size_most && take(queue, request); ++n) serve(request);
}

void VirtioBlk::serve(const VirtioRequest& request) {
    VirtioStream in{request.readable};
    VirtioStream out{request.writable};
    Header header{};
    const std::span<u8> header_bytes{reinterpret_cast<u8*>(&header), sizeof header};
    if (out.left() == 0 || !read_all(dma(), in, header_bytes)) return break_down();
    const u64 room = out.left() - 1;  // before the status
    Result result = unsupported;
    switch (header.type) {
        case Type::in: result = read_disk(*disk_, dma(), header.sector, out, room); break;
        case Type::out: result = write_disk(*disk_, dma(), header.sector, in); break;
        case Type::flush: result = disk_->flush() ? done : failed; break;
        case Type::get_id: result = give_name(dma(), out, room); break;
    }
    while (out.left() > 1) static_cast<void>(out.next(out.left() - 1));
    const VirtioBuffer status = out.next(1);
    if (!dma().put(status.address, result)) return break_down();
    const bool reads = header.type == Type::in || header.type == Type::get_id;
    complete(0, request.head, static_cast<u32>(result == done && reads ? room + 1 : 1));
}

}  // namespace postern::platform
