// SPDX-License-Identifier: Apache-2.0
// A bare run from power-on to its end.
#include "app/bare.h"

#include <chrono>

#include <fmt/format.h>

#include "app/stats.h"
#include "app/text.h"

namespace postern::app {

namespace {

using platform::Computer;
using platform::ComputerOutcome;
using platform::ComputerStop;

struct End {
    ComputerOutcome outcome;
    Limit limit = Limit::none;
    bool killed = false;  // by a debugger
};

End run_to_end(Computer& computer, const BarePlan& plan, DebugRun& debug, const SaveAtMark& mark) {
    RunWatch watch{plan};
    for (;;) {
        const u64 idle = computer.idle();
        const ComputerOutcome outcome = debug.run_until(watch.next(computer.now()));
        watch.attend(computer, idle);
        if (outcome.stop == ComputerStop::interrupted && mark.taken())
            return {outcome, Limit::save};
        if (outcome.stop != ComputerStop::time) return {outcome};
        if (const Limit limit = watch.reached(computer.now()); limit != Limit::none)
            return {outcome, limit};
    }
}

/// The run as a debugger has it, then what is left of it.
platform::Expected<End> run_debugged(Computer& computer, const BarePlan& plan, DebugRun& debug,
                                     const SaveAtMark& mark) {
    using Clock = std::chrono::steady_clock;
    const auto deadline = Clock::now() + std::chrono::milliseconds{plan.limits.milliseconds};
    const auto between = [&] {
        flush(plan);
        return plan.limits.milliseconds != 0 && Clock::now() >= deadline;
    };
    const u64 last = plan.limits.instructions != 0 ? plan.limits.instructions : Computer::never;
    const auto session = debug.serve(last, between);
    if (!session) return std::unexpected{session.error()};
    if (!session->over) return run_to_end(computer, plan, debug, mark);
    End end{session->outcome, Limit::none, session->killed};
    if (session->limit) end.limit = computer.now() >= last ? Limit::instructions : Limit::time;
    return end;
}

int exit_status(const End& end) {
    if (end.killed) return 0;
    if (end.limit == Limit::save) return 0;
    if (end.limit != Limit::none) return 124;
    switch (end.outcome.stop) {
        case ComputerStop::power_off:
        case ComputerStop::reset: return 0;
        case ComputerStop::exit_port: return platform::ExitPort::status(end.outcome.value);
        default: return 4;
    }
}

std::string shutdown_text(const cpu::Cpu& c, unsigned n) {
    if (c.vmx.abort != 0) return fmt::format("VMX abort {} on processor {}", c.vmx.abort, n);
    return fmt::format("triple fault on processor {}", n);
}

/// Nothing is said of an end that the guest chose.
std::string ending_text(Computer& computer, const End& end) {
    if (end.killed) return "the debugger is gone";
    if (end.limit == Limit::save) return {};
    if (end.limit == Limit::instructions) return "the limit of --max-instructions was reached";
    if (end.limit == Limit::time) return "the limit of --timeout was reached";
    const unsigned n = end.outcome.processor;
    switch (end.outcome.stop) {
        case ComputerStop::shutdown: return shutdown_text(computer.processor(n), n);
        case ComputerStop::halted: return "every processor waits, and nothing will wake one";
        case ComputerStop::unimplemented:
            return fmt::format("not implemented: {} (processor {})", end.outcome.what, n);
        case ComputerStop::interrupted: return "interrupted";
        default: return {};
    }
}

bool cannot_go_on(const End& end) {
    return !end.killed && (end.outcome.stop == ComputerStop::shutdown ||
                           end.outcome.stop == ComputerStop::unimplemented);
}

void report(Computer& computer, const End& end, const BarePlan& plan, Terminal terminal) {
    const std::string text = ending_text(computer, end);
    if (!text.empty()) {
        const cpu::Cpu& c = computer.processor(end.outcome.processor);
        terminal.err << fmt::format("postern: {}, at {:#x} after {} instructions\n", text, c.rip,
                                    computer.now());
    }
    if (plan.stats_file)
        write_stats(*plan.stats_file, computer);
    else if (plan.stats)
        terminal.err << fmt::format("{} instructions and idle nanoseconds\nstate {}\n{}",
                                    computer.now(), state_digest(subject_of(computer)),
                                    lines_of(sgx_lines(computer.machine().system())));
}

}  // namespace

int run_bare(BarePlan& plan, Terminal terminal) {
    StreamSink debug{terminal.err};
    plan.computer.model = &plan.model;
    Computer* running = nullptr;
    SaveAtMark mark{plan};
    const auto on_mark = [&](u32) {
        if (mark.take()) running->interrupt();
    };
    auto computer = Computer::create(std::move(plan.computer), {*plan.serial, debug, on_mark});
    if (!computer) return refuse(terminal, computer.error());
    running = computer->get();
    if (auto loaded = load(subject_of(*running), plan); !loaded)
        return refuse(terminal, loaded.error());
    apply(plan.sgx, running->machine().system());
    DebugRun debugging{*running, plan.debug, terminal};
    const auto end = run_debugged(*running, plan, debugging, mark);
    if (!end) return refuse(terminal, end.error());
    flush(plan);
    if (end->limit == Limit::save)
        if (const int status = save(subject_of(*running), running->now(), plan, terminal);
            status != 0)
            return status;
    report(*running, *end, plan, terminal);
    if (cannot_go_on(*end)) debugging.report(end->outcome.processor);
    return exit_status(*end);
}

}  // namespace postern::app
