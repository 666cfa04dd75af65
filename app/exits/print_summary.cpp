// SPDX-License-Identifier: Apache-2.0
// Tables and JSON of a summary.
#include <algorithm>
#include <span>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "app/exits/names.h"
#include "app/exits/print.h"
#include "app/report.h"

namespace postern::app {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t guard_hits_shown = 20;
constexpr size_t short_digits = 16;

/// A trace's texts may come from anywhere.
std::string printable(const std::string& text) {
    std::string clean = text;
    for (char& c : clean)
        if (c < ' ' || c > '~') c = '?';
    return clean;
}

/// Without floating point: whole nanoseconds, or what the trace's clock has.
std::string seconds(u64 ticks, u64 per_second) {
    const u64 rest = ticks % per_second;
    // At most a second's worth of ticks, in billionths.
    const u64 billionths = per_second == 1'000'000'000 ? rest
                           : rest < u64{1} << 34       ? rest * 1'000'000'000 / per_second
                                                       : rest / (per_second / 1'000'000'000);
    return fmt::format("{}.{:09}", ticks / per_second, billionths);
}

/// Of `count` events from `first` to `last`; empty: that says nothing.
std::string rate(u64 count, u64 first, u64 last, u64 per_second) {
    if (count < 2 || last <= first) return "-";
    constexpr u64 most = ~u64{0};
    const u64 gaps = count - 1, time = last - first;
    if (gaps <= most / per_second) return fmt::format("{}", gaps * per_second / time);
    return fmt::format("{}", gaps / std::max<u64>(time / per_second, 1));
}

std::string short_mrenclave(const hv::EnclaveIdentity& enclave) {
    if (enclave.number == 0) return "not known";
    return mrenclave_text(enclave).substr(0, short_digits);
}

void add_head(std::string& text, const Summary& s, const trace::About& about) {
    text += fmt::format("{} exits", s.exits);
    if (s.exits != 0)
        text += fmt::format(" in {} s of the guest's time",
                            seconds(s.last - s.first, about.ticks_per_second));
    text += fmt::format(" on {}, {} processor{}\n", printable(about.model), about.processors,
                        about.processors == 1 ? "" : "s");
    if (s.resets != 0)
        text += fmt::format("the guest began anew {} time{}\n", s.resets, s.resets == 1 ? "" : "s");
    if (!about.command_line.empty())
        text += fmt::format("recorded by: {}\n", printable(about.command_line));
}

void add_reasons(std::string& text, const Summary& s) {
    text += fmt::format("\n{:<38}{:>11}{:>11}{:>11}{:>11}{:>11}\n", "by reason", "normal",
                        "enclave", "delivery", "failed", "all");
    const auto row = [&](const std::string& name, const ByKind& kinds) {
        text += fmt::format("{:<38}{:>11}{:>11}{:>11}{:>11}{:>11}\n", name, kinds[0], kinds[1],
                            kinds[2], kinds[3], kinds[0] + kinds[1] + kinds[2] + kinds[3]);
    };
    for (const auto& [number, kinds] : s.by_reason)
        row(fmt::format("{:>5} {}", number, reason_name(number)), kinds);
    row("all", s.by_kind);
}

/// Of a guest without a guest of its own there is nothing to tell apart.
void add_levels(std::string& text, const Summary& s) {
    if (s.by_level[1].exits == 0) return;
    text += fmt::format("\n{:<9}{:>11}{:>15}{:>11}\n", "by level", "exits", "from enclaves",
                        "passed on");
    for (size_t n = 0; n < s.by_level.size(); ++n)
        text += fmt::format("L{:<8}{:>11}{:>15}{:>11}\n", n + 1, s.by_level[n].exits,
                            s.by_level[n].enclave, s.by_level[n].passed_on);
}

void add_enclaves(std::string& text, const Summary& s, u64 per_second) {
    if (s.by_enclave.empty()) return;
    text += fmt::format("\n{:<9}{:<18}{:<20}{:>11}{:>11}{:>11}{:>17}\n", "enclave", "MRENCLAVE",
                        "SECS", "exits", "delivery", "guarded", "exits a second");
    for (const auto& [number, row] : s.by_enclave)
        text += fmt::format(
            "{:<9}{:<18}{:<20}{:>11}{:>11}{:>11}{:>17}\n",
            number != 0 ? fmt::format("#{}", number) : "", short_mrenclave(row.enclave),
            number != 0 ? fmt::format("{:#x}", row.enclave.secs) : "", row.exits, row.by_kind[2],
            row.guard_hits, rate(row.exits, row.first, row.last, per_second));
    if (s.other_enclaves != 0) text += fmt::format("{:<47}{:>11}\n", "others", s.other_enclaves);
}

void add_time(std::string& text, const Summary& s, u64 per_second) {
    if (s.buckets.empty() || s.exits == 0) return;
    text += fmt::format("\n{:<22}{:>20}{:>11}{:>14}{:>11}\n", "over time, from", "ticks", "exits",
                        "from enclaves", "guarded");
    for (size_t n = 0; n < s.buckets.size(); ++n) {
        const u64 offset = s.bucket_width() * n;
        const Bucket& bucket = s.buckets[n];
        if (offset > s.last - s.first) break;
        text += fmt::format("{:>20} s{:>20}{:>11}{:>14}{:>11}\n", seconds(offset, per_second),
                            s.first + offset, bucket.exits, bucket.enclave, bucket.guard_hits);
    }
}

void add_actions(std::string& text, const Summary& s) {
    text += "\nwhat was done\n";
    for (size_t n = 0; n < s.by_action.size(); ++n)
        if (s.by_action[n] != 0)
            text +=
                fmt::format("{:>12}  {}\n", s.by_action[n], name_of(static_cast<hv::Action>(n)));
    if (!s.injected.empty()) text += "\ninjected\n";
    for (const auto& [word, count] : s.injected)
        text += fmt::format("{:>12}  {}\n", count, event_class(word));
    if (s.other_injected != 0) text += fmt::format("{:>12}  others\n", s.other_injected);
}

void add_anomalies(std::string& text, const Summary& s) {
    if (std::ranges::all_of(s.anomalies, [](u64 count) { return count == 0; })) {
        text += "\nno anomalies\n";
        return;
    }
    text += "\nanomalies\n";
    for (size_t n = 0; n < s.anomalies.size(); ++n)
        if (s.anomalies[n] != 0)
            text +=
                fmt::format("{:>12}  {}\n", s.anomalies[n], name_of(static_cast<hv::Anomaly>(n)));
}

void add_guard_hits(std::string& text, const Summary& s) {
    if (s.guarded == 0) {
        text += "\nno guard hits\n";
        return;
    }
    text += fmt::format("\n{} guard hits\n", s.guarded);
    size_t left = guard_hits_shown;
    u64 shown = 0;
    for (const auto& [hit, count] : s.guard_hits) {
        if (left-- == 0) break;
        shown += count;
        text += fmt::format("{:>12}  {}, enclave {}, aep={:#x} tcs={:#x}, physical {:#x}\n", count,
                            reason_name(hit.reason),
                            hit.enclave != 0 ? fmt::format("#{}", hit.enclave) : "not known",
                            hit.aep, hit.tcs, hit.guest_physical);
    }
    if (shown != s.guarded) text += fmt::format("{:>12}  others\n", s.guarded - shown);
}

Json kinds_json(const ByKind& kinds) {
    Json row = Json::object();
    for (size_t n = 0; n < kinds.size(); ++n)
        if (kinds[n] != 0) row[std::string{name_of(static_cast<hv::ExitKind>(n))}] = kinds[n];
    return row;
}

template <class Name>
Json named_json(std::span<const u64> counts, Name name) {
    Json all = Json::object();
    for (size_t n = 0; n < counts.size(); ++n)
        if (counts[n] != 0) all[std::string{name(n)}] = counts[n];
    return all;
}

Json enclave_json(const EnclaveExits& row) {
    const hv::EnclaveIdentity& e = row.enclave;
    Json known = nullptr;
    if (e.number != 0)
        known = {{"number", e.number},
                 {"mrenclave", e.initialized != 0 ? Json(mrenclave_text(e)) : Json(nullptr)},
                 {"secs", fmt::format("{:#x}", e.secs)},
                 {"base", fmt::format("{:#x}", e.base)},
                 {"size", e.size}};
    return {{"enclave", known},
            {"exits", row.exits},
            {"kinds", kinds_json(row.by_kind)},
            {"guard_hits", row.guard_hits},
            {"first", row.first},
            {"last", row.last}};
}

Json levels_json(const Summary& s) {
    Json all = Json::object();
    for (size_t n = 0; n < s.by_level.size(); ++n)
        if (s.by_level[n].exits != 0)
            all[fmt::format("{}", n + 1)] = {{"exits", s.by_level[n].exits},
                                             {"enclave", s.by_level[n].enclave},
                                             {"passed_on", s.by_level[n].passed_on}};
    return all;
}

Json guard_hits_json(const Summary& s) {
    Json all = Json::array();
    for (const auto& [hit, count] : s.guard_hits)
        all.push_back({{"count", count},
                       {"reason", reason_name(hit.reason)},
                       {"enclave", hit.enclave != 0 ? Json(hit.enclave) : Json(nullptr)},
                       {"aep", fmt::format("{:#x}", hit.aep)},
                       {"tcs", fmt::format("{:#x}", hit.tcs)},
                       {"guest_physical", fmt::format("{:#x}", hit.guest_physical)}});
    return all;
}

}  // namespace

std::string summary_text(const Summary& summary, const trace::About& about) {
    std::string text;
    add_head(text, summary, about);
    if (summary.exits == 0) return text;
    add_reasons(text, summary);
    add_levels(text, summary);
    add_enclaves(text, summary, about.ticks_per_second);
    add_time(text, summary, about.ticks_per_second);
    add_actions(text, summary);
    add_guard_hits(text, summary);
    add_anomalies(text, summary);
    return text;
}

std::string summary_json(const Summary& summary, const trace::About& about,
                         const TraceEnding& ending) {
    Json reasons = Json::object();
    for (const auto& [number, kinds] : summary.by_reason)
        reasons[reason_name(number)] = kinds_json(kinds);
    Json enclaves = Json::array();
    for (const auto& [number, row] : summary.by_enclave) enclaves.push_back(enclave_json(row));
    Json injected = Json::object();
    for (const auto& [word, count] : summary.injected)
        injected[event_class(word)] = injected.value(event_class(word), u64{0}) + count;
    Json time = Json::array();
    for (size_t n = 0; n < summary.buckets.size() && summary.exits != 0; ++n)
        time.push_back({{"from", summary.first + summary.bucket_width() * n},
                        {"exits", summary.buckets[n].exits},
                        {"enclave", summary.buckets[n].enclave},
                        {"guard_hits", summary.buckets[n].guard_hits}});
    const Json all{
        {"model", printable(about.model)},
        {"command_line", printable(about.command_line)},
        {"processors", about.processors},
        {"ticks_per_second", about.ticks_per_second},
        {"complete", ending.complete},
        {"cut_off", ending.cut_off},
        {"count", summary.exits},
        {"resets", summary.resets},
        {"first", summary.first},
        {"last", summary.last},
        {"exits", reasons},
        {"vcpus", named_json(summary.by_vcpu, [](size_t n) { return fmt::format("{}", n); })},
        {"levels", levels_json(summary)},
        {"enclaves", enclaves},
        {"other_enclaves", summary.other_enclaves},
        {"over_time", time},
        {"actions", named_json(summary.by_action,
                               [](size_t n) { return name_of(static_cast<hv::Action>(n)); })},
        {"injected", injected},
        {"other_injected", summary.other_injected},
        {"guarded", summary.guarded},
        {"guard_hits", guard_hits_json(summary)},
        {"other_guard_hits", summary.other_guard_hits},
        {"anomalies", named_json(summary.anomalies,
                                 [](size_t n) { return name_of(static_cast<hv::Anomaly>(n)); })}};
    return all.dump(2) + '\n';
}

}  // namespace postern::app
