// SPDX-License-Identifier: Apache-2.0
// QEMU's pc-testdev, for kvm-unit-tests: ports and memory that keep what is written, and ports
// that hold interrupt wires. Only with `--test-devices`.
//
// 0xe0 to 0xe3 and 0xe8 are one register of 4 bytes; the byte at 0xe8 is the first one's. A write
// to 0xe4 makes QEMU drop its mapping of a page, to show that a hypervisor finds it again; there
// is no such mapping here, and nothing to show. A write to 0x2000 + n sets wire n; these ports lie
// in PCI's window.
#pragma once

#include <array>
#include <string_view>
#include <type_traits>

#include "platform/bus.h"

namespace postern::platform {

class TestDevice final : public Device {
public:
    static constexpr std::string_view name = "test-device";
    static constexpr u16 register_port = 0xe0;
    static constexpr u16 flush_port = 0xe4;
    static constexpr u16 register_byte_port = 0xe8;
    static constexpr u16 wire_ports = 0x2000;
    static constexpr unsigned wires = 24;
    static constexpr u64 memory_base = 0xff00'0000;
    static constexpr size_t memory_size = 0x1'0000;

    struct State {
        u32 value = 0;
        std::array<u8, memory_size> memory{};
    };
    static_assert(std::is_standard_layout_v<State> && std::is_trivially_copyable_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);

    explicit TestDevice(InterruptLines& lines) : wires_{lines} {}

    /// False: somebody else claims one of the addresses.
    [[nodiscard]] bool attach(Bus& bus) {
        bus.attach_in_front(wires_, name);
        return bus.attach(register_, name) && bus.attach(*this, name);
    }

    [[nodiscard]] std::span<const MmioRange> mmio() const override { return {&range, 1}; }
    u64 mmio_read(u64 offset, unsigned size) override;
    void mmio_write(u64 offset, unsigned size, u64 value) override;

    [[nodiscard]] State state() const;
    void restore(const State& state);

private:
    /// Ports 0xe0 to 0xe8.
    class Register final : public Device {
    public:
        [[nodiscard]] std::span<const PortRange> ports() const override { return {&range, 1}; }
        u32 port_read(u16 offset, unsigned size) override;
        void port_write(u16 offset, unsigned size, u32 value) override;
        u32 value = 0;

    private:
        static constexpr PortRange range{register_port, register_byte_port + 1 - register_port};
    };
    class Wires final : public Device {
    public:
        explicit Wires(InterruptLines& lines) : lines_{&lines} {}
        [[nodiscard]] std::span<const PortRange> ports() const override { return {&range, 1}; }
        void port_write(u16 offset, unsigned size, u32 value) override;

    private:
        static constexpr PortRange range{wire_ports, wires};
        InterruptLines* lines_;
    };

    static constexpr MmioRange range{memory_base, memory_size};
    Register register_;
    Wires wires_;
    std::array<u8, memory_size> memory_{};
};

}  // namespace postern::platform
