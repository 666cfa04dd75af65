// SPDX-License-Identifier: Apache-2.0
// Building a hosted guest and running it.
#include "host/guest.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "base/bits.h"
#include "cpu/model.h"

namespace postern::host {

namespace {

using platform::Layout;

// The reserve at the bottom of the machine's memory. Page 0 stays unused, so that a physical
// address of 0 is a mistake that shows.
constexpr Hpa vmxon_page{1 * page_size};
constexpr Hpa host_page_table{2 * page_size};
constexpr Hpa pool_base{3 * page_size};
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

/// How often the wall clock is looked at, in instructions.
constexpr u64 wall_clock_period = 10'000'000;

hv::StartState start_state(const platform::StartState& from) {
    hv::StartState state;
    state.rip = from.rip;
    state.gpr[rsi] = from.rsi;
    state.cr3 = from.cr3;
    state.gdtr_base = from.gdt_base;
    state.gdtr_limit = from.gdt_limit;
    state.code_selector = from.code_selector;
    state.data_selector = from.data_selector;
    return state;
}

}  // namespace

int exit_status(const RunResult& result) {
    switch (result.ending) {
        case Ending::exit_port: return platform::ExitPort::status(result.value);
        case Ending::reset: return 0;
        case Ending::halted:
        case Ending::stopped:
        case Ending::processor: return 4;
        case Ending::instruction_limit:
        case Ending::time_limit: return 124;
    }
    return 4;
}

Guest::Guest(GuestConfig config, GuestSurroundings surroundings)
    : config_{std::move(config)}, watcher_{surroundings.watcher},
      devices_{surroundings.serial, surroundings.debug, std::move(surroundings.on_mark)},
      bus_devices_{devices_.bus} {}

platform::Expected<std::unique_ptr<Guest>> Guest::create(GuestConfig config,
                                                         GuestSurroundings surroundings) {
    std::unique_ptr<Guest> guest{new Guest{std::move(config), std::move(surroundings)}};
    if (auto built = guest->build(); !built) return std::unexpected{built.error()};
    return guest;
}

hv::Config Guest::hypervisor_config(u64 reserve) const {
    hv::Config config;
    config.pool = {pool_base, static_cast<u32>((reserve - pool_base.raw()) / page_size)};
    config.host = port_->host_state();
    config.protections = config_.protections;
    config.enclave_fault = config_.enclave_fault;
    config.epc = {Gpa{config_.layout.epc_base}, config_.layout.epc_size};
    config.preemption_timer = config_.preemption_timer;
    config.livelock_ticks = config_.livelock_ticks;
    config.mmio_marking = config_.mmio_marking;
    config.hidden = config_.hidden;
    return config;
}

bool Guest::add_memory(const Layout& machine, u64 reserve) {
    for (const platform::Stretch& stretch : place_in(config_.layout, machine, reserve)) {
        const hv::MemorySlot slot{Gpa{stretch.guest}, stretch.size, hv::SlotKind::ram,
                                  Hpa{stretch.machine}};
        if (!vm_->add_memory(slot)) return false;
    }
    if (config_.layout.epc_size != 0) {
        const hv::MemorySlot slot{Gpa{config_.layout.epc_base}, config_.layout.epc_size,
                                  hv::SlotKind::epc, Hpa{machine.epc_base}};
        if (!vm_->add_memory(slot)) return false;
    }
    return std::ranges::all_of(devices_.bus.mmio_ranges(), [&](const platform::MmioRange& range) {
        return vm_->add_mmio({Gpa{range.first}, range.size});
    });
}

platform::Expected<void> Guest::build() {
    const u64 reserve = reserve_for(config_.layout);
    const Layout below = platform::layout_of(reserve + config_.layout.ram_size(),
                                             config_.layout.epc_size, epc_gap(*config_.model));
    auto machine = platform::Machine::create(below, config_.model);
    if (!machine) return std::unexpected{machine.error()};
    machine_ = std::move(*machine);
    machine_->processor().interrupts = &ticks_;
    if (cpu::Epc* const epc = machine_->epc()) ticks_.watch(&epc->interruptions);
    machine_->system().choices = config_.choices;
    machine_->system().sgx_seed = config_.sgx_seed.value_or(machine_->system().sgx_seed);

    const auto start =
        platform::load_elf(config_.kernel, {machine_->ram() + reserve, config_.layout});
    if (!start) return std::unexpected{start.error()};

    port_ =
        std::make_unique<SoftwarePort>(*machine_, SoftwarePort::Pages{vmxon_page, host_page_table});
    if (!port_->start()) return platform::error(port_->failure(), "--cpu", "a model with VMX");
    hv::Port* port = port_.get();
    if (config_.lying_processor) {
        lying_port_ = std::make_unique<LyingPort>(*port_);
        port = lying_port_.get();
    }
    vm_ = std::make_unique<hv::Vm>(*port, bus_devices_, watcher_, hypervisor_config(reserve));
    if (!devices_.complete || !vm_->create() || !add_memory(below, reserve))
        return platform::error("the memory map cannot be built", "--memory", "another size");
    vcpu_ = std::make_unique<hv::Vcpu>(*port, *vm_);
    if (!vcpu_->start(start_state(*start))) {
        const hv::StopReport& report = vcpu_->stop_report();
        return platform::error(
            fmt::format("the hypervisor cannot start a guest ({})",
                        report.what != nullptr ? report.what : "no reason given"),
            "--cpu", "a model with what it needs");
    }
    return {};
}

RunResult Guest::finish(Ending ending, u32 value, std::string what) {
    RunResult result;
    result.ending = ending;
    result.value = value;
    result.what = std::move(what);
    if (ending == Ending::stopped) result.stop = vcpu_->stop_report();
    result.instructions = cpu::now(machine_->processor());
    return result;
}

std::optional<RunResult> Guest::ended(hv::Next next) {
    if (!port_->failure().empty()) return finish(Ending::processor, 0, port_->failure());
    const platform::StopRequest request = devices_.bus.stop_request();
    if (request.kind == platform::StopKind::exit_port)
        return finish(Ending::exit_port, request.value);
    if (request.kind == platform::StopKind::reset) return finish(Ending::reset);
    if (next == hv::Next::stop) return finish(Ending::stopped);
    if (next == hv::Next::halt) return finish(Ending::halted);
    return std::nullopt;
}

RunResult Guest::run(const Limits& limits) {
    using Clock = std::chrono::steady_clock;
    const auto deadline = Clock::now() + std::chrono::milliseconds{limits.milliseconds};
    const u64 last = limits.instructions == 0 ? HostTicks::never : limits.instructions;
    const auto next_tick = [&](u64 now) {
        return limits.milliseconds == 0 ? last : std::min(last, now + wall_clock_period);
    };
    ticks_.arm(next_tick(0));
    for (;;) {
        if (auto result = ended(vcpu_->run_once())) return *result;
        const u64 now = cpu::now(machine_->processor());
        if (now >= last) return finish(Ending::instruction_limit);
        if (now < ticks_.due()) continue;
        if (limits.milliseconds != 0 && Clock::now() >= deadline) return finish(Ending::time_limit);
        ticks_.arm(next_tick(now));
    }
}

}  // namespace postern::host
