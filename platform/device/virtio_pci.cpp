// SPDX-License-Identifier: Apache-2.0
// OASIS, "Virtual I/O Device (VIRTIO) Version 1.1": "Virtio Over PCI Bus" and "Split Virtqueues".
#include "platform/device/virtio_pci.h"

#include <cstring>

namespace postern::platform {

namespace {

constexpr u16 vendor = 0x1af4;
constexpr u16 first_modern_device = 0x1040;

constexpr u64 feature_version_1 = u64{1} << 32;

enum Status : u8 { features_ok = 8, driver_ok = 4, needs_reset = 0x40 };
enum InterruptCause : u8 { queue_cause = 1, configuration_cause = 2 };

enum DescriptorFlag : u16 { has_next = 1, device_writes = 2, is_indirect = 4 };
constexpr u16 no_interrupt = 1;  // flags of the available ring
constexpr u16 no_vector = 0xffff;

struct Descriptor {
    u64 address;
    u32 size;
    u16 flags;
    u16 next;
};
static_assert(sizeof(Descriptor) == 16);

/// "Common configuration structure layout".
struct CommonConfig {
    u32 device_feature_select;
    u32 device_feature;
    u32 driver_feature_select;
    u32 driver_feature;
    u16 msix_config;
    u16 queue_count;
    u8 status;
    u8 generation;
    u16 queue_select;
    u16 queue_size;
    u16 queue_msix_vector;
    u16 queue_enable;
    u16 queue_notify_offset;
    u64 queue_descriptors;
    u64 queue_driver;
    u64 queue_device;
};
static_assert(sizeof(CommonConfig) == 56 && offsetof(CommonConfig, queue_descriptors) == 32);

constexpr u32 half(u64 word, u32 select) {
    return select < 2 ? static_cast<u32>(word >> (32 * select)) : 0;
}

/// One half of a 64-bit register, or all of it.
void set_part(u64& to, u64 offset, unsigned size, u64 value) {
    if (size == 8 && offset == 0) to = value;
    if (size != 4) return;
    const unsigned shift = offset == 0 ? 0 : 32;
    to = (to & ~(u64{0xffff'ffff} << shift)) | (value & 0xffff'ffff) << shift;
}

}  // namespace

VirtioPci::VirtioPci(u16 type, u32 class_code, u64 features, unsigned queues, const Dma& dma)
    : PciFunction{{vendor, static_cast<u16>(first_modern_device + type), class_code, 1, vendor,
                   static_cast<u16>(first_modern_device + type)}},
      features_{features}, queues_{queues}, dma_{dma} {
    define_bar(0, BarKind::memory, bar_size);
    add_capabilities();
}

/// "Virtio Structure PCI Capabilities".
void VirtioPci::add_capabilities() {
    struct Capability {
        u8 type;
        u8 length;
        u32 offset;
        u32 size;
    };
    constexpr Capability capabilities[] = {{1, 16, common_offset, sizeof(CommonConfig)},
                                           {3, 16, interrupt_offset, 4},
                                           {4, 16, device_offset, 0x100},
                                           {2, 20, notify_offset, 4}};
    constexpr u32 vendor_specific = 9, first = 0x40, status_has_list = 0x10;
    define_config(0x06, 2, status_has_list);
    define_config(0x34, 1, first);
    unsigned at = first;
    for (const Capability& c : capabilities) {
        const unsigned next = at + c.length;
        const bool last = &c == std::end(capabilities) - 1;
        define_config(
            at, 4,
            vendor_specific | (last ? 0 : next) << 8 | u32{c.length} << 16 | u32{c.type} << 24);
        define_config(at + 8, 4, c.offset);
        define_config(at + 12, 4, c.size);
        at = next;
    }
}

u64 VirtioPci::offered() const { return features_ | feature_version_1; }

u64 VirtioPci::common_read(u64 offset, unsigned size) const {
    const State& s = virtio_;
    const Queue queue = s.queue_select < queues_ ? s.queues[s.queue_select] : Queue{.size = 0};
    const CommonConfig config{.device_feature_select = s.device_feature_select,
                              .device_feature = half(offered(), s.device_feature_select),
                              .driver_feature_select = s.driver_feature_select,
                              .driver_feature = half(s.driver_features, s.driver_feature_select),
                              .msix_config = no_vector,
                              .queue_count = static_cast<u16>(queues_),
                              .status = s.status,
                              .generation = 0,
                              .queue_select = s.queue_select,
                              .queue_size = queue.size,
                              .queue_msix_vector = no_vector,
                              .queue_enable = queue.enabled,
                              .queue_notify_offset = 0,
                              .queue_descriptors = queue.descriptors,
                              .queue_driver = queue.driver,
                              .queue_device = queue.device};
    u64 value = 0;
    if (offset + size <= sizeof config)
        std::memcpy(&value, reinterpret_cast<const u8*>(&config) + offset, size);
    return value;
}

void VirtioPci::write_status(u8 value) {
    if (value == 0) {
        virtio_ = {};
        set_interrupt(false);
        return;
    }
    // "Driver Requirements: Feature Bits": without VERSION_1, or with bits not offered, no go.
    const u64 taken = virtio_.driver_features;
    const bool good = (taken & feature_version_1) != 0 && (taken & ~offered()) == 0;
    if (!good) value &= static_cast<u8>(~features_ok);
    virtio_.status = static_cast<u8>(value | (virtio_.status & needs_reset));
}

void VirtioPci::write_queue(u64 offset, unsigned size, u64 value) {
    if (virtio_.queue_select >= queues_) return;
    Queue& queue = virtio_.queues[virtio_.queue_select];
    if (queue.enabled != 0) return;
    const bool power_of_two = value != 0 && (value & (value - 1)) == 0;
    if (offset == offsetof(CommonConfig, queue_size) && power_of_two && value <= queue_size_most)
        queue.size = static_cast<u16>(value);
    else if (offset == offsetof(CommonConfig, queue_enable))
        queue.enabled = value & 1;
    else if (offset >= offsetof(CommonConfig, queue_device))
        set_part(queue.device, offset - offsetof(CommonConfig, queue_device), size, value);
    else if (offset >= offsetof(CommonConfig, queue_driver))
        set_part(queue.driver, offset - offsetof(CommonConfig, queue_driver), size, value);
    else if (offset >= offsetof(CommonConfig, queue_descriptors))
        set_part(queue.descriptors, offset - offsetof(CommonConfig, queue_descriptors), size,
                 value);
}

void VirtioPci::common_write(u64 offset, unsigned size, u64 value) {
    switch (offset) {
        case offsetof(CommonConfig, device_feature_select):
            virtio_.device_feature_select = static_cast<u32>(value);
            return;
        case offsetof(CommonConfig, driver_feature_select):
            virtio_.driver_feature_select = static_cast<u32>(value);
            return;
        case offsetof(CommonConfig, driver_feature):
            if (virtio_.driver_feature_select < 2 && (virtio_.status & features_ok) == 0)
                set_part(virtio_.driver_features, 4 * u64{virtio_.driver_feature_select}, 4, value);
            return;
        case offsetof(CommonConfig, status): return write_status(static_cast<u8>(value));
        case offsetof(CommonConfig, queue_select):
            virtio_.queue_select = static_cast<u16>(value);
            return;
        default: return write_queue(offset, size, value);
    }
}

u64 VirtioPci::bar_read(unsigned, u64 offset, unsigned size) {
    if (offset >= notify_offset) return 0;
    if (offset >= device_offset) {
        u64 value = 0;
        for (unsigned i = 0; i < size; ++i)
            value |= u64{device_config(offset - device_offset + i)} << (8 * i);
        return value;
    }
    if (offset < interrupt_offset) return common_read(offset, size);
    if (offset != interrupt_offset) return 0;
    const u8 causes = virtio_.interrupt_status;  // the read acknowledges
    virtio_.interrupt_status = 0;
    set_interrupt(false);
    return causes;
}

void VirtioPci::bar_write(unsigned, u64 offset, unsigned size, u64 value) {
    if (offset < interrupt_offset) return common_write(offset, size, value);
    if (offset == notify_offset) notify(value & 0xffff);
}

void VirtioPci::notify(u64 queue) {
    constexpr u32 bus_master = 4;
    const bool goes = (virtio_.status & (driver_ok | needs_reset)) == driver_ok;
    if (!goes || queue >= queues_ || virtio_.queues[queue].enabled == 0) return;
    if ((config_read(0x04, 2) & bus_master) == 0) return;
    notified(static_cast<unsigned>(queue));
}

void VirtioPci::raise(u8 cause) {
    virtio_.interrupt_status |= cause;
    set_interrupt(true);
}

void VirtioPci::break_down() {
    virtio_.status |= needs_reset;
    raise(configuration_cause);
}

/// A chain is no longer than the queue: one that loops ends here.
bool VirtioPci::gather(const Queue& queue, VirtioRequest& request) const {
    u16 next = request.head;
    for (unsigned n = 0; n < queue.size; ++n) {
        Descriptor d{};
        if (next >= queue.size || !dma_.get(queue.descriptors + 16 * u64{next}, d)) return false;
        if ((d.flags & is_indirect) != 0) return false;
        const bool writes = (d.flags & device_writes) != 0;
        if (!writes && !request.writable.empty()) return false;  // readable ones come first
        (writes ? request.writable : request.readable).push_back({d.address, d.size});
        if ((d.flags & has_next) == 0) return true;
        next = d.next;
    }
    return false;
}

bool VirtioPci::take(unsigned index, VirtioRequest& request) {
    if ((virtio_.status & needs_reset) != 0) return false;
    Queue& queue = virtio_.queues[index];
    u16 available = 0;
    request = {};
    if (!dma_.get(queue.driver + 2, available)) return break_down(), false;
    const auto waiting = static_cast<u16>(available - queue.seen);
    if (waiting == 0) return false;
    const u64 entry = queue.driver + 4 + 2 * (u64{queue.seen} % queue.size);
    if (waiting > queue.size || !dma_.get(entry, request.head) || !gather(queue, request))
        return break_down(), false;
    ++queue.seen;
    return true;
}

void VirtioPci::complete(unsigned index, u16 head, u32 written) {
    Queue& queue = virtio_.queues[index];
    const std::array<u32, 2> element{head, written};
    u16 flags = 0;
    const u64 entry = queue.device + 4 + 8 * (u64{queue.used} % queue.size);
    ++queue.used;
    if (!dma_.put(entry, element) || !dma_.put(queue.device + 2, queue.used) ||
        !dma_.get(queue.driver, flags))
        return break_down();
    if ((flags & no_interrupt) == 0) raise(queue_cause);
}

VirtioPci::State VirtioPci::state() const {
    State state = virtio_;
    state.pci = PciFunction::state();
    return state;
}

void VirtioPci::restore(const State& state) {
    virtio_ = state;
    PciFunction::restore(state.pci);
}

bool VirtioPci::plausible(const State& state) {
    bool good = true;
    for (const Queue& queue : state.queues)
        good = good && queue.size != 0 && queue.size <= queue_size_most;
    return good;
}

}  // namespace postern::platform
