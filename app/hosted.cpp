// SPDX-License-Identifier: Apache-2.0
// A hosted run from power-on to its end.
#include "app/hosted.h"

#include <array>
#include <optional>

#include <fmt/format.h>

#include "app/hosted_stats.h"
#include "app/report.h"
#include "app/stats.h"
#include "app/text.h"
#include "app/trace_writer.h"

namespace postern::app {

namespace {

using host::Ending;
using host::Guest;
using host::RunResult;

/// Tells of anomalies and resets, of the first of each, and leaves the rest to the counters.
class Reporter final : public hv::Watcher {
public:
    explicit Reporter(std::ostream& stream) : stream_{&stream} {}
    void exit(const hv::ExitRecord&) override {}
    void stopped(const hv::StopReport&) override {}
    void reset(const hv::ResetRecord& record) override {
        if (record.number <= most)
            *stream_ << "postern: the guest begins anew: " << reset_text(record) << '\n';
        if (record.number == most) *stream_ << "postern: no more of these are shown\n";
    }
    void anomaly(hv::Anomaly anomaly, const hv::ExitRecord& record) override {
        u32& count = warned_[static_cast<size_t>(anomaly)];
        if (++count > most) return;
        for (const std::string& line : anomaly_lines(anomaly, record))
            *stream_ << "postern: " << line << '\n';
        if (count == most) *stream_ << "postern: no more of these are shown\n";
    }

private:
    static constexpr u32 most = 5;  // of each

    std::ostream* stream_;
    std::array<u32, hv::anomaly_count> warned_{};
};

/// Nothing: it is time to save.
std::optional<RunResult> run_to_end(Guest& guest, const HostedPlan& plan, const SaveAtMark& mark) {
    RunWatch watch{plan};
    for (;;) {
        const u64 idle = guest.idle();
        auto result = guest.run_until(watch.next(guest.now()));
        watch.attend(guest, idle);
        if (result) return *result;
        if (mark.taken()) return std::nullopt;
        switch (watch.reached(guest.now())) {
            case Limit::none: break;
            case Limit::save: return std::nullopt;
            case Limit::instructions: return guest.finish(Ending::instruction_limit);
            case Limit::time: return guest.finish(Ending::time_limit);
        }
    }
}

void report(Guest& guest, const RunResult& result, Terminal terminal) {
    for (const std::string& line : ending_lines(result))
        terminal.err << "postern: " << line << '\n';
    for (unsigned n = 0; n < guest.processor_count(); ++n)
        for (const VmcsField field : guest.port(n).missing_fields())
            terminal.err << fmt::format("postern: bug: the processor has no VMCS field {}\n",
                                        postern::name_of(field));
    for (const std::string& line : refusal_lines(guest.vm().sgx().last_refusal()))
        terminal.err << "postern: " << line << '\n';
}

void show_stats(Guest& guest, const HostedPlan& plan, Terminal terminal) {
    if (plan.stats_file)
        write_stats(*plan.stats_file, guest);
    else if (plan.stats)
        terminal.err << lines_of(counter_lines(guest.counters(), guest.now()))
                     << (guest.resets() != 0 ? fmt::format("{:>12}  resets\n", guest.resets()) : "")
                     << lines_of(enclave_lines(guest.vm().enclaves()))
                     << fmt::format("state {}\n", state_digest(guest.subject()))
                     << lines_of(sgx_lines(guest.machine().system()));
}

/// Null: none is asked for.
platform::Expected<std::unique_ptr<TraceWriter>> open_trace(const HostedPlan& plan,
                                                            hv::Watcher& next) {
    if (plan.trace.empty()) return nullptr;
    return TraceWriter::open(plan.trace,
                             {.model = std::string{plan.model.name},
                              .command_line = plan.command_line,
                              .processors = plan.guest.processors},
                             next);
}

}  // namespace

int run_hosted(HostedPlan& plan, Terminal terminal) {
    Reporter reporter{terminal.err};
    const auto trace = open_trace(plan, reporter);
    if (!trace) return refuse(terminal, trace.error());
    hv::Watcher* watcher = &reporter;
    if (*trace) watcher = trace->get();
    StreamSink debug{terminal.err};
    plan.guest.model = &plan.model;
    Guest* running = nullptr;
    SaveAtMark mark{plan};
    const auto on_mark = [&](u32) {
        if (mark.take()) running->interrupt();
    };
    auto guest = Guest::create(std::move(plan.guest), {*plan.serial, debug, *watcher, on_mark});
    if (!guest) return refuse(terminal, guest.error());
    running = guest->get();
    if (auto loaded = load(running->subject(), plan); !loaded)
        return refuse(terminal, loaded.error());
    if (*trace) (*trace)->begin(running->vm().enclaves());
    apply(plan.sgx, running->machine().system());
    const auto result = run_to_end(*running, plan, mark);
    flush(plan);
    if (*trace)
        if (const auto done = (*trace)->finish(); !done)
            terminal.err << line_of(done.error()) << '\n';
    const int status = result ? host::exit_status(*result)
                              : save(running->subject(), running->now(), plan, terminal);
    if (result) report(*running, *result, terminal);
    if (result || status == 0) show_stats(*running, plan, terminal);
    return status;
}

}  // namespace postern::app
