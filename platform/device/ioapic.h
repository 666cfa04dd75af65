// SPDX-License-Identifier: Apache-2.0
// The I/O APIC: 24 pins, version 20H (with an EOI register). A pin carries whether its device
// asks; the polarity bit is kept and changes nothing.
#pragma once

#include <array>
#include <type_traits>

#include "platform/bus.h"
#include "platform/device/apic_network.h"
#include "platform/layout.h"

namespace postern::platform {

class IoApic final : public Device, public ApicNetwork::EndListener {
public:
    static constexpr unsigned pins = 24;
    static constexpr u64 masked = u64{1} << 16;

    struct State {
        std::array<u64, pins> entries{};  // redirection table
        u64 lines = 0;                    // a bit for each pin that asks
        u32 id = 0;
        u32 selected = 0;  // IOREGSEL
    };
    static_assert(std::is_standard_layout_v<State> && std::is_trivially_copyable_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);

    /// The network must outlive the I/O APIC, and hears of it here.
    explicit IoApic(ApicNetwork& network);

    [[nodiscard]] std::span<const MmioRange> mmio() const override { return {&range, 1}; }
    u64 mmio_read(u64 offset, unsigned size) override;
    void mmio_write(u64 offset, unsigned size, u64 value) override;

    void set_pin(unsigned pin, bool level);
    void end_of_interrupt(u8 vector) override;

    [[nodiscard]] const State& state() const { return state_; }
    void restore(const State& state) { state_ = state; }

private:
    [[nodiscard]] u32 read_register() const;
    void write_register(u32 value);
    void write_entry(unsigned pin, bool high, u32 value);
    void serve_level(unsigned pin);
    bool send(unsigned pin);

    static constexpr MmioRange range{ioapic_base, page_size};
    State state_;
    ApicNetwork* network_;
};

}  // namespace postern::platform
