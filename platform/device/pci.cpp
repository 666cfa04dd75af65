// SPDX-License-Identifier: Apache-2.0
// PCI Local Bus Specification 3.0, "Configuration Space" and "Configuration Mechanism #1".
#include "platform/device/pci.h"

#include "base/bits.h"
#include "platform/device/apic_network.h"

namespace postern::platform {

namespace {

constexpr unsigned command_register = 0x04;
constexpr unsigned status_register = 0x06;
constexpr unsigned first_bar = 0x10;
constexpr unsigned interrupt_line = 0x3c;
constexpr unsigned interrupt_pin = 0x3d;

constexpr u32 command_io = 1 << 0;
constexpr u32 command_memory = 1 << 1;
constexpr u32 command_interrupt_off = 1 << 10;
constexpr u32 command_writable = 0x0547;  // also bus master, parity, SERR
constexpr u32 status_interrupt = 1 << 3;

constexpr u32 enable_bit = u32{1} << 31;

/// A host bridge of no chipset: software knows no workarounds for it.
constexpr PciIdentity host_bridge{0x8086, 0x0d57, 0x06'00'00, 0, 0, 0};

}  // namespace

PciFunction::PciFunction(const PciIdentity& identity) : name_{identity.name} {
    define_config(0x00, 4, u32{identity.device} << 16 | identity.vendor);
    define_config(command_register, 2, 0, command_writable);
    define_config(0x08, 4, identity.class_code << 8 | identity.revision);
    define_config(0x0c, 2, 0, 0xffff);  // cache line size, latency timer
    define_config(0x2c, 4, u32{identity.subsystem} << 16 | identity.subsystem_vendor);
    define_config(interrupt_line, 1, 0, 0xff);
}

void PciFunction::define_config(unsigned offset, unsigned size, u32 value, u32 writable) {
    for (unsigned i = 0; i < size; ++i) {
        state_.config[offset + i] = static_cast<u8>(value >> (8 * i));
        writable_[offset + i] = static_cast<u8>(writable >> (8 * i));
    }
}

void PciFunction::define_bar(unsigned bar, BarKind kind, u32 size) {
    bars_[bar] = {kind, size};
    define_config(first_bar + 4 * bar, 4, kind == BarKind::io ? 1 : 0, ~(size - 1));
}

u64 PciFunction::bar_read(unsigned, u64, unsigned size) { return all_ones(size); }
void PciFunction::bar_write(unsigned, u64, unsigned, u64) {}

u32 PciFunction::config_read(unsigned offset, unsigned size) const {
    u32 value = 0;
    for (unsigned i = 0; i < size && offset + i < config_size; ++i) {
        u8 byte = state_.config[offset + i];
        if (offset + i == status_register && state_.interrupt != 0) byte |= status_interrupt;
        value |= u32{byte} << (8 * i);
    }
    return value;
}

void PciFunction::config_write(unsigned offset, unsigned size, u32 value) {
    for (unsigned i = 0; i < size && offset + i < config_size; ++i) {
        u8& byte = state_.config[offset + i];
        const u8 mask = writable_[offset + i];
        byte = static_cast<u8>((byte & ~mask) | (static_cast<u8>(value >> (8 * i)) & mask));
    }
    if (host_ != nullptr) host_->update_lines();
    config_written(offset);
}

void PciFunction::restore(const State& state) { state_ = state; }

u32 PciFunction::bar_address(unsigned bar) const {
    return config_read(first_bar + 4 * bar, 4) & ~(bars_[bar].size - 1);
}

bool PciFunction::decodes(unsigned bar) const {
    const u32 needed = bars_[bar].kind == BarKind::io ? command_io : command_memory;
    return bars_[bar].kind != BarKind::none && (config_read(command_register, 2) & needed) != 0;
}

bool PciFunction::asserts_interrupt() const {
    return state_.interrupt != 0 && (config_read(command_register, 2) & command_interrupt_off) == 0;
}

void PciFunction::set_interrupt(bool level) {
    state_.interrupt = level ? 1 : 0;
    if (host_ != nullptr) host_->update_lines();
}

bool PciFunction::send_message(u64 address, u32 data) const {
    constexpr MmioRange messages{0xfee0'0000, 0x10'0000};
    if (address - messages.first >= messages.size) return false;
    if (host_ != nullptr && host_->network_ != nullptr) host_->network_->deliver_msi(address, data);
    return true;
}

PciHost::PciHost(InterruptLines& lines, ApicNetwork* network)
    : lines_{&lines}, network_{network}, bridge_{host_bridge} {
    static_cast<void>(add(bridge_));
}

bool PciHost::attach(Bus& bus) {
    bool complete = bus.attach(*this, "pci");
    for (PortWindow<PciHost>& window : windows_) complete = bus.attach(window, "pci") && complete;
    return complete;
}

void PciHost::place_bars(PciFunction& function) {
    for (unsigned bar = 0; bar < PciFunction::bars; ++bar) {
        const auto [kind, size] = function.bars_[bar];
        if (kind == BarKind::none) continue;
        u32& next = kind == BarKind::io ? next_io_ : next_memory_;
        const u32 address = align_up(next, size);
        next = address + size;
        function.config_write(first_bar + 4 * bar, 4, address);
    }
}

int PciHost::add(PciFunction& function) {
    if (count_ == slots) return -1;
    const unsigned slot = count_++;
    functions_[slot] = &function;
    function.host_ = this;
    place_bars(function);
    if (&function != &bridge_) {
        function.define_config(interrupt_pin, 1, 1);
        function.define_config(interrupt_line, 1, line_of(slot), 0xff);
    }
    return static_cast<int>(slot);
}

/// Slots share lines: a line is asserted while any of them asks.
void PciHost::update_lines() {
    std::array<bool, line_count> levels{};
    for (unsigned slot = 0; slot < count_; ++slot)
        if (functions_[slot]->asserts_interrupt()) levels[line_of(slot) - first_line] = true;
    for (unsigned n = 0; n < line_count; ++n) lines_->set(first_line + n, levels[n]);
}

PciHost::Target PciHost::find(BarKind kind, u64 address) const {
    for (unsigned slot = 0; slot < count_; ++slot)
        for (unsigned bar = 0; bar < PciFunction::bars; ++bar) {
            const PciFunction& function = *functions_[slot];
            if (function.bars_[bar].kind != kind || !function.decodes(bar)) continue;
            const u64 offset = address - function.bar_address(bar);
            if (offset < function.bars_[bar].size) return {functions_[slot], bar, offset};
        }
    return {};
}

u32 PciHost::port_read(u16 offset, unsigned size) {
    const Target target = find(BarKind::io, u64{io_window.first} + offset);
    if (target.function == nullptr) return static_cast<u32>(all_ones(size));
    return static_cast<u32>(target.function->bar_read(target.bar, target.offset, size));
}

void PciHost::port_write(u16 offset, unsigned size, u32 value) {
    const Target target = find(BarKind::io, u64{io_window.first} + offset);
    if (target.function != nullptr)
        target.function->bar_write(target.bar, target.offset, size, value);
}

u64 PciHost::mmio_read(u64 offset, unsigned size) {
    const Target target = find(BarKind::memory, memory_window.first + offset);
    if (target.function == nullptr) return all_ones(size);
    return target.function->bar_read(target.bar, target.offset, size);
}

void PciHost::mmio_write(u64 offset, unsigned size, u64 value) {
    const Target target = find(BarKind::memory, memory_window.first + offset);
    if (target.function != nullptr)
        target.function->bar_write(target.bar, target.offset, size, value);
}

std::string_view PciHost::part_at(BusSpace space, u64 offset) const {
    const bool memory = space == BusSpace::memory;
    const Target target = find(memory ? BarKind::memory : BarKind::io,
                               (memory ? memory_window.first : io_window.first) + offset);
    return target.function != nullptr ? target.function->name_ : "nobody";
}

/// What the data port's bytes stand for at the moment.
PciHost::Place PciHost::selected(u16 port) const {
    const auto bus = bits<23, 16>(address_);
    const auto slot = static_cast<unsigned>(bits<15, 11>(address_));
    const auto function = bits<10, 8>(address_);
    const unsigned offset = (address_ & 0xfc) + (port - data_port);
    const bool present = (address_ & enable_bit) != 0 && bus == 0 && function == 0 && slot < count_;
    return {present ? functions_[slot] : nullptr, offset};
}

u32 PciHost::read_port(u16 port, unsigned size) {
    if (port == address_port) return size == 4 ? address_ : static_cast<u32>(all_ones(size));
    const Place place = selected(port);
    if (place.function == nullptr) return static_cast<u32>(all_ones(size));
    return place.function->config_read(place.offset, size);
}

/// CONFIG_ADDRESS answers to dwords only.
void PciHost::write_port(u16 port, unsigned size, u32 value) {
    if (port == address_port) {
        if (size == 4) address_ = value & 0x80ff'fffc;
        return;
    }
    const Place place = selected(port);
    if (place.function != nullptr) place.function->config_write(place.offset, size, value);
}

void PciHost::restore(const State& state) {
    address_ = state.address;
    bridge_.restore(state.bridge);
}

}  // namespace postern::platform
