// SPDX-License-Identifier: Apache-2.0
// The wiring of a PC, and its devices' time.
#include "platform/pc_devices.h"

#include <algorithm>

namespace postern::platform {

PcDevices::PcDevices(const PcSurroundings& surroundings, const Layout& layout, unsigned processors)
    : pit{surroundings.clock, router}, rtc{surroundings.clock, router, layout},
      power{surroundings.clock, router, surroundings.bus}, pci{router, &network},
      serial{surroundings.serial, {&surroundings.clock, &router}}, exit_port{surroundings.bus},
      mark_port{surroundings.on_mark}, debug_port{surroundings.debug}, reset_port{surroundings.bus},
      fw_cfg{layout, processors} {}

PcDevices::PcDevices(const PcSurroundings& surroundings, const Layout& layout,
                     std::span<cpu::Cpu* const> processors)
    : PcDevices{surroundings, layout, static_cast<unsigned>(processors.size())} {
    for (cpu::Cpu* const processor : processors) {
        local_apics.push_back(std::make_unique<LocalApic>(*processor, &network));
        processor->interrupts = local_apics.back().get();
    }
    local_apics.front()->connect(pic);
    local_apics.front()->set_virtual_wire();
    select(0);
    attach(surroundings.bus);
}

PcDevices::PcDevices(const PcSurroundings& surroundings, const Layout& layout, unsigned processors,
                     const InterruptTakers& takers)
    : PcDevices{surroundings, layout, processors} {
    network.hand_over_to(takers.messages);
    pic.connect(takers.external);
    attach(surroundings.bus);
}

void PcDevices::attach(Bus& bus) {
    // As firmware leaves the 8259s: everything masked, SCI triggered by level.
    pic.write_port(Pic::first_ports + 1, 1, 0xff);
    pic.write_port(Pic::second_ports + 1, 1, 0xff);
    pic.write_port(Pic::edge_level_ports, 2, 1u << AcpiPm::line);
    complete = pic.attach(bus) && pit.attach(bus) && pci.attach(bus);
    struct Named {
        Device& device;
        const char* name;
    };
    const Named named[] = {
        {ioapic, "ioapic"},         {apic_page, "local-apic"},  {rtc, "rtc"},
        {power, "acpi-pm"},         {serial, "serial"},         {exit_port, "exit-port"},
        {mark_port, "mark-port"},   {debug_port, "debug-port"}, {post_port, "post-port"},
        {reset_port, "reset-port"}, {fw_cfg, "fw-cfg"},         {doorbell, "doorbell"}};
    for (const auto& [device, name] : named)
        if (&device != &apic_page || !local_apics.empty())
            complete = bus.attach(device, name) && complete;
}

u64 PcDevices::next_event() const {
    return std::min({pit.next_event(), rtc.next_event(), power.next_event(), serial.next_event()});
}

void PcDevices::advance(u64 now) {
    pit.advance(now);
    rtc.advance(now);
    power.advance(now);
    serial.advance(now);
}

PcDevices::State PcDevices::state() const {
    State state{};
    for (size_t n = 0; n < local_apics.size(); ++n) state.local_apics[n] = local_apics[n]->state();
    state.ioapic = ioapic.state();
    state.pit = pit.state();
    state.rtc = rtc.state();
    state.power = power.state();
    state.serial = serial.state();
    state.pci = pci.state();
    state.fw_cfg = fw_cfg.state();
    state.post = post_port.state().last;
    state.pic = pic.state();
    state.reset = reset_port.state().control;
    return state;
}

void PcDevices::restore(const State& state) {
    for (size_t n = 0; n < local_apics.size(); ++n) local_apics[n]->restore(state.local_apics[n]);
    ioapic.restore(state.ioapic);
    pit.restore(state.pit);
    rtc.restore(state.rtc);
    power.restore(state.power);
    serial.restore(state.serial);
    pci.restore(state.pci);
    fw_cfg.restore(state.fw_cfg);
    post_port.restore({state.post});
    pic.restore(state.pic);
    reset_port.restore({state.reset});
}

void PcDevices::reset(const State& power_on) {
    rtc.reset();
    State state = power_on;
    state.rtc = rtc.state();
    state.pit.seen = pit.state().seen;
    state.power.seen = power.state().seen;
    restore(state);
}

bool PcDevices::plausible(const State& state) {
    return Pit::plausible(state.pit) && Rtc::plausible(state.rtc) &&
           Serial::plausible(state.serial);
}

}  // namespace postern::platform
