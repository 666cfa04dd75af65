// SPDX-License-Identifier: Apache-2.0
// Which device answers at which port or physical address. A device claims ranges; the bus finds
// the claim that holds an access's first byte. Where nobody answers, reads are all ones.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "cpu/system.h"

namespace postern::platform {

enum class BusSpace : u8 { ports, memory };

struct PortRange {
    u16 first;
    u16 count;
};

struct MmioRange {
    u64 first;
    u64 size;
};

/// What a read gives where nothing answers.
constexpr u64 all_ones(unsigned size) { return ~u64{0} >> (64 - 8 * size); }

/// Offsets are from the beginning of the claimed range.
class Device {
public:
    virtual ~Device() = default;
    [[nodiscard]] virtual std::span<const PortRange> ports() const { return {}; }
    [[nodiscard]] virtual std::span<const MmioRange> mmio() const { return {}; }

    virtual u32 port_read(u16 offset, unsigned size);
    virtual void port_write(u16 offset, unsigned size, u32 value);
    virtual u64 mmio_read(u64 offset, unsigned size);
    virtual void mmio_write(u64 offset, unsigned size, u64 value);

    /// Who answers there, of several in one device; empty: the device itself.
    [[nodiscard]] virtual std::string_view part_at(BusSpace, u64 /*offset*/) const { return {}; }

    /// Absolute time at which the device does something by itself; ~0: never. It may be asked
    /// before every turn of a processor and must be cheap.
    [[nodiscard]] virtual u64 next_event() const { return ~u64{0}; }
    /// Time has come to `now`: do all that is due, in order.
    virtual void advance(u64) {}
};

/// The machine's time as devices see it: nanoseconds since power-on, exact also in the middle of
/// an access by the running processor.
class Clock {
public:
    [[nodiscard]] virtual u64 now() const = 0;

protected:
    ~Clock() = default;
};

/// Interrupt wires. ISA requests 0 to 15 reach the 8259s and the I/O APIC; 16 to 23 (PCI) the
/// I/O APIC only. Levels, not pulses: a device holds its wire until it is served.
class InterruptLines {
public:
    virtual void set(unsigned line, bool level) = 0;

protected:
    ~InterruptLines() = default;
};

/// An access of the software to what is not memory.
struct DeviceAccess {
    u64 time;
    unsigned processor;
    bool writes;
    BusSpace space;
    u64 address;  // a port or a physical address
    unsigned size;
    u64 value;
    std::string_view device;
};

/// How often a device was accessed.
struct DeviceCount {
    std::string_view device;
    u64 reads = 0;
    u64 writes = 0;
};

/// Why the software asked the machine to stop.
enum class StopKind : u8 { none, exit_port, reset, power_off };

struct StopRequest {
    StopKind kind = StopKind::none;
    u32 value = 0;  // written to the exit port
};

class Bus final : public cpu::Bus {
public:
    /// False: one of its ranges overlaps another device's. The device and its name must outlive
    /// the bus.
    [[nodiscard]] bool attach(Device& device, std::string_view name = "device");
    /// Where its ranges overlap another device's, such as a bridge's window, this one answers.
    void attach_in_front(Device& device, std::string_view name);

    u64 read(Hpa address, unsigned size) override;
    void write(Hpa address, unsigned size, u64 value) override;
    u32 in(u16 port, unsigned size) override;
    void out(u16 port, unsigned size, u32 value) override;
    [[nodiscard]] bool stop_requested() const override { return stop_.kind != StopKind::none; }

    // The same for callers who must know whether anybody answered.
    bool try_read(u64 address, unsigned size, u64& value);
    bool try_write(u64 address, unsigned size, u64 value);
    bool try_in(u16 port, unsigned size, u32& value);
    bool try_out(u16 port, unsigned size, u32 value);

    /// Only the first request counts.
    void request_stop(StopRequest request);
    [[nodiscard]] StopRequest stop_request() const { return stop_; }

    struct State {
        u32 stop_kind = 0;
        u32 stop_value = 0;
    };
    [[nodiscard]] State state() const { return {static_cast<u32>(stop_.kind), stop_.value}; }
    static bool plausible(const State& state) {
        return state.stop_kind <= static_cast<u32>(StopKind::power_off);
    }
    void restore(const State& state) {
        stop_ = {static_cast<StopKind>(state.stop_kind), state.stop_value};
    }

    /// Who answers there: a name; "nobody" if nobody does.
    [[nodiscard]] std::string_view name_at(BusSpace space, u64 address) const;
    /// Accesses since this object began, by name, in the order of attaching.
    [[nodiscard]] std::vector<DeviceCount> counts() const;

    /// Every claimed range of physical addresses.
    [[nodiscard]] std::vector<MmioRange> mmio_ranges() const;

private:
    struct Claim {
        u64 first;
        u64 size;
        Device* device;
        DeviceCount count;
    };
    static const Claim* find(const std::vector<Claim>& claims, u64 address);
    static Claim* find(std::vector<Claim>& claims, u64 address);

    std::vector<Claim> ports_;
    std::vector<Claim> mmio_;
    StopRequest stop_;
};

}  // namespace postern::platform
