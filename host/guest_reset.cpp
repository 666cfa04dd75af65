// SPDX-License-Identifier: Apache-2.0
// A reset of a hosted guest that begins anew. There is no firmware: the loader does again what it
// did at the start. RAM that it does not write, the clock and what is on the disk stay.
#include <fmt/format.h>

#include "cpu/decode/block_cache.h"
#include "host/guest.h"

namespace postern::host {

void Guest::remember_power_on() {
    auto all = std::make_unique<PowerOn>();
    all->pc = devices_->state();
    if (devices_->doorbell_function) all->doorbell = devices_->doorbell_function->state();
    if (drive_) all->drive = drive_->state();
    if (console_) all->console = console_->state();
    if (test_device_) all->test = test_device_->state();
    power_on_ = std::move(all);
}

/// No wire of theirs is asserted then, the 8259s' included.
void Guest::reset_devices() {
    devices_->reset(power_on_->pc);
    if (devices_->doorbell_function) devices_->doorbell_function->restore(power_on_->doorbell);
    if (drive_) drive_->restore(power_on_->drive);
    if (console_) console_->restore(power_on_->console);
    if (test_device_) test_device_->restore(power_on_->test);
    vm_->set_external(false);
}

/// A chipset answers the shutdown that follows a triple fault with a reset. SDM 3A, "Interrupt 8:
/// Double Fault Exception (#DF)".
bool Guest::restarts_after(const hv::StopReport& report) const {
    return config_.on_reset == OnReset::restart && report.reason == hv::StopReason::triple_fault;
}

/// By an interrupt of the host's, as any exit: what was interrupted in an enclave has left it. The
/// shadow of one instruction may hold it back. Nothing: it is done.
std::optional<RunResult> Guest::leave_guest(unsigned n) {
    constexpr unsigned attempts = 1000;
    Processor& p = processors_[n];
    cpu::Cpu& c = machine_->processor(n);
    for (unsigned attempt = 0; c.vmx.non_root; ++attempt) {
        if (attempt == attempts)
            return finish(Ending::processor, 0,
                          fmt::format("processor {} does not leave the guest for its reset", n));
        platform::set_clock(c, turns_.now);
        ticks_[n].kick();
        p.port->run_until(turns_.now + 1);
        running_ = &c;
        static_cast<void>(p.vcpu->run_once());
        running_ = nullptr;
        if (!p.port->failure().empty()) return finish(Ending::processor, 0, p.port->failure());
    }
    ticks_[n].taken(turns_.now);
    return std::nullopt;
}

/// From now on nobody runs; time passes until the restart.
std::optional<RunResult> Guest::begin_reset(hv::ResetCause cause) {
    for (unsigned n = 0; n < processors_.size(); ++n) {
        if (auto result = leave_guest(n)) return result;
        const hv::StopReport& report = processors_[n].vcpu->stop_report();
        if (report.reason == hv::StopReason::none || restarts_after(report)) continue;
        turns_.turn = n;
        return finish(Ending::stopped);
    }
    bus_.restore({});
    restart_at_ = turns_.now + reset_time;
    surroundings_.watcher.reset({++resets_, turns_.now, turns_.turn, cause});
    return std::nullopt;
}

/// Nobody has code of the memory that the loader writes.
std::optional<RunResult> Guest::restart() {
    const auto fails = [this](const platform::Error& error) {
        return finish(
            Ending::processor, 0,
            fmt::format("the guest cannot be restarted: {}: {}", error.where, error.what));
    };
    restart_at_ = never;
    reset_devices();
    for (cpu::Cpu* const c : machine_->processors()) c->blocks->drop_all(*c);
    const auto start = load();
    if (!start) return fails(start.error());
    if (const hv::EpcScrub scrub = vm_->reset(); scrub.left != 0)
        return finish(
            Ending::processor, 0,
            fmt::format("{} pages of the guest's EPC cannot be emptied, the first at {:#x}",
                        scrub.left, scrub.first_left.raw()));
    if (auto started = start_processors(*start, true); !started) return fails(started.error());
    for (Processor& p : processors_) p.halted = false;
    turns_.turn = 0;
    turns_.turn_end = turns_.now;
    return std::nullopt;
}

}  // namespace postern::host
