// SPDX-License-Identifier: Apache-2.0
// The devices and interrupt controllers of a whole PC, wired: what software on the bare
// processors finds.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "cpu/cpu.h"
#include "platform/bus.h"
#include "platform/device/acpi_pm.h"
#include "platform/device/apic_network.h"
#include "platform/device/doorbell.h"
#include "platform/device/fw_cfg.h"
#include "platform/device/interrupt_router.h"
#include "platform/device/ioapic.h"
#include "platform/device/local_apic.h"
#include "platform/device/pci.h"
#include "platform/device/pic.h"
#include "platform/device/pit.h"
#include "platform/device/ports.h"
#include "platform/device/rtc.h"
#include "platform/device/serial.h"
#include "platform/layout.h"

namespace postern::platform {

/// What a PC's devices are connected to. All must outlive them.
struct PcSurroundings {
    const Clock& clock;
    Bus& bus;
    Sink& serial;
    Sink& debug;
    MarkPort::Observer on_mark;
};

/// Where the interrupts of devices go if the processors' own local APICs are not to have them.
/// Both must outlive the devices.
struct InterruptTakers {
    ApicNetwork::Receiver& messages;
    Pic::Output& external;
};

class PcDevices {
public:
    /// What a snapshot saves of all of them. Of the doorbell nothing: it only records.
    struct State {
        std::array<LocalApic::State, cpu::processors_most> local_apics;
        IoApic::State ioapic;
        Pit::State pit;
        Rtc::State rtc;
        AcpiPm::State power;
        Serial::State serial;
        PciHost::State pci;
        FwCfg::State fw_cfg;
        u32 post;
        Pic::State pic;
        u8 reset;
        std::array<u8, 3> unused;
    };
    static_assert(std::is_standard_layout_v<State> && std::is_trivially_copyable_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);

    /// Gives each processor its local APIC; the first one's is as firmware leaves it.
    PcDevices(const PcSurroundings& surroundings, const Layout& layout,
              std::span<cpu::Cpu* const> processors);
    /// Without local APICs, for so many processors of a guest.
    PcDevices(const PcSurroundings& surroundings, const Layout& layout, unsigned processors,
              const InterruptTakers& takers);
    PcDevices(const PcDevices&) = delete;
    PcDevices& operator=(const PcDevices&) = delete;

    /// Processor n runs now: its local APIC is what the bus shows, if it is here.
    void select(unsigned n) {
        if (n < local_apics.size()) apic_page.select(*local_apics[n]);
    }

    /// The doorbell as a PCI function, too, in the next slot.
    void add_doorbell_function() {
        doorbell_function = std::make_unique<DoorbellFunction>(doorbell);
        pci.add(*doorbell_function);
    }

    /// Without the local APICs' timers, for which their processors ask.
    [[nodiscard]] u64 next_event() const;
    void advance(u64 now);

    /// They become what they were at power-on, as `power_on` has it; time goes on, and with it the
    /// clock. Not for devices with local APICs.
    void reset(const State& power_on);

    [[nodiscard]] State state() const;
    void restore(const State& state);
    /// Nothing in a state from a file would lead a device out of its own arrays.
    static bool plausible(const State& state);

    ApicNetwork network;
    Pic pic;
    IoApic ioapic{network};
    InterruptRouter router{pic, ioapic};
    std::vector<std::unique_ptr<LocalApic>> local_apics;
    ApicPage apic_page;
    Pit pit;
    Rtc rtc;
    AcpiPm power;
    PciHost pci;
    Serial serial;
    ExitPort exit_port;
    MarkPort mark_port;
    DebugPort debug_port;
    PostPort post_port;
    ResetPort reset_port;
    FwCfg fw_cfg;
    Doorbell doorbell;
    std::unique_ptr<DoorbellFunction> doorbell_function;  // null: not asked for
    bool complete = true;                                 // false: two of them claim the same range

private:
    PcDevices(const PcSurroundings& surroundings, const Layout& layout, unsigned processors);
    void attach(Bus& bus);
};

}  // namespace postern::platform
