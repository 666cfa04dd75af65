// SPDX-License-Identifier: Apache-2.0
// The I/O APIC's registers and pins. Intel, 82093AA data sheet; the EOI register is ICH's.
#include "platform/device/ioapic.h"

namespace postern::platform {

namespace {

constexpr u64 register_select = 0x00;
constexpr u64 register_window = 0x10;
constexpr u64 end_register = 0x40;

constexpr u32 index_id = 0;
constexpr u32 index_version = 1;
constexpr u32 index_arbitration = 2;
constexpr u32 index_entries = 0x10;

constexpr u32 version = 0x20 | (IoApic::pins - 1) << 16;

constexpr u64 logical = u64{1} << 11;
constexpr u64 delivery_status = u64{1} << 12;
constexpr u64 remote_irr = u64{1} << 14;
constexpr u64 level_triggered = u64{1} << 15;
constexpr u64 writable = 0xff00'0000'0001'ffff & ~delivery_status & ~remote_irr;

}  // namespace

IoApic::IoApic(ApicNetwork& network) : network_{&network} {
    state_.entries.fill(masked);
    network.listen(*this);
}

bool IoApic::send(unsigned pin) {
    const u64 entry = state_.entries[pin];
    const bool is_logical = (entry & logical) != 0;
    return network_->deliver({ApicMessage::widened(static_cast<u8>(entry >> 56), is_logical),
                              is_logical, (entry & level_triggered) != 0,
                              static_cast<DeliveryMode>(entry >> 8 & 7), static_cast<u8>(entry)});
}

/// A pin that asks is sent once, and again after its end of interrupt.
void IoApic::serve_level(unsigned pin) {
    u64& entry = state_.entries[pin];
    const bool asks = (state_.lines >> pin & 1) != 0;
    if (!asks || (entry & (masked | remote_irr)) != 0 || (entry & level_triggered) == 0) return;
    if (send(pin)) entry |= remote_irr;
}

void IoApic::set_pin(unsigned pin, bool level) {
    if (pin >= pins) return;
    const u64 mask = u64{1} << pin;
    const bool rises = level && (state_.lines & mask) == 0;
    state_.lines = level ? state_.lines | mask : state_.lines & ~mask;
    const u64 entry = state_.entries[pin];
    if ((entry & level_triggered) != 0)
        serve_level(pin);
    else if (rises && (entry & masked) == 0)
        send(pin);  // an edge that meets a mask, or nobody, is lost
}

void IoApic::end_of_interrupt(u8 vector) {
    for (unsigned pin = 0; pin < pins; ++pin) {
        u64& entry = state_.entries[pin];
        if ((entry & level_triggered) == 0 || static_cast<u8>(entry) != vector) continue;
        entry &= ~remote_irr;
        serve_level(pin);
    }
}

void IoApic::write_entry(unsigned pin, bool high, u32 value) {
    u64& entry = state_.entries[pin];
    const u64 kept = entry & (delivery_status | remote_irr);
    const u64 written =
        high ? (entry & 0xffff'ffff) | u64{value} << 32 : (entry & ~u64{0xffff'ffff}) | value;
    entry = (written & writable) | kept;
    // Of a pin triggered by edges it has no meaning; software clears it by this detour.
    if ((entry & level_triggered) == 0) entry &= ~remote_irr;
    serve_level(pin);
}

u32 IoApic::read_register() const {
    const u32 index = state_.selected;
    if (index == index_id) return state_.id << 24;
    if (index == index_version) return version;
    if (index == index_arbitration) return state_.id << 24;
    if (index < index_entries || index >= index_entries + 2 * pins) return 0;
    const u64 entry = state_.entries[(index - index_entries) / 2];
    return static_cast<u32>((index & 1) != 0 ? entry >> 32 : entry);
}

void IoApic::write_register(u32 value) {
    const u32 index = state_.selected;
    if (index == index_id) state_.id = value >> 24 & 0xf;
    if (index < index_entries || index >= index_entries + 2 * pins) return;
    write_entry((index - index_entries) / 2, (index & 1) != 0, value);
}

u64 IoApic::mmio_read(u64 offset, unsigned size) {
    if (offset == register_select) return state_.selected & all_ones(size);
    if (offset == register_window) return read_register() & all_ones(size);
    return 0;
}

void IoApic::mmio_write(u64 offset, unsigned, u64 value) {
    if (offset == register_select) state_.selected = value & 0xff;
    if (offset == register_window) write_register(static_cast<u32>(value));
    if (offset == end_register) end_of_interrupt(static_cast<u8>(value));
}

}  // namespace postern::platform
