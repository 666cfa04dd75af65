// SPDX-License-Identifier: Apache-2.0
// What a bare and a hosted run have in common: what is asked for, when a run is looked after, and
// how it is saved and loaded.
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "app/options.h"
#include "app/serial_input.h"
#include "app/sgx_options.h"
#include "cpu/model.h"
#include "host/guest.h"

namespace postern::app {

/// Everything that is the same about both, checked.
struct RunPlan {
    cpu::Model model;
    SgxPlan sgx;
    host::Limits limits;
    std::unique_ptr<platform::Sink> serial;
    std::unique_ptr<platform::Sink> console;  // null: there is none
    std::unique_ptr<platform::Disk> drive;
    bool stats = false;
    std::unique_ptr<platform::Sink> stats_file;  // null: standard error
    std::string save;                            // a snapshot's file; empty: none is made
    u64 save_at = 0;                             // 0: at the first write to the mark port
    std::string load;
    // Whose other end standard input is.
    enum class Input : u8 { none, serial, console } input = Input::none;
};

/// Why a run comes back before the machine ends it.
enum class Limit : u8 { none, instructions, time, save };

/// Looks after a run between its portions.
class RunWatch {
public:
    explicit RunWatch(const RunPlan& plan);

    /// When the portion that begins now ends at the latest.
    [[nodiscard]] u64 next(u64 now) const { return std::min(last_, now + period); }
    /// After a portion: output goes out, what was typed goes to the port as much as it takes, and
    /// time that passed idle passes here. `idle_before`: the machine's idle() before the portion.
    template <class Machine>
    void attend(Machine& machine, u64 idle_before);
    [[nodiscard]] Limit reached(u64 now) const;

private:
    /// How often the wall clock is looked at and output is flushed, in instructions.
    static constexpr u64 period = 20'000'000;
    using Clock = std::chrono::steady_clock;

    const RunPlan& plan_;
    Clock::time_point deadline_;
    u64 save_, last_;
    std::optional<SerialInput> input_;
};

/// --save-at mark: the guest's first write to the mark port ends the run.
class SaveAtMark {
public:
    explicit SaveAtMark(const RunPlan& plan) : asked_{!plan.save.empty() && plan.save_at == 0} {}
    /// At a write. True: it is the one that was waited for.
    bool take();
    [[nodiscard]] bool taken() const { return taken_; }

private:
    bool asked_, taken_ = false;
};

void flush(const RunPlan& plan);
/// The program's exit status.
int save(const platform::SnapshotSubject& subject, u64 now, const RunPlan& plan, Terminal terminal);
/// Nothing, if nothing is to be loaded.
[[nodiscard]] platform::Expected<void> load(const platform::SnapshotSubject& subject,
                                            const RunPlan& plan);

template <class Machine>
void RunWatch::attend(Machine& machine, u64 idle_before) {
    flush(plan_);
    if (!input_) return;
    if (plan_.input == RunPlan::Input::console)
        feed(*machine.console(), *input_);
    else
        feed(machine.devices().serial, *input_);
    input_->wait(machine.idle() - idle_before);
}

}  // namespace postern::app
