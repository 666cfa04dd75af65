// SPDX-License-Identifier: Apache-2.0
// Booting, the program's run, and what is said of its end.
#include "app/exec/session.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include <fmt/format.h>

#include "app/exec/cpio.h"
#include "app/exec/ending.h"
#include "app/exec/refusal.h"
#include "app/exec/snapshot_cache.h"
#include "app/exec/streams.h"
#include "app/stats.h"
#include "app/text.h"
#include "platform/boot/file.h"

namespace postern::app::exec {

namespace {

using platform::Computer;
using platform::ComputerOutcome;
using platform::ComputerStop;
using platform::Expected;

/// How often the wall clock is looked at and output is flushed, in instructions.
constexpr u64 watch_period = 20'000'000;
constexpr u64 largest_kernel = 256 * platform::mib;

/// A panic ends the machine at once, and nobody waits for what is not there.
constexpr const char* command_line = "console=ttyS0 panic=-1 nokaslr";

Expected<platform::Kernel> read_kernel(const SessionPlan& plan) {
    platform::Kernel kernel;
    kernel.name = plan.kernel;
    kernel.command_line = command_line;
    auto file = platform::read_file(plan.kernel, largest_kernel, "one of Debian's kernels");
    if (!file) return std::unexpected{file.error()};
    kernel.file = std::move(*file);
    const auto init = platform::read_file(plan.init, largest_kernel,
                                          "the one of this project, from the same build");
    if (!init) return std::unexpected{init.error()};
    CpioArchive archive;
    archive.add_directory("dev", 0755);
    archive.add_file("init", 0755, *init);
    kernel.initrd = std::move(archive).finish();
    return kernel;
}

/// Of the machine once it has booted.
std::string snapshot_name(const SessionPlan& plan, const platform::Kernel& kernel) {
    SnapshotKey key;
    key.add(program_identity());
    key.add(plan.machine);
    key.add(kernel.command_line);
    key.add(kernel.file);
    key.add(kernel.initrd);
    return key.name();
}

class Session {
public:
    Session(SessionPlan& plan, Terminal terminal)
        : plan_{plan}, terminal_{terminal}, streams_{terminal},
          log_{plan.verbose ? &terminal.err : nullptr}, cache_{plan.cache} {
        plan_.computer.model = &plan_.model;
        plan_.computer.streams = &streams_;
    }

    int run() {
        if (auto ready = start(); !ready) {
            terminal_.err << line_of(ready.error()) << '\n';
            return status_failed;
        }
        std::optional<Ending> end;
        if (!marked_) end = until_mark();
        if (!end) {
            if (!loaded_) keep();
            apply(plan_.sgx, computer_->machine().system());
            end = until_end();
        }
        report(*end);
        return end->status;
    }

private:
    using WallClock = std::chrono::steady_clock;

    /// From a snapshot, or by power-on.
    Expected<void> start() {
        auto kernel = read_kernel(plan_);
        if (!kernel) return std::unexpected{kernel.error()};
        if (!plan_.cache.empty()) snapshot_ = snapshot_name(plan_, *kernel);
        if (!snapshot_.empty() && cache_.has(snapshot_)) {
            if (auto made = create(plan_.computer); !made) return made;
            const auto loaded = cache_.load(subject_of(*computer_), snapshot_);
            if (loaded) {
                loaded_ = marked_ = true;
                return {};
            }
            terminal_.err << fmt::format("postern: {}: {}: it is made anew\n", loaded.error().what,
                                         loaded.error().where);
            debug_.reset();
        }
        plan_.computer.kernel = std::move(*kernel);
        return create(std::move(plan_.computer));
    }

    Expected<void> create(platform::ComputerConfig config) {
        const auto on_mark = [this](u32) {
            marked_ = true;
            computer_->interrupt();
        };
        auto computer = Computer::create(std::move(config), {log_, complaint_, on_mark});
        if (!computer) return std::unexpected{computer.error()};
        computer_ = std::move(*computer);
        debug_.emplace(*computer_, plan_.debug, terminal_);
        return {};
    }

    void keep() {
        if (snapshot_.empty()) return;
        if (const auto saved = cache_.save(subject_of(*computer_), snapshot_); !saved)
            terminal_.err << line_of(saved.error()) << '\n';
    }

    /// Nothing: the guest waits for its program.
    std::optional<Ending> until_mark() {
        for (;;) {
            const ComputerOutcome outcome = debug_->run_until(computer_->now() + watch_period);
            flush();
            if (marked_ && outcome.stop == ComputerStop::interrupted) return std::nullopt;
            if (outcome.stop != ComputerStop::time) return ending(outcome);
            if (out_of_time()) return time_is_up();
        }
    }

    Ending until_end() {
        const u64 last =
            plan_.instructions != 0 ? computer_->now() + plan_.instructions : Computer::never;
        for (;;) {
            const u64 idle = computer_->idle();
            const u64 until = std::min(last, computer_->now() + watch_period);
            const ComputerOutcome outcome = debug_->run_until(until);
            flush();
            if (!streams_.good()) return {status_failed, "standard output cannot be written"};
            if (outcome.stop != ComputerStop::time) return ending(outcome);
            if (computer_->now() >= last)
                return {status_limit, "the limit of --max-instructions was reached"};
            if (out_of_time()) return time_is_up();
            streams_.wait(computer_->idle() - idle);
        }
    }

    [[nodiscard]] bool out_of_time() const {
        return plan_.milliseconds != 0 &&
               WallClock::now() >= begin_ + std::chrono::milliseconds{plan_.milliseconds};
    }
    static Ending time_is_up() { return {status_limit, "the limit of --timeout was reached"}; }
    [[nodiscard]] Ending ending(const ComputerOutcome& outcome) const {
        return ending_of(outcome, plan_.program, complaint_.text());
    }
    void flush() { streams_.flush(); }

    void report(const Ending& end) {
        if (end.of_kernel && !plan_.verbose)
            for (const std::string& line : log_.last_lines())
                terminal_.err << fmt::format("postern: kernel: {}\n", line);
        if (!end.text.empty()) terminal_.err << fmt::format("postern: {}\n", end.text);
        if (plan_.stats_file)
            write_stats(*plan_.stats_file, *computer_);
        else if (plan_.stats)
            terminal_.err << fmt::format("{} instructions and idle nanoseconds\nstate {}\n{}",
                                         computer_->now(), state_digest(subject_of(*computer_)),
                                         lines_of(sgx_lines(computer_->machine().system())));
    }

    SessionPlan& plan_;
    Terminal terminal_;
    HostStreams streams_;
    KernelLog log_;
    platform::StringSink complaint_;
    WallClock::time_point begin_ = WallClock::now();
    SnapshotCache cache_;
    std::string snapshot_;  // its name; empty: there is to be none
    bool loaded_ = false;
    bool marked_ = false;  // the guest waits for its program
    std::unique_ptr<Computer> computer_;
    std::optional<DebugRun> debug_;
};

}  // namespace

int run_session(SessionPlan& plan, Terminal terminal) { return Session{plan, terminal}.run(); }

}  // namespace postern::app::exec
