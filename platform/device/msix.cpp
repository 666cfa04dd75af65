// SPDX-License-Identifier: Apache-2.0
// PCI Local Bus Specification 3.0, "MSI-X Capability and Table Structures".
#include "platform/device/msix.h"

#include <cstring>

namespace postern::platform {

namespace {

constexpr u64 entry_size = 16;
static_assert(sizeof(Msix::Entry) == entry_size);

/// "Software must use aligned DWORD or QWORD transactions"; others do nothing.
bool is_aligned_transaction(u64 offset, unsigned size) {
    return (size == 4 || size == 8) && offset % size == 0;
}

}  // namespace

u64 Msix::read(u64 offset, unsigned size) const {
    u64 value = 0;
    if (!is_aligned_transaction(offset, size)) return value;
    if (offset >= pending_offset) {
        if (offset < pending_offset + sizeof state_.pending)
            value = state_.pending >> (8 * (offset - pending_offset));
        return size == 4 ? value & 0xffff'ffff : value;
    }
    if (offset + size <= vectors_ * entry_size)
        std::memcpy(&value, reinterpret_cast<const u8*>(state_.entries.data()) + offset, size);
    return value;
}

void Msix::write(u64 offset, unsigned size, u64 value) {
    if (!is_aligned_transaction(offset, size) || offset + size > vectors_ * entry_size) return;
    Entry& entry = state_.entries[offset / entry_size];
    std::memcpy(reinterpret_cast<u8*>(&entry) + offset % entry_size, &value, size);
    entry.address &= ~u64{3};
    entry.control &= masked;
}

void Msix::request(unsigned vector) {
    if (vector < vectors_) state_.pending |= u64{1} << vector;
}

}  // namespace postern::platform
