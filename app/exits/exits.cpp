// SPDX-License-Identifier: Apache-2.0
// From options to what is printed. A trace is read twice: what is wrong with it is known before
// anything is printed.
#include "app/exits/exits.h"

#include <algorithm>

#include <fmt/format.h>

#include "app/exits/names.h"
#include "app/exits/print.h"
#include "app/text.h"

namespace postern::app {

namespace {

using platform::error;
using platform::Expected;

constexpr u64 buckets_most = 10'000;

constexpr bool is_lower_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

/// "#3": the third that was created; "0x80001000": by its SECS; "5c3a90": MRENCLAVE begins so.
Expected<void> parse_enclave(const std::string& text, ExitFilter& filter) {
    const auto wrong = error(fmt::format("\"{}\" names no enclave", text), "--enclave",
                             "#N, the address of its SECS with 0x, or MRENCLAVE's first digits");
    if (text.starts_with('#') || text.starts_with("0x")) {
        const auto number = parse_number(text.starts_with('#') ? text.substr(1) : text);
        if (!number || *number == 0) return wrong;
        (text.starts_with('#') ? filter.number : filter.secs) = *number;
        return {};
    }
    if (text.size() < 2 || text.size() > 64 || !std::ranges::all_of(text, is_lower_hex))
        return wrong;
    filter.mrenclave = text;
    return {};
}

Expected<u64> parse_ticks(const std::string& text, const char* option, u64 otherwise) {
    if (text.empty()) return otherwise;
    if (const auto number = parse_number(text)) return *number;
    return error(fmt::format("\"{}\" is not a time", text), option,
                 "a number of ticks, as --list shows them");
}

Expected<ExitFilter> parse_filter(const ExitsOptions& options) {
    ExitFilter filter;
    if (!options.enclave.empty())
        if (auto parsed = parse_enclave(options.enclave, filter); !parsed)
            return std::unexpected{parsed.error()};
    for (const std::string& words : options.reasons)
        for (const std::string_view word : split(words, ',')) {
            const auto reason = parse_reason(word);
            if (!reason)
                return error(fmt::format("unknown exit reason \"{}\"", word), "--reason",
                             "a number or a name, such as ept_violation");
            filter.reasons.push_back(*reason);
        }
    const auto from = parse_ticks(options.from, "--from", 0);
    if (!from) return std::unexpected{from.error()};
    const auto to = parse_ticks(options.to, "--to", ~u64{0});
    if (!to) return std::unexpected{to.error()};
    filter.from = *from;
    filter.to = *to;
    if (filter.from > filter.to)
        return error("it ends before it begins", "--from and --to", "--from before --to");
    return filter;
}

/// What is asked for; null: tables.
Expected<RecordLine> chosen_line(const ExitsOptions& options) {
    if (int{options.json} + int{options.csv} + int{options.kvm} > 1)
        return error("one format at a time", "--json, --csv, --kvm", "one of them");
    if (options.csv) return csv_line;
    if (options.kvm) return kvm_line;
    if (!options.list) return nullptr;
    return options.json ? json_line : list_line;
}

/// `visit` gets the first `most` exits that `filter` takes, each with its enclave; `visit_reset`
/// every reset on the way in the time that it takes.
template <class Visit, class VisitReset>
Expected<TraceEnding> each_exit(TraceReader& reader, const ExitFilter& filter, u64 most,
                                Visit visit, VisitReset visit_reset) {
    EnclaveBook enclaves;
    for (u64 left = most;;) {
        const auto records = reader.next();
        if (!records) return std::unexpected{records.error()};
        if (records->empty()) return reader.ending();
        for (const trace::Record& record : *records) {
            if (record.kind == trace::RecordKind::enclave) {
                enclaves.see(record.enclave);
                continue;
            }
            if (record.kind == trace::RecordKind::reset) {
                enclaves.forget();
                const u64 when = record.reset.tsc;
                if (when >= filter.from && when <= filter.to) visit_reset(record.reset);
                continue;
            }
            const hv::EnclaveIdentity* const who = enclaves.of(record.exit);
            if (!filter.takes(record.exit, who)) continue;
            if (left == 0) return reader.ending();
            --left;
            visit(record.exit, who);
        }
    }
}

struct Request {
    std::string trace;
    ExitFilter filter;
    u64 buckets = 0;
    RecordLine line = nullptr;
    bool csv = false;
    bool json = false;
};

Expected<Request> parse(const ExitsOptions& options) {
    const auto filter = parse_filter(options);
    if (!filter) return std::unexpected{filter.error()};
    const auto line = chosen_line(options);
    if (!line) return std::unexpected{line.error()};
    const auto buckets = parse_count(options.buckets, "--buckets", buckets_most);
    if (!buckets) return std::unexpected{buckets.error()};
    return Request{options.trace, *filter, *buckets, *line, options.csv, options.json};
}

void warn_of(const TraceEnding& ending, std::ostream& err) {
    if (ending.complete) return;
    err << "postern: the trace has no end: postern was killed, or is still running";
    if (ending.cut_off != 0)
        err << fmt::format("; {} bytes of a block that is not whole are left out", ending.cut_off);
    err << '\n';
}

/// With the summary only half made: its time is known.
Expected<TraceEnding> survey(const Request& request, Summary& summary) {
    const auto reader = TraceReader::open(request.trace);
    if (!reader) return std::unexpected{reader.error()};
    return each_exit(
        **reader, request.filter, ~u64{0},
        [&](const hv::ExitRecord& exit, const auto*) { summary.reach(exit); },
        [&](const hv::ResetRecord&) { ++summary.resets; });
}

/// The file may have grown since: that is left out.
Expected<void> print(const Request& request, Summary& summary, const TraceEnding& ending,
                     std::ostream& out) {
    const auto reader = TraceReader::open(request.trace);
    if (!reader) return std::unexpected{reader.error()};
    if (request.csv) out << csv_head();
    const auto read = each_exit(
        **reader, request.filter, summary.exits,
        [&](const hv::ExitRecord& exit, const hv::EnclaveIdentity* who) {
            if (request.line != nullptr)
                out << request.line(exit, who);
            else
                summary.count(exit, who);
        },
        [&](const hv::ResetRecord& reset) {
            if (request.line == list_line) out << reset_line(reset);
        });
    if (!read) return std::unexpected{read.error()};
    if (request.line != nullptr) return {};
    out << (request.json ? summary_json(summary, (*reader)->about(), ending)
                         : summary_text(summary, (*reader)->about()));
    return {};
}

}  // namespace

int exits_command(const ExitsOptions& options, Terminal terminal) {
    const auto request = parse(options);
    if (!request) return refuse(terminal, request.error());
    Summary summary;
    const auto ending = survey(*request, summary);
    if (!ending) return refuse(terminal, ending.error());
    warn_of(*ending, terminal.err);
    summary.divide(request->buckets);
    if (auto printed = print(*request, summary, *ending, terminal.out); !printed)
        return refuse(terminal, printed.error());
    return 0;
}

}  // namespace postern::app
