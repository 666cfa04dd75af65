// SPDX-License-Identifier: Apache-2.0
// Turns, and the time between them.
#include "platform/computer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "cpu/event/event.h"
#include "platform/boot/apply_start.h"
#include "platform/firmware/acpi.h"
#include "platform/firmware/memory_types.h"

namespace postern::platform {

Expected<std::unique_ptr<Computer>> Computer::create(ComputerConfig config,
                                                     ComputerSurroundings surroundings) {
    std::unique_ptr<Computer> computer{new Computer};
    if (auto built = computer->build(config, surroundings); !built)
        return std::unexpected{built.error()};
    return computer;
}

Expected<void> Computer::build(ComputerConfig& config, const ComputerSurroundings& surroundings) {
    auto machine = Machine::create(config.layout, config.model, config.processors);
    if (!machine) return std::unexpected{machine.error()};
    machine_ = std::move(*machine);
    cpu::System& system = machine_->system();
    system.choices = config.choices;
    system.engine = config.engine;
    system.sgx_seed = config.sgx_seed.value_or(system.sgx_seed);
    takes_sgx_seed_ = !config.sgx_seed.has_value();
    system.idle_returns = true;
    system.bus = &watched_bus_;
    devices_ =
        std::make_unique<PcDevices>(PcSurroundings{*this, machine_->bus(), surroundings.serial,
                                                   surroundings.debug, surroundings.on_mark},
                                    config.layout, machine_->processors());
    if (!devices_->complete)
        return error("two devices claim the same addresses", "--memory", "another size");
    if (config.drive != nullptr) {
        drive_ = std::make_unique<VirtioBlk>(*config.drive, Dma{system});
        devices_->pci.add(*drive_);
    }
    if (config.console != nullptr) {
        console_ = std::make_unique<VirtioConsole>(*config.console, Dma{system});
        devices_->pci.add(*console_);
    }
    if (config.test_devices) {
        devices_->add_doorbell_function();
        test_device_ = std::make_unique<TestDevice>(devices_->router);
        if (!test_device_->attach(machine_->bus()))
            return error("two devices claim the same addresses", "--test-devices", "leave it out");
    }
    if (config.streams != nullptr) {
        stdio_port_ = std::make_unique<StdioPort>(*config.streams);
        if (!machine_->bus().attach(*stdio_port_, "stdio-port"))
            return error("two devices claim the same addresses", "exec", "run");
    }
    for (FirmwareFile& file : config.firmware_files)
        devices_->fw_cfg.add_file(file.name, std::move(file.content));
    const GuestRam ram{machine_->ram(), config.layout};
    const AcpiTables tables = acpi_tables(config.layout, config.processors, firmware_base);
    std::memcpy(ram.at(tables.base), tables.bytes.data(), tables.bytes.size());
    for (cpu::Cpu* c : machine_->processors()) set_memory_types(*c);
    if (config.kernel.file.empty()) return {};
    const auto start = load_kernel(config.boot, config.kernel, ram,
                                   {.rsdp = tables.base, .memory = memory_map(config.layout)});
    if (!start) return std::unexpected{start.error()};
    apply_start(processor(0), *start);
    return {};
}

SnapshotSubject subject_of(Computer& computer) {
    SnapshotSubject s{&computer.machine().system(), {}, computer.takes_sgx_seed()};
    s.parts.push_back(snapshot::part("bus", computer.machine().bus()));
    s.parts.push_back(snapshot::part("devices", computer.devices()));
    s.parts.push_back(snapshot::part("turns", computer));
    if (VirtioBlk* drive = computer.drive()) s.parts.push_back(snapshot::part("drive", *drive));
    if (VirtioConsole* console = computer.console())
        s.parts.push_back(snapshot::part("console", *console));
    if (DoorbellFunction* bell = computer.devices().doorbell_function.get())
        s.parts.push_back(snapshot::part("doorbell", *bell));
    if (TestDevice* test = computer.test_device()) s.parts.push_back(snapshot::part("test", *test));
    return s;
}

u64 Computer::now() const { return running_ != nullptr ? cpu::now(*running_) : state_.now; }

void Computer::interrupt() {
    interrupted_ = true;
    if (cpu::Cpu* const running = running_) running->interrupt_run = true;
}

ComputerOutcome Computer::stopped() const {
    const StopRequest request = machine_->bus().stop_request();
    switch (request.kind) {
        case StopKind::exit_port: return {ComputerStop::exit_port, state_.turn, request.value};
        case StopKind::reset: return {ComputerStop::reset, state_.turn};
        case StopKind::power_off: return {ComputerStop::power_off, state_.turn};
        case StopKind::none: break;
    }
    return {};
}

bool Computer::find_turn() {
    return platform::find_turn(state_, processor_count(), [this](unsigned n) {
        set_clock(processor(n), state_.now);
        return cpu::wakes(processor(n));
    });
}

/// When something happens that no processor's turn brings about: a device, or the timer of a
/// processor that waits.
u64 Computer::next_wake() const {
    u64 next = devices_->next_event();
    for (const cpu::Cpu* c : machine_->processors()) {
        if (c->event.activity == ActivityState::active) continue;
        // What is due already and has not woken it is masked.
        if (const u64 at = cpu::next_event(*c); at > state_.now) next = std::min(next, at);
    }
    return next;
}

void Computer::after_write() {
    if (running_ != nullptr && devices_->next_event() < running_until_)
        running_->interrupt_run = true;
}

ComputerOutcome Computer::run_turn(u64 until) {
    cpu::Cpu& c = processor(state_.turn);
    devices_->select(state_.turn);
    const bool alone = processor_count() == 1;
    const u64 end = std::min({until, next_wake(), alone ? never : state_.turn_end});
    running_until_ = std::max(end, state_.now + 1);
    c.interrupt_run = false;
    c.turn_over = false;
    running_ = &c;
    const cpu::RunOutcome outcome = cpu::run(c, running_until_);
    running_ = nullptr;
    state_.now = cpu::now(c);
    // One alone has no turns, and where its run is cut must not be seen in its state.
    if (alone || c.turn_over || outcome == cpu::RunOutcome::halted) state_.turn_end = state_.now;
    switch (outcome) {
        case cpu::RunOutcome::time:
        case cpu::RunOutcome::vm_exit:
        case cpu::RunOutcome::halted: return {};
        case cpu::RunOutcome::stop_requested: return stopped();
        case cpu::RunOutcome::shutdown: return {ComputerStop::shutdown, state_.turn};
        case cpu::RunOutcome::breakpoint: return {ComputerStop::breakpoint, state_.turn};
        case cpu::RunOutcome::unimplemented:
            return {ComputerStop::unimplemented, state_.turn, 0, c.pending.what};
    }
    return {};
}

/// The clocks of the processors that wait are set as well: how often this was called is not to be
/// seen in the machine's state.
ComputerOutcome Computer::run_until(u64 until) {
    const ComputerOutcome outcome = run_turns_until(until);
    for (cpu::Cpu* const c : machine_->processors()) set_clock(*c, state_.now);
    return outcome;
}

ComputerOutcome Computer::run_turns_until(u64 until) {
    for (;;) {
        devices_->advance(state_.now);
        if (machine_->bus().stop_requested()) return stopped();
        if (std::exchange(interrupted_, false)) return {ComputerStop::interrupted, state_.turn};
        if (state_.now >= until) return {ComputerStop::time, state_.turn};
        if (find_turn()) {
            const ComputerOutcome outcome = run_turn(until);
            if (outcome.stop != ComputerStop::time) return outcome;
            continue;
        }
        const u64 next = next_wake();
        if (next == never) return {ComputerStop::halted, state_.turn};
        const u64 then = std::max(state_.now, std::min(next, until));
        idle_ += then - state_.now;
        state_.now = then;
    }
}

ComputerOutcome Computer::step(unsigned n) {
    devices_->advance(state_.now);
    const State before = state_;
    state_.turn = n;
    state_.turn_end = state_.now + 1;
    set_clock(processor(n), state_.now);
    const ComputerOutcome outcome = run_turn(state_.now + 1);
    if (before.turn != n) {
        state_.turn = before.turn;
        state_.turn_end = before.turn_end;
    }
    return outcome;
}

void Computer::tell(bool writes, BusSpace space, u64 address, unsigned size, u64 value) const {
    if (!access_observer_) return;
    access_observer_({now(), state_.turn, writes, space, address, size, value & all_ones(size),
                      machine_->bus().name_at(space, address)});
}

u64 Computer::WatchedBus::read(Hpa address, unsigned size) {
    LocalApic* const apic = computer_->devices_->apic_page.moved_to(address.raw());
    const u64 value = apic != nullptr ? apic->mmio_read(address.raw() - apic->base(), size)
                                      : computer_->machine_->bus().read(address, size);
    computer_->tell(false, BusSpace::memory, address.raw(), size, value);
    return value;
}
void Computer::WatchedBus::write(Hpa address, unsigned size, u64 value) {
    computer_->tell(true, BusSpace::memory, address.raw(), size, value);
    if (LocalApic* const apic = computer_->devices_->apic_page.moved_to(address.raw()))
        apic->mmio_write(address.raw() - apic->base(), size, value);
    else
        computer_->machine_->bus().write(address, size, value);
    computer_->after_write();
}
u32 Computer::WatchedBus::in(u16 port, unsigned size) {
    const u32 value = computer_->machine_->bus().in(port, size);
    computer_->tell(false, BusSpace::ports, port, size, value);
    computer_->after_write();  // reads of some ports start something, too
    return value;
}
void Computer::WatchedBus::out(u16 port, unsigned size, u32 value) {
    computer_->tell(true, BusSpace::ports, port, size, value);
    computer_->machine_->bus().out(port, size, value);
    computer_->after_write();
}
bool Computer::WatchedBus::stop_requested() const {
    return computer_->machine_->bus().stop_requested();
}

}  // namespace postern::platform
