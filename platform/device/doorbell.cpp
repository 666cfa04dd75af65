// SPDX-License-Identifier: Apache-2.0
// Records, and nothing else.
#include "platform/device/doorbell.h"

namespace postern::platform {

void Doorbell::record(u64 offset, unsigned size, u64 value, bool write) {
    if (rings_.size() < kept)
        rings_.push_back({count_, value, static_cast<u32>(offset), size, write});
    ++count_;
}

u64 Doorbell::mmio_read(u64 offset, unsigned size) {
    const u64 value = (load_value + offset) & all_ones(size);
    record(offset, size, value, false);
    return value;
}

void Doorbell::mmio_write(u64 offset, unsigned size, u64 value) {
    record(offset, size, value & all_ones(size), true);
}

DoorbellFunction::DoorbellFunction(Doorbell& doorbell)
    : PciFunction{{vendor, device, 0xff'00'00, 0, vendor, device, "doorbell"}},
      doorbell_{&doorbell} {
    define_bar(0, BarKind::memory, page_size);
}

u64 DoorbellFunction::bar_read(unsigned, u64 offset, unsigned size) {
    return doorbell_->mmio_read(offset, size);
}

void DoorbellFunction::bar_write(unsigned, u64 offset, unsigned size, u64 value) {
    doorbell_->mmio_write(offset, size, value);
}

u64 DoorbellFunction::address() const { return bar_address(0); }

}  // namespace postern::platform
