// SPDX-License-Identifier: Apache-2.0
// PCI as devices and software see it: one bus, configuration mechanism 1, functions with BARs and
// INTA and messages (MSI), and a host bridge at 0:0.0. Each slot has function 0 only.
#pragma once

#include <array>
#include <type_traits>

#include "platform/bus.h"
#include "platform/device/port_window.h"

namespace postern::platform {

class ApicNetwork;
class PciHost;

struct PciIdentity {
    u16 vendor;
    u16 device;
    u32 class_code;  // class, subclass, interface
    u8 revision;
    u16 subsystem_vendor;
    u16 subsystem;
    const char* name = "pci-function";  // for logs
};

enum class BarKind : u8 { none, io, memory };  // memory: 32 bits

class PciFunction {
public:
    static constexpr unsigned config_size = 256;
    static constexpr unsigned bars = 6;

    struct State {
        std::array<u8, config_size> config{};
        u32 interrupt = 0;  // 1: the function asks for one
    };
    static_assert(std::is_standard_layout_v<State> && std::is_trivially_copyable_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);

    explicit PciFunction(const PciIdentity& identity);
    virtual ~PciFunction() = default;
    PciFunction(const PciFunction&) = delete;
    PciFunction& operator=(const PciFunction&) = delete;

    [[nodiscard]] u32 config_read(unsigned offset, unsigned size) const;
    void config_write(unsigned offset, unsigned size, u32 value);

    virtual u64 bar_read(unsigned bar, u64 offset, unsigned size);
    virtual void bar_write(unsigned bar, u64 offset, unsigned size, u64 value);

    [[nodiscard]] const State& state() const { return state_; }
    void restore(const State& state);

protected:
    /// `size`: a power of two, at least 16 (memory) or 4 (I/O).
    void define_bar(unsigned bar, BarKind kind, u32 size);
    /// Bytes of configuration space, and which of their bits software may write.
    void define_config(unsigned offset, unsigned size, u32 value, u32 writable = 0);
    /// INTA, which the command register's disable bit holds back.
    void set_interrupt(bool level);
    [[nodiscard]] u32 bar_address(unsigned bar) const;
    /// A message-signalled interrupt; false: `address` is not the APICs'.
    [[nodiscard]] bool send_message(u64 address, u32 data) const;
    /// A write has reached `offset`.
    virtual void config_written(unsigned /*offset*/) {}

private:
    friend class PciHost;
    struct Bar {
        BarKind kind = BarKind::none;
        u32 size = 0;
    };

    [[nodiscard]] bool decodes(unsigned bar) const;
    [[nodiscard]] bool asserts_interrupt() const;

    State state_;
    std::string_view name_;
    std::array<u8, config_size> writable_{};
    std::array<Bar, bars> bars_{};
    PciHost* host_ = nullptr;
};

class PciHost final : public Device {
public:
    static constexpr u16 address_port = 0xcf8;
    static constexpr u16 data_port = 0xcfc;
    static constexpr unsigned slots = 32;
    static constexpr unsigned first_line = 16;
    static constexpr unsigned line_count = 8;
    static constexpr MmioRange memory_window{0xc000'0000, 0x3e00'0000};
    static constexpr PortRange io_window{0x1000, 0xf000};

    struct State {
        u32 address = 0;  // CONFIG_ADDRESS
        PciFunction::State bridge;
    };
    static_assert(std::is_standard_layout_v<State> && std::is_trivially_copyable_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);

    /// `network`: where messages go; null: they are lost.
    explicit PciHost(InterruptLines& lines, ApicNetwork* network = nullptr);

    [[nodiscard]] bool attach(Bus& bus);
    /// Puts the function into the next slot, its BARs into the windows, and gives the slot; -1:
    /// there is no room. The function must outlive the host.
    int add(PciFunction& function);

    /// The line that INTA of a slot is wired to; _PRT says the same.
    static constexpr unsigned line_of(unsigned slot, unsigned pin = 0) {
        return first_line + (slot + pin) % line_count;
    }

    [[nodiscard]] std::span<const PortRange> ports() const override { return {&io_window, 1}; }
    [[nodiscard]] std::span<const MmioRange> mmio() const override { return {&memory_window, 1}; }
    [[nodiscard]] std::string_view part_at(BusSpace space, u64 offset) const override;
    u32 port_read(u16 offset, unsigned size) override;
    void port_write(u16 offset, unsigned size, u32 value) override;
    u64 mmio_read(u64 offset, unsigned size) override;
    void mmio_write(u64 offset, unsigned size, u64 value) override;

    u32 read_port(u16 port, unsigned size);
    void write_port(u16 port, unsigned size, u32 value);

    [[nodiscard]] State state() const { return {address_, bridge_.state()}; }
    void restore(const State& state);

private:
    friend class PciFunction;
    struct Target {
        PciFunction* function;
        unsigned bar;
        u64 offset;
    };
    struct Place {
        PciFunction* function;  // null: nobody there
        unsigned offset;
    };
    [[nodiscard]] Target find(BarKind kind, u64 address) const;
    [[nodiscard]] Place selected(u16 port) const;
    void place_bars(PciFunction& function);
    void update_lines();

    InterruptLines* lines_;
    ApicNetwork* network_;
    std::array<PciFunction*, slots> functions_{};
    unsigned count_ = 0;
    u32 address_ = 0;
    u32 next_memory_ = static_cast<u32>(memory_window.first);
    u32 next_io_ = io_window.first;
    PciFunction bridge_;
    std::array<PortWindow<PciHost>, 2> windows_{PortWindow<PciHost>{*this, {address_port, 1}},
                                                PortWindow<PciHost>{*this, {data_port, 4}}};
};

}  // namespace postern::platform
