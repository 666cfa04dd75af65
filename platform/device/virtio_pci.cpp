// SPDX-License-Identifier: Apache-2.0
// OASIS, "Virtual I/O Device (VIRTIO) Version 1.1": "Virtio Over PCI Bus" and "Split Virtqueues".
#include "platform/device/virtio_pci.h"

#include <cstring>

namespace postern::platform {

namespace {

constexpr u16 vendor = 0x1af4;
constexpr u16 first_modern_device = 0x1040;

constexpr u64 feature_indirect_descriptors = u64{1} << 28;
constexpr u64 feature_version_1 = u64{1} << 32;

enum Status : u8 { features_ok = 8, driver_ok = 4, needs_reset = 0x40 };
enum InterruptCause : u8 { queue_cause = 1, configuration_cause = 2 };

constexpr u16 no_interrupt = 1;  // flags of the available ring

constexpr unsigned command_register = 4;
constexpr u32 command_bus_master = 4;

// Capabilities in configuration space, one behind the other.
constexpr unsigned first_capability = 0x40;
constexpr unsigned msix_at = first_capability + 16 + 16 + 16 + 20;

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

VirtioPci::VirtioPci(u16 type, const char* name, u32 class_code, u64 features, unsigned queues,
                     const Dma& dma)
    : PciFunction{{vendor, static_cast<u16>(first_modern_device + type), class_code, 1, vendor,
                   static_cast<u16>(first_modern_device + type), name}},
      msix_{queues + 1}, features_{features}, queues_{queues}, dma_{dma} {
    static_assert(queues_most + 1 <= Msix::vectors_most);
    define_bar(0, BarKind::memory, bar_size);
    define_bar(msix_bar, BarKind::memory, Msix::bar_size);
    add_capabilities();
}

/// "Virtio Structure PCI Capabilities"; MSI-X follows them.
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
    constexpr u32 vendor_specific = 9, status_has_list = 0x10;
    define_config(0x06, 2, status_has_list);
    define_config(0x34, 1, first_capability);
    unsigned at = first_capability;
    for (const Capability& c : capabilities) {
        const unsigned next = at + c.length;
        define_config(at, 4, vendor_specific | next << 8 | u32{c.length} << 16 | u32{c.type} << 24);
        define_config(at + 8, 4, c.offset);
        define_config(at + 12, 4, c.size);
        at = next;
    }
    define_config(msix_at, 4, Msix::capability | (msix_.vectors() - 1) << 16,
                  Msix::enabled | Msix::all_masked);
    define_config(msix_at + 4, 4, Msix::table_offset | msix_bar);
    define_config(msix_at + 8, 4, Msix::pending_offset | msix_bar);
}

u32 VirtioPci::msix_control() const { return config_read(msix_at, 4); }

bool VirtioPci::is_bus_master() const {
    return (config_read(command_register, 2) & command_bus_master) != 0;
}

/// With MSI-X enabled INTA is silent; what was held back by a mask goes when the mask does.
void VirtioPci::config_written(unsigned) {
    set_interrupt((msix_control() & Msix::enabled) == 0 && virtio_.interrupt_status != 0);
    send_messages();
}

/// A message is a write to memory, and may be meant for the APICs or not.
void VirtioPci::send_messages() {
    if ((msix_control() & (Msix::enabled | Msix::all_masked)) != Msix::enabled) return;
    if (!is_bus_master()) return;
    msix_.send_pending([&](u64 address, u32 data) {
        if (!send_message(address, data) && dma_.holds(address, sizeof data))
            static_cast<void>(dma_.put(address, data));
    });
}

u64 VirtioPci::offered() const {
    return features_ | feature_indirect_descriptors | feature_version_1;
}

u64 VirtioPci::common_read(u64 offset, unsigned size) const {
    const State& s = virtio_;
    const Queue queue = s.queue_select < queues_ ? s.queues[s.queue_select] : Queue{.size = 0};
    const CommonConfig config{.device_feature_select = s.device_feature_select,
                              .device_feature = half(offered(), s.device_feature_select),
                              .driver_feature_select = s.driver_feature_select,
                              .driver_feature = half(s.driver_features, s.driver_feature_select),
                              .msix_config = s.configuration_vector,
                              .queue_count = static_cast<u16>(queues_),
                              .status = s.status,
                              .generation = 0,
                              .queue_select = s.queue_select,
                              .queue_size = queue.size,
                              .queue_msix_vector = queue.vector,
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

/// "The device MUST return NO_VECTOR" for one that it has not.
void VirtioPci::set_vector(u16& to, u64 value) const {
    to = value < msix_.vectors() ? static_cast<u16>(value) : no_vector;
}

void VirtioPci::write_queue(u64 offset, unsigned size, u64 value) {
    if (virtio_.queue_select >= queues_) return;
    Queue& queue = virtio_.queues[virtio_.queue_select];
    if (offset == offsetof(CommonConfig, queue_msix_vector)) return set_vector(queue.vector, value);
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
        case offsetof(CommonConfig, msix_config):
            return set_vector(virtio_.configuration_vector, value);
        default: return write_queue(offset, size, value);
    }
}

u64 VirtioPci::bar_read(unsigned bar, u64 offset, unsigned size) {
    if (bar == msix_bar) return msix_.read(offset, size);
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

void VirtioPci::bar_write(unsigned bar, u64 offset, unsigned size, u64 value) {
    if (bar == msix_bar) {
        msix_.write(offset, size, value);
        return send_messages();
    }
    if (offset < interrupt_offset) return common_write(offset, size, value);
    if (offset == notify_offset) notify(value & 0xffff);
}

bool VirtioPci::serves(unsigned queue) const {
    return (virtio_.status & (driver_ok | needs_reset)) == driver_ok &&
           virtio_.queues[queue].enabled != 0 && is_bus_master();
}

void VirtioPci::notify(u64 queue) {
    if (queue < queues_ && serves(static_cast<unsigned>(queue)))
        notified(static_cast<unsigned>(queue));
}

/// "Used Buffer Notifications" and "Notification of Device Configuration Changes".
void VirtioPci::raise(u8 cause, u16 vector) {
    if ((msix_control() & Msix::enabled) != 0) {
        msix_.request(vector);
        return send_messages();
    }
    virtio_.interrupt_status |= cause;
    set_interrupt(true);
}

void VirtioPci::break_down() {
    virtio_.status |= needs_reset;
    raise(configuration_cause, virtio_.configuration_vector);
}

bool VirtioPci::rings_in_memory(const Queue& queue) const {
    constexpr u64 ring_header = 4, available_entry = 2, used_entry = 8;
    return dma_.holds(queue.descriptors, u64{VirtioDescriptors::size} * queue.size) &&
           dma_.holds(queue.driver, ring_header + available_entry * queue.size) &&
           dma_.holds(queue.device, ring_header + used_entry * queue.size);
}

bool VirtioPci::take(unsigned index, VirtioRequest& request) {
    if ((virtio_.status & needs_reset) != 0) return false;
    Queue& queue = virtio_.queues[index];
    u16 available = 0;
    request = {};
    if (!rings_in_memory(queue) || !dma_.get(queue.driver + 2, available))
        return break_down(), false;
    const auto waiting = static_cast<u16>(available - queue.seen);
    if (waiting == 0) return false;
    const u64 entry = queue.driver + 4 + 2 * (u64{queue.seen} % queue.size);
    const bool indirect = (virtio_.driver_features & feature_indirect_descriptors) != 0;
    const VirtioDescriptors descriptors{queue.descriptors, queue.size, indirect};
    if (waiting > queue.size || !dma_.get(entry, request.head) ||
        !gather_chain(dma_, descriptors, request))
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
    if ((flags & no_interrupt) == 0) raise(queue_cause, queue.vector);
}

VirtioPci::State VirtioPci::state() const {
    State state = virtio_;
    state.pci = PciFunction::state();
    state.msix = msix_.state();
    return state;
}

void VirtioPci::restore(const State& state) {
    virtio_ = state;
    msix_.restore(state.msix);
    PciFunction::restore(state.pci);
}

bool VirtioPci::plausible(const State& state) {
    bool good = true;
    for (const Queue& queue : state.queues)
        good = good && queue.size != 0 && queue.size <= queue_size_most;
    return good;
}

}  // namespace postern::platform
