// SPDX-License-Identifier: Apache-2.0
// Running a hosted guest: turns, and the time between them.
#include "host/guest.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <utility>

#include "cpu/event/event.h"

namespace postern::host {

namespace {

/// How often the wall clock is looked at, in instructions and in VM exits.
constexpr u64 wall_clock_period = 10'000'000;
constexpr u64 exits_at_once = 100'000;

}  // namespace

int exit_status(const RunResult& result) {
    switch (result.ending) {
        case Ending::exit_port: return platform::ExitPort::status(result.value);
        case Ending::reset:
        case Ending::power_off: return 0;
        case Ending::halted:
        case Ending::stopped:
        case Ending::processor: return 4;
        case Ending::instruction_limit:
        case Ending::time_limit: return 124;
    }
    return 4;
}

u64 Guest::now() const { return running_ != nullptr ? cpu::now(*running_) : turns_.now; }

hv::Counters Guest::counters() const {
    using Words = std::array<u64, sizeof(hv::Counters) / sizeof(u64)>;
    static_assert(sizeof(Words) == sizeof(hv::Counters), "every counter is a u64");
    Words sum{};
    for (const Processor& p : processors_) {
        const auto words = std::bit_cast<Words>(p.vcpu->counters());
        std::ranges::transform(sum, words, sum.begin(), std::plus{});
    }
    return std::bit_cast<hv::Counters>(sum);
}

RunResult Guest::finish(Ending ending, u32 value, std::string what) {
    RunResult result;
    result.ending = ending;
    result.value = value;
    result.what = std::move(what);
    if (ending == Ending::stopped) result.stop = processors_[turns_.turn].vcpu->stop_report();
    result.instructions = turns_.now;
    return result;
}

std::optional<RunResult> Guest::stop_request() {
    const platform::StopRequest request = bus_.stop_request();
    switch (request.kind) {
        case platform::StopKind::exit_port: return finish(Ending::exit_port, request.value);
        case platform::StopKind::reset:
            if (config_.on_reset == OnReset::restart) return begin_reset(hv::ResetCause::device);
            return finish(Ending::reset);
        case platform::StopKind::power_off: return finish(Ending::power_off);
        case platform::StopKind::none: break;
    }
    return std::nullopt;
}

/// One that is paused in its guest may wait there (UMWAIT); all others enter it.
bool Guest::wakes(unsigned n) {
    cpu::Cpu& c = machine_->processor(n);
    platform::set_clock(c, turns_.now);
    Processor& p = processors_[n];
    if (!p.halted) return !c.vmx.non_root || cpu::wakes(c);
    if (!p.vcpu->wants_to_run()) return false;
    p.halted = false;
    ticks_[n].taken(turns_.now);
    return true;
}

/// When something happens that no processor's turn brings about: a device, or the timer of a
/// processor that waits.
u64 Guest::next_wake() const {
    u64 next = devices_->next_event();
    for (unsigned n = 0; n < processors_.size(); ++n) {
        const cpu::Cpu& c = machine_->processor(n);
        if (!processors_[n].halted && c.event.activity == ActivityState::active) continue;
        // What is due already and has not woken it is masked.
        if (const u64 at = cpu::next_event(c); at > turns_.now) next = std::min(next, at);
    }
    return next;
}

/// What the hypervisor carries out takes no time. A guest that does nothing else would never come
/// to the end of a turn or a limit: after so many such exits in a row each counts as an
/// instruction.
void Guest::keep_time_moving(u64 now) {
    constexpr u64 free_exits = 1000;
    timeless_exits_ = now == latest_exit_ ? timeless_exits_ + 1 : 0;
    turns_.now = timeless_exits_ > free_exits ? now + 1 : now;
    latest_exit_ = turns_.now;
}

std::optional<RunResult> Guest::run_turn(u64 until) {
    Processor& p = processors_[turns_.turn];
    cpu::Cpu& c = machine_->processor(turns_.turn);
    const bool alone = processors_.size() == 1;
    const u64 end = std::min({until, next_wake(), alone ? never : turns_.turn_end});
    p.port->run_until(std::max(end, turns_.now + 1));
    running_ = &c;
    const hv::Next next = p.vcpu->run_once();
    running_ = nullptr;
    const u64 now = cpu::now(c);
    // Where a run is cut no exit is counted.
    if (next == hv::Next::paused && now != turns_.now)
        turns_.now = now;
    else
        keep_time_moving(now);
    p.halted = next == hv::Next::halt;
    const bool over = p.halted || (next == hv::Next::paused && p.port->is_turn_over());
    // One alone has no turns, and where its run is cut must not be seen in its state.
    if (alone || over) turns_.turn_end = turns_.now;
    if (!p.port->failure().empty()) return finish(Ending::processor, 0, p.port->failure());
    if (next != hv::Next::stop || bus_.stop_requested()) return std::nullopt;
    if (restarts_after(p.vcpu->stop_report())) return begin_reset(hv::ResetCause::triple_fault);
    return finish(Ending::stopped);
}

void Guest::pass_time(u64 until) {
    const u64 then = std::max(turns_.now, until);
    idle_ += then - turns_.now;
    turns_.now = then;
}

std::optional<RunResult> Guest::run_until(u64 until) {
    for (u64 exits = 0; exits < exits_at_once; ++exits) {
        devices_->advance(turns_.now);
        if (auto result = stop_request()) return result;
        if (std::exchange(interrupted_, false) || turns_.now >= until) return std::nullopt;
        if (restart_at_ != never) {
            if (turns_.now < restart_at_)
                pass_time(std::min(restart_at_, until));
            else if (auto result = restart())
                return result;
            continue;
        }
        if (platform::find_turn(turns_, processor_count(),
                                [this](unsigned n) { return wakes(n); })) {
            if (auto result = run_turn(until)) return result;
            continue;
        }
        const u64 next = next_wake();
        if (next == never) return finish(Ending::halted);
        pass_time(std::min(next, until));
    }
    return std::nullopt;
}

RunResult Guest::run(const Limits& limits) {
    using Wall = std::chrono::steady_clock;
    const auto deadline = Wall::now() + std::chrono::milliseconds{limits.milliseconds};
    const u64 last = limits.instructions == 0 ? never : limits.instructions;
    for (;;) {
        const u64 period = limits.milliseconds == 0 ? last : turns_.now + wall_clock_period;
        if (auto result = run_until(std::min(last, period))) return *result;
        if (turns_.now >= last) return finish(Ending::instruction_limit);
        if (limits.milliseconds != 0 && Wall::now() >= deadline) return finish(Ending::time_limit);
    }
}

}  // namespace postern::host
