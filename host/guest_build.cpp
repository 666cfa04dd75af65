// SPDX-License-Identifier: Apache-2.0
// Putting a hosted guest together: the machine beneath, the PC, the hypervisor, the kernel.
#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/bits.h"
#include "cpu/model.h"
#include "host/guest.h"
#include "platform/firmware/acpi.h"
#include "platform/firmware/memory_types.h"

namespace postern::host {

namespace {

using platform::Layout;

// The reserve at the bottom of the machine's memory. Page 0 stays unused, so that a physical
// address of 0 is a mistake that shows. Then come the first processor's VMXON region, the empty
// page table that all parked processors share, the other processors' regions, and the pool.
constexpr Hpa host_page_table{2 * page_size};

constexpr Hpa vmxon_region(unsigned processor) {
    return Hpa{(processor == 0 ? 1 : 2 + processor) * page_size};
}
constexpr Hpa pool_base(unsigned processors) { return Hpa{(2 + processors) * page_size}; }

constexpr u64 reserve_least = 32 * platform::mib;

/// EPT tables take a page for each 2 MiB of guest memory, and little above that.
u64 reserve_for(const Layout& guest) {
    const u64 tables = (guest.ram_size() + guest.epc_size) / 512;
    return align_up(reserve_least + tables, 2 * platform::mib);
}

/// The machine's EPC lies elsewhere than the guest's.
u64 epc_gap(const cpu::Model& model) {
    return std::min(64 * platform::gib, u64{1} << (model.physical_bits - 1));
}

hv::StartState start_state(const platform::StartState& from) {
    hv::StartState state;
    state.mode = from.mode == platform::StartMode::long_64 ? hv::StartMode::long_64
                                                           : hv::StartMode::protected_32;
    state.rip = from.rip;
    state.gpr[rax] = from.rax;
    state.gpr[rbx] = from.rbx;
    state.gpr[rsi] = from.rsi;
    state.cr3 = from.cr3;
    state.gdtr_base = from.gdt_base;
    state.gdtr_limit = from.gdt_limit;
    state.code_selector = from.code_selector;
    state.data_selector = from.data_selector;
    return state;
}

}  // namespace

Guest::Guest(GuestConfig config, const GuestSurroundings& surroundings)
    : config_{std::move(config)}, surroundings_{surroundings} {}

platform::Expected<std::unique_ptr<Guest>> Guest::create(GuestConfig config,
                                                         GuestSurroundings surroundings) {
    std::unique_ptr<Guest> guest{new Guest{std::move(config), surroundings}};
    if (auto built = guest->build(); !built) return std::unexpected{built.error()};
    return guest;
}

hv::Config Guest::hypervisor_config(u64 reserve) const {
    const Hpa pool = pool_base(config_.processors);
    hv::Config config;
    config.pool = {pool, static_cast<u32>((reserve - pool.raw()) / page_size)};
    config.host = processors_.front().port->host_state();
    config.protections = config_.protections;
    config.enclave_fault = config_.enclave_fault;
    config.epc = {Gpa{config_.layout.epc_base}, config_.layout.epc_size};
    config.provision_key = config_.provision_key;
    config.sgx = config_.sgx;
    config.vcpus = config_.processors;
    config.apicv = config_.apicv;
    config.nested = config_.nested;
    config.preemption_timer = config_.preemption_timer;
    config.livelock_ticks = config_.livelock_ticks;
    config.mmio_marking = config_.mmio_marking;
    config.hidden = config_.hidden;
    return config;
}

bool Guest::add_memory(const Layout& machine) {
    for (const platform::Stretch& stretch : dma_map_.ram) {
        const hv::MemorySlot slot{Gpa{stretch.guest}, stretch.size, hv::SlotKind::ram,
                                  Hpa{stretch.machine}};
        if (!vm_->add_memory(slot)) return false;
    }
    if (config_.layout.epc_size != 0) {
        const hv::MemorySlot slot{Gpa{config_.layout.epc_base}, config_.layout.epc_size,
                                  hv::SlotKind::epc, Hpa{machine.epc_base}};
        if (!vm_->add_memory(slot)) return false;
    }
    return std::ranges::all_of(bus_.mmio_ranges(), [&](const platform::MmioRange& range) {
        return vm_->add_mmio({Gpa{range.first}, range.size});
    });
}

platform::Expected<void> Guest::build_devices() {
    const platform::PcSurroundings around{*this, bus_, surroundings_.serial, surroundings_.debug,
                                          surroundings_.on_mark};
    devices_ =
        std::make_unique<platform::PcDevices>(around, config_.layout, config_.processors,
                                              platform::InterruptTakers{interrupts_, interrupts_});
    bus_devices_.connect(*devices_);
    if (!devices_->complete)
        return platform::error("two devices claim the same addresses", "--memory", "another size");
    const platform::Dma dma{machine_->system(), &dma_map_};
    if (config_.drive != nullptr) {
        drive_ = std::make_unique<platform::VirtioBlk>(*config_.drive, dma);
        devices_->pci.add(*drive_);
    }
    if (config_.console != nullptr) {
        console_ = std::make_unique<platform::VirtioConsole>(*config_.console, dma);
        devices_->pci.add(*console_);
    }
    if (!config_.test_devices) return {};
    devices_->add_doorbell_function();
    test_device_ = std::make_unique<platform::TestDevice>(devices_->router);
    if (test_device_->attach(bus_)) return {};
    return platform::error("two devices claim the same addresses", "--test-devices",
                           "leave it out");
}

platform::Expected<void> Guest::build_hypervisor(const Layout& machine, u64 reserve) {
    const SoftwarePort::Surroundings around{*machine_, *this, ticks_};
    processors_.resize(config_.processors);
    for (unsigned n = 0; n < config_.processors; ++n) {
        Processor& p = processors_[n];
        const SoftwarePort::Pages pages{vmxon_region(n), host_page_table};
        p.port = std::make_unique<SoftwarePort>(around, pages, n);
        if (!p.port->start())
            return platform::error(p.port->failure(), "--cpu", "a model with VMX");
        if (config_.lying_processor) p.lying_port = std::make_unique<LyingPort>(*p.port);
    }
    const auto port_of = [](Processor& p) -> hv::Port& {
        if (p.lying_port) return *p.lying_port;
        return *p.port;
    };
    vm_ = std::make_unique<hv::Vm>(port_of(processors_.front()), bus_devices_,
                                   surroundings_.watcher, hypervisor_config(reserve));
    if (!vm_->create() || !add_memory(machine))
        return platform::error("the memory map cannot be built", "--memory", "another size");
    for (unsigned n = 0; n < config_.processors; ++n)
        processors_[n].vcpu = std::make_unique<hv::Vcpu>(port_of(processors_[n]), *vm_, n);
    interrupts_.connect(*vm_);
    return {};
}

platform::Expected<platform::StartState> Guest::load() {
    const platform::GuestRam ram{machine_->ram() + reserve_for(config_.layout), config_.layout};
    const platform::AcpiTables tables =
        platform::acpi_tables(config_.layout, config_.processors, platform::firmware_base);
    std::memcpy(ram.at(tables.base), tables.bytes.data(), tables.bytes.size());
    return platform::load_kernel(
        config_.boot, config_.kernel, ram,
        {.rsdp = tables.base, .memory = platform::memory_map(config_.layout)});
}

platform::Expected<void> Guest::start_processors(const platform::StartState& start, bool again) {
    const hv::StartState first = start_state(start);
    for (unsigned n = 0; n < processors_.size(); ++n) {
        hv::Vcpu& vcpu = *processors_[n].vcpu;
        const bool waits = n != 0 && (again ? vcpu.restart_waiting() : vcpu.start_waiting());
        if (waits || (n == 0 && (again ? vcpu.restart(first) : vcpu.start(first)))) continue;
        const hv::StopReport& report = vcpu.stop_report();
        return platform::error(
            fmt::format("the hypervisor cannot start a guest ({})",
                        report.what != nullptr ? report.what : "no reason given"),
            "--cpu", "a model with what it needs");
    }
    return {};
}

platform::Expected<void> Guest::build() {
    const u64 reserve = reserve_for(config_.layout);
    const Layout below = platform::layout_of(reserve + config_.layout.ram_size(),
                                             config_.layout.epc_size, epc_gap(*config_.model));
    auto machine = platform::Machine::create(below, config_.model, config_.processors);
    if (!machine) return std::unexpected{machine.error()};
    machine_ = std::move(*machine);
    cpu::System& system = machine_->system();
    system.choices = config_.choices;
    system.engine = config_.engine;
    system.sgx_seed = config_.sgx_seed.value_or(system.sgx_seed);
    system.idle_returns = true;
    dma_map_ = {place_in(config_.layout, below, reserve), config_.layout.epc_base,
                config_.layout.epc_size};
    ticks_.resize(config_.processors);
    for (unsigned n = 0; n < config_.processors; ++n) {
        machine_->processor(n).interrupts = &ticks_[n];
        if (cpu::Epc* const epc = machine_->epc()) ticks_[n].watch(&epc->interruptions);
        platform::set_memory_types(machine_->processor(n));
    }
    if (auto built = build_devices(); !built) return built;
    remember_power_on();
    if (config_.kernel.file.empty() || config_.snapshot_follows)
        return build_hypervisor(below, reserve);
    const auto start = load();
    if (!start) return std::unexpected{start.error()};
    if (auto built = build_hypervisor(below, reserve); !built) return built;
    return start_processors(*start, false);
}

}  // namespace postern::host
