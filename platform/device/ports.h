// SPDX-License-Identifier: Apache-2.0
// The small devices of one port each: exit, mark, debug, power-on self-test, reset.
#pragma once

#include <functional>

#include "platform/bus.h"
#include "platform/device/sink.h"

namespace postern::platform {

/// Port 0xf4: a write of v ends the machine with status (v << 1) | 1, as QEMU's isa-debug-exit.
class ExitPort final : public Device {
public:
    static constexpr u16 port = 0xf4;
    explicit ExitPort(Bus& bus) : bus_{&bus} {}
    [[nodiscard]] std::span<const PortRange> ports() const override { return {&range, 1}; }
    void port_write(u16 offset, unsigned size, u32 value) override;

    /// The exit status of a process, of which the host keeps 8 bits.
    static constexpr int status(u32 value) { return static_cast<int>((value << 1 | 1) & 0xff); }

private:
    static constexpr PortRange range{port, 1};
    Bus* bus_;
};

/// Port 0xf5: the guest tells whoever watches that it has reached a point. 32-bit values. Whoever
/// watches may answer, to be read by the guest; all ones: nobody did.
class MarkPort final : public Device {
public:
    static constexpr u16 port = 0xf5;
    using Observer = std::function<void(u32 value)>;
    explicit MarkPort(Observer observer = {}) : observer_{std::move(observer)} {}
    [[nodiscard]] std::span<const PortRange> ports() const override { return {&range, 1}; }
    void port_write(u16 offset, unsigned size, u32 value) override;
    u32 port_read(u16 offset, unsigned size) override;
    void answer(u32 value) { answer_ = value; }

private:
    static constexpr PortRange range{port, 1};
    Observer observer_;
    u32 answer_ = ~u32{0};
};

/// Port 0xe9: bytes go to a sink; a read gives 0xe9, which says that the port is there.
class DebugPort final : public Device {
public:
    static constexpr u16 port = 0xe9;
    explicit DebugPort(Sink& sink) : sink_{&sink} {}
    [[nodiscard]] std::span<const PortRange> ports() const override { return {&range, 1}; }
    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;

private:
    static constexpr PortRange range{port, 1};
    Sink* sink_;
};

/// Port 0x80: POST codes, which software also writes to pass time. Keeps the last.
class PostPort final : public Device {
public:
    static constexpr u16 port = 0x80;
    [[nodiscard]] std::span<const PortRange> ports() const override { return {&range, 1}; }
    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;

    struct State {
        u32 last = 0;
    };
    [[nodiscard]] const State& state() const { return state_; }
    void restore(const State& state) { state_ = state; }

private:
    static constexpr PortRange range{port, 1};
    State state_;
};

/// Port 0xcf9: the chipset's reset control; a write whose bit 2 rises resets the machine.
class ResetPort final : public Device {
public:
    static constexpr u16 port = 0xcf9;
    explicit ResetPort(Bus& bus) : bus_{&bus} {}
    [[nodiscard]] std::span<const PortRange> ports() const override { return {&range, 1}; }
    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;

    struct State {
        u8 control = 0;
    };
    [[nodiscard]] const State& state() const { return state_; }
    void restore(const State& state) { state_ = state; }

private:
    static constexpr PortRange range{port, 1};
    Bus* bus_;
    State state_;
};

}  // namespace postern::platform
