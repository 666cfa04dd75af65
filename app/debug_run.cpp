// SPDX-License-Identifier: Apache-2.0
// Plans from words, the instruction log, and one debugger's session.
#include "app/debug_run.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "app/text.h"
#include "cpu/mode.h"
#include "platform/boot/file.h"
#include "platform/debug/computer_target.h"
#include "platform/debug/disassembly.h"
#include "platform/debug/gdb_server.h"
#include "platform/debug/report.h"

namespace postern::app {

namespace {

using platform::ComputerOutcome;
using platform::ComputerStop;
using platform::DebugSessionEnd;
using platform::DebugStop;
using platform::error;
using platform::Expected;

constexpr u64 symbols_most = u64{1} << 30;

Expected<InstructionRange> parse_range(std::string_view words) {
    const auto parts = split(words, ':');
    const auto first = parse_number(parts[0]);
    const auto last = parts.size() == 2 ? parse_number(parts[1]) : std::nullopt;
    if (!first || !last || *first >= *last)
        return error(fmt::format("\"{}\" are no two counts", words), "--log",
                     "instructions=FROM:TO, FROM below TO");
    return InstructionRange{*first, *last};
}

Expected<void> parse_log(const std::string& words, DebugPlan& plan) {
    for (const std::string_view word : split(words, ',')) {
        if (word == "branches") {
            plan.branches = true;
        } else if (word == "devices") {
            plan.devices = true;
        } else if (word.starts_with("instructions=")) {
            const auto range = parse_range(word.substr(word.find('=') + 1));
            if (!range) return std::unexpected{range.error()};
            plan.instructions = *range;
        } else {
            return error(fmt::format("unknown log \"{}\"", word), "--log",
                         "branches, devices or instructions=FROM:TO");
        }
    }
    return {};
}

Expected<platform::Symbols> symbols_of(const std::string& path, const platform::Kernel& kernel) {
    if (path.empty()) {
        auto own = platform::Symbols::parse(kernel.file, kernel.name);
        return own ? std::move(*own) : platform::Symbols{};
    }
    const auto file = platform::read_file(path, symbols_most, "an ELF64 file with symbols");
    if (!file) return std::unexpected{file.error()};
    return platform::Symbols::parse(*file, path);
}

ComputerStop computer_stop(DebugStop stop) {
    switch (stop) {
        case DebugStop::power_off: return ComputerStop::power_off;
        case DebugStop::exit_port: return ComputerStop::exit_port;
        case DebugStop::reset: return ComputerStop::reset;
        case DebugStop::shutdown: return ComputerStop::shutdown;
        case DebugStop::unimplemented: return ComputerStop::unimplemented;
        case DebugStop::halted: return ComputerStop::halted;
        default: return ComputerStop::interrupted;
    }
}

}  // namespace

Expected<DebugPlan> plan_debugging(const std::string& gdb, const std::string& log,
                                   const std::string& symbols, const platform::Kernel& kernel) {
    DebugPlan plan;
    if (!gdb.empty()) {
        const auto where = platform::parse_host_port(gdb, "--gdb");
        if (!where) return std::unexpected{where.error()};
        plan.gdb = *where;
    }
    if (!log.empty())
        if (const auto parsed = parse_log(log, plan); !parsed)
            return std::unexpected{parsed.error()};
    auto names = symbols_of(symbols, kernel);
    if (!names) return std::unexpected{names.error()};
    plan.symbols = std::move(*names);
    return plan;
}

DebugRun::DebugRun(platform::Computer& computer, const DebugPlan& plan, Terminal terminal)
    : computer_{&computer}, plan_{&plan}, terminal_{terminal} {
    if (plan.devices)
        computer.observe_devices([this](const platform::DeviceAccess& a) { log_access(a); });
    if (!plan.wanted()) return;
    computer.machine().system().debugger = &debugger_;
    if (plan.branches) cpu::record_branches(computer.machine().system(), true);
}

DebugRun::~DebugRun() {
    computer_->machine().system().debugger = nullptr;
    computer_->observe_devices({});
}

void DebugRun::log_access(const platform::DeviceAccess& access) {
    const bool port = access.space == platform::BusSpace::ports;
    terminal_.err << fmt::format("{:>12} {} {} {} {:#x} {} {} {:#x}\n", access.time,
                                 access.processor, access.writes ? "write" : "read",
                                 port ? "port" : "memory", access.address, access.device,
                                 access.size, access.value);
}

ComputerOutcome DebugRun::run_until(u64 until) {
    const auto& range = plan_->instructions;
    cpu::System& system = computer_->machine().system();
    const u64 now = computer_->now();
    if (!range || now >= range->last) return computer_->run_until(until);
    if (now < range->first) return computer_->run_until(std::min(until, range->first));
    if (!plan_->branches) cpu::record_branches(system, true);
    ComputerOutcome outcome;
    const u64 end = std::min(until, range->last);
    while (outcome.stop == ComputerStop::time && computer_->now() < end)
        outcome = log_instruction();
    if (!plan_->branches) cpu::record_branches(system, false);
    return outcome;
}

/// Which processor's it was, and whether an event came before it, is known afterwards.
ComputerOutcome DebugRun::log_instruction() {
    struct Before {
        u64 branches;
        bool active;
        std::string line;
    };
    std::vector<Before> before;
    const auto line = [&](unsigned n, u64 rip) {
        return platform::instruction_line(computer_->processor(n), rip, &plan_->symbols);
    };
    for (unsigned n = 0; n < computer_->processor_count(); ++n) {
        const cpu::Cpu& c = computer_->processor(n);
        const bool active = c.event.activity == ActivityState::active;
        before.push_back({debugger_.branches[n].count, active,
                          active ? line(n, cpu::code_linear(c)) : std::string{}});
    }
    const u64 start = computer_->now();
    const ComputerOutcome outcome = computer_->run_until(start + 1);
    const unsigned n = computer_->state().turn;
    Before& was = before[n];
    const cpu::BranchRing& ring = debugger_.branches[n];
    for (u64 k = was.branches; k < ring.count; ++k) {
        const cpu::BranchRecord& b = ring.record[k % cpu::BranchRing::size];
        if (!b.event) continue;
        terminal_.err << fmt::format("{:>12} {} event at {:016x}\n", start, n, b.from);
        was.line = line(n, b.to);
        was.active = true;
    }
    if (was.active && computer_->now() != start)
        terminal_.err << fmt::format("{:>12} {} {}\n", start, n, was.line);
    return outcome;
}

Expected<DebugRun::Session> DebugRun::serve(u64 last, const std::function<bool()>& between) {
    Session result;
    if (!plan_->gdb) return result;
    auto listener = platform::Listener::open(*plan_->gdb, "--gdb");
    if (!listener) return std::unexpected{listener.error()};
    terminal_.err << fmt::format("postern: waiting for a debugger at {}:{}\n", plan_->gdb->host,
                                 listener->port())
                  << std::flush;
    auto channel = listener->accept();
    if (!channel) return std::unexpected{channel.error()};
    platform::ComputerTarget target{*computer_, last, between};
    platform::GdbServer server{target, std::move(*channel), &plan_->symbols};
    const DebugSessionEnd end = server.serve();
    if (end.kind == DebugSessionEnd::Kind::detached) return result;
    what_ = end.outcome.what;
    result.over = true;
    result.killed = end.kind != DebugSessionEnd::Kind::machine_end;
    result.limit = end.outcome.stop == DebugStop::limit;
    result.outcome = {computer_stop(end.outcome.stop), end.outcome.processor, end.outcome.value,
                      what_.c_str()};
    return result;
}

void DebugRun::report(unsigned processor) {
    for (const std::string& line :
         platform::machine_report(computer_->machine().system(), processor, &plan_->symbols))
        terminal_.err << line << '\n';
}

}  // namespace postern::app
