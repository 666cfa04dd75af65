// SPDX-License-Identifier: Apache-2.0
// Claims, and who answers an access.
#include "platform/bus.h"

#include <algorithm>
#include <utility>

namespace postern::platform {

u32 Device::port_read(u16, unsigned size) { return static_cast<u32>(all_ones(size)); }
void Device::port_write(u16, unsigned, u32) {}
u64 Device::mmio_read(u64, unsigned size) { return all_ones(size); }
void Device::mmio_write(u64, unsigned, u64) {}

const Bus::Claim* Bus::find(const std::vector<Claim>& claims, u64 address) {
    for (const Claim& claim : claims)
        if (address - claim.first < claim.size) return &claim;
    return nullptr;
}

Bus::Claim* Bus::find(std::vector<Claim>& claims, u64 address) {
    return const_cast<Claim*>(find(std::as_const(claims), address));
}

bool Bus::attach(Device& device, std::string_view name) {
    const auto claimed = [](const std::vector<Claim>& claims, u64 first, u64 size) {
        return std::ranges::any_of(claims, [&](const Claim& claim) {
            return first < claim.first + claim.size && claim.first < first + size;
        });
    };
    for (const PortRange& range : device.ports())
        if (claimed(ports_, range.first, range.count)) return false;
    for (const MmioRange& range : device.mmio())
        if (claimed(mmio_, range.first, range.size)) return false;
    for (const PortRange& range : device.ports())
        ports_.push_back({range.first, range.count, &device, {name}});
    for (const MmioRange& range : device.mmio())
        mmio_.push_back({range.first, range.size, &device, {name}});
    return true;
}

void Bus::attach_in_front(Device& device, std::string_view name) {
    for (const PortRange& range : device.ports())
        ports_.insert(ports_.begin(), {range.first, range.count, &device, {name}});
    for (const MmioRange& range : device.mmio())
        mmio_.insert(mmio_.begin(), {range.first, range.size, &device, {name}});
}

bool Bus::try_read(u64 address, unsigned size, u64& value) {
    Claim* const claim = find(mmio_, address);
    value = all_ones(size);
    if (claim == nullptr) return false;
    ++claim->count.reads;
    value = claim->device->mmio_read(address - claim->first, size);
    return true;
}

bool Bus::try_write(u64 address, unsigned size, u64 value) {
    Claim* const claim = find(mmio_, address);
    if (claim == nullptr) return false;
    ++claim->count.writes;
    claim->device->mmio_write(address - claim->first, size, value & all_ones(size));
    return true;
}

bool Bus::try_in(u16 port, unsigned size, u32& value) {
    Claim* const claim = find(ports_, port);
    value = static_cast<u32>(all_ones(size));
    if (claim == nullptr) return false;
    ++claim->count.reads;
    value = claim->device->port_read(static_cast<u16>(port - claim->first), size);
    return true;
}

bool Bus::try_out(u16 port, unsigned size, u32 value) {
    Claim* const claim = find(ports_, port);
    if (claim == nullptr) return false;
    ++claim->count.writes;
    claim->device->port_write(static_cast<u16>(port - claim->first), size,
                              value & static_cast<u32>(all_ones(size)));
    return true;
}

u64 Bus::read(Hpa address, unsigned size) {
    u64 value = 0;
    try_read(address.raw(), size, value);
    return value;
}

void Bus::write(Hpa address, unsigned size, u64 value) { try_write(address.raw(), size, value); }

u32 Bus::in(u16 port, unsigned size) {
    u32 value = 0;
    try_in(port, size, value);
    return value;
}

void Bus::out(u16 port, unsigned size, u32 value) { try_out(port, size, value); }

void Bus::request_stop(StopRequest request) {
    if (stop_.kind == StopKind::none) stop_ = request;
}

std::string_view Bus::name_at(BusSpace space, u64 address) const {
    const Claim* const claim = find(space == BusSpace::ports ? ports_ : mmio_, address);
    if (claim == nullptr) return "nobody";
    const std::string_view part = claim->device->part_at(space, address - claim->first);
    return part.empty() ? claim->count.device : part;
}

std::vector<DeviceCount> Bus::counts() const {
    std::vector<DeviceCount> all;
    for (const auto* const claims : {&ports_, &mmio_})
        for (const Claim& claim : *claims) {
            const DeviceCount& c = claim.count;
            const auto same = std::ranges::find(all, c.device, &DeviceCount::device);
            if (same == all.end()) {
                all.push_back(c);
                continue;
            }
            same->reads += c.reads;
            same->writes += c.writes;
        }
    return all;
}

std::vector<MmioRange> Bus::mmio_ranges() const {
    std::vector<MmioRange> ranges;
    ranges.reserve(mmio_.size());
    for (const Claim& claim : mmio_) ranges.push_back({claim.first, claim.size});
    return ranges;
}

}  // namespace postern::platform
