// SPDX-License-Identifier: Apache-2.0
// ACPI specification, "ACPI Hardware Specification": "Fixed Hardware Registers".
#include "platform/device/acpi_pm.h"

namespace postern::platform {

namespace {

// PM1 status and enable.
constexpr u16 timer_bit = 1 << 0;
constexpr u16 status_bits = 1 << 0 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 15;
constexpr u16 enable_bits = 1 << 0 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 10;

// PM1 control.
constexpr u16 sci_enable = 1 << 0;
constexpr u16 control_bits = 1 << 1 | 7 << 10;  // BM_RLD, SLP_TYP
constexpr u16 sleep_enable = 1 << 13;
constexpr unsigned sleep_type_shift = 10;

constexpr u64 half_turn = u64{1} << 31;  // TMR_STS is set whenever bit 31 changes

}  // namespace

u64 AcpiPm::next_event() const {
    if ((state_.enable & timer_bit) == 0 || (state_.status & timer_bit) != 0) return ~u64{0};
    return crystal_.time_of((state_.seen / half_turn + 1) * half_turn);
}

void AcpiPm::catch_up(u64 now) {
    const u64 ticks = crystal_.ticks_at(now);
    if (ticks / half_turn != state_.seen / half_turn) state_.status |= timer_bit;
    state_.seen = ticks;
}

void AcpiPm::advance(u64 now) {
    if (now < next_event()) return;
    catch_up(now);
    update_line();
}

void AcpiPm::update_line() { lines_->set(line, (state_.status & state_.enable) != 0); }

u8 AcpiPm::read_byte(u16 offset, u32 timer) const {
    const auto byte = [&](u32 value, unsigned first) {
        return static_cast<u8>(value >> (8 * (offset - first)));
    };
    if (offset >= timer_offset) return byte(timer, timer_offset);
    if (offset >= control_offset) return byte(state_.control, control_offset);
    return byte(u32{state_.enable} << 16 | state_.status, event_offset);
}

u32 AcpiPm::port_read(u16 offset, unsigned size) {
    const u64 now = clock_->now();
    catch_up(now);
    u32 value = 0;
    for (unsigned i = 0; i < size; ++i) {
        const auto at = static_cast<u16>(offset + i);
        const u8 byte = at < block_size ? read_byte(at, static_cast<u32>(state_.seen)) : u8{0xff};
        value |= u32{byte} << (8 * i);
    }
    return value;
}

void AcpiPm::write_control(u16 value) {
    state_.control = static_cast<u16>((value & control_bits) | sci_enable);
    const bool sleeps = (value & sleep_enable) != 0;
    if (sleeps && (value >> sleep_type_shift & 7) == sleep_type_s5)
        bus_->request_stop({StopKind::power_off, 0});
}

/// The registers are written whole; a dword at the event block is both of its halves.
void AcpiPm::port_write(u16 offset, unsigned size, u32 value) {
    catch_up(clock_->now());
    const auto low = static_cast<u16>(value);
    if (size >= 2 && offset == control_offset) write_control(low);
    if (size >= 2 && offset == event_offset)
        state_.status &= static_cast<u16>(~(low & status_bits));
    if (size == 2 && offset == event_offset + 2) state_.enable = low & enable_bits;
    if (size == 4 && offset == event_offset) state_.enable = value >> 16 & enable_bits;
    update_line();
}

}  // namespace postern::platform
