// SPDX-License-Identifier: Apache-2.0
// Sums, comparisons and names.
#include "app/hosted_stats.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "app/exits/names.h"
#include "app/report.h"

namespace postern::app {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t short_digits = 16;

/// In the order of their creation.
std::vector<const hv::EnclaveTable::Entry*> ordered(const hv::EnclaveTable& enclaves) {
    std::vector<const hv::EnclaveTable::Entry*> all;
    for (const hv::EnclaveTable::Entry& entry : enclaves.entries()) all.push_back(&entry);
    std::ranges::sort(all, {}, [](const auto* entry) { return entry->enclave.number; });
    return all;
}

/// The members of `row` that are not 0.
template <size_t count>
Json named(const std::array<u64, count>& row, const std::array<const char*, count>& names) {
    Json made = Json::object();
    for (size_t n = 0; n < count; ++n)
        if (row[n] != 0) made[names[n]] = row[n];
    return made;
}

template <size_t count>
Json by_reason(const std::array<std::array<u64, count>, reason_limit>& rows,
               const std::array<const char*, count>& names) {
    Json all = Json::object();
    for (size_t reason = 0; reason < reason_limit; ++reason)
        if (Json row = named(rows[reason], names); !row.empty())
            all[reason_name(static_cast<u16>(reason))] = std::move(row);
    return all;
}

Json of_vcpu(const hv::Counters& counters) {
    Json plain = Json::object();
    for (const NamedCounter& row : counter_names())
        if (counters.*row.counter != 0) plain[std::string{row.name}] = counters.*row.counter;
    return {
        {"counters", plain},
        {"exits", by_reason<4>(counters.by_reason, {"normal", "enclave", "delivery", "failed"})}};
}

Json of_processor(const cpu::ExitCounts& counts) {
    Json failed = Json::object();
    for (size_t reason = 0; reason < reason_limit; ++reason)
        if (counts.failed_entries[reason] != 0)
            failed[reason_name(static_cast<u16>(reason))] = counts.failed_entries[reason];
    return {{"exits", by_reason<2>(counts.by_reason, {"outside", "enclave"})},
            {"failed_entries", failed}};
}

Json of_enclave(const hv::EnclaveCounters& counters) {
    return {{"exits", counters.exits},
            {"guard_hits", counters.guard_hits},
            {"anomalies", counters.anomalies},
            {"by_reason", by_reason<2>(counters.by_reason, {"enclave", "delivery"})}};
}

Json of_entry(const hv::EnclaveTable::Entry& entry) {
    Json row{{"number", entry.enclave.number},
             {"mrenclave",
              entry.enclave.initialized != 0 ? Json(mrenclave_text(entry.enclave)) : Json(nullptr)},
             {"secs", fmt::format("{:#x}", entry.enclave.secs)},
             {"base", fmt::format("{:#x}", entry.enclave.base)},
             {"size", entry.enclave.size},
             {"gone", !entry.lives}};
    row.update(of_enclave(entry.counters));
    return row;
}

std::string enclave_line(const hv::EnclaveCounters& counters, const std::string& whose) {
    const std::string guarded = counters.guard_hits != 0
                                    ? fmt::format(", {} of them guard hits", counters.guard_hits)
                                    : std::string{};
    return fmt::format("{:>12}  exits of {}{}", counters.exits, whose, guarded);
}

void compare(std::vector<std::string>& found, size_t reason, const char* what, u64 ours,
             u64 processors) {
    if (ours != processors)
        found.push_back(
            fmt::format("exits {} {}, {}: {} counted by the hypervisor, {} by the "
                        "processor",
                        reason, reason_name(static_cast<u16>(reason)), what, ours, processors));
}

}  // namespace

HostedCounts counts_of(host::Guest& guest) {
    HostedCounts counts;
    for (unsigned n = 0; n < guest.processor_count(); ++n) {
        counts.vcpus.push_back(&guest.vcpu(n).counters());
        counts.processors.push_back(&guest.machine().processor(n).exit_counts);
    }
    counts.enclaves = &guest.vm().enclaves();
    return counts;
}

std::vector<std::string> disagreements(const HostedCounts& counts) {
    std::vector<std::string> found;
    for (size_t n = 0; n < counts.vcpus.size(); ++n) {
        const hv::Counters& ours = *counts.vcpus[n];
        const cpu::ExitCounts& processor = *counts.processors[n];
        for (size_t reason = 0; reason < reason_limit; ++reason) {
            const auto& [normal, enclave, delivery, failed] = ours.by_reason[reason];
            compare(found, reason, "outside enclaves", normal, processor.by_reason[reason][0]);
            compare(found, reason, "from enclaves", enclave + delivery,
                    processor.by_reason[reason][1]);
            compare(found, reason, "failed entries", failed, processor.failed_entries[reason]);
        }
    }
    return found;
}

void add_hosted_stats(Json& all, const HostedCounts& counts) {
    Json enclaves = Json::array();
    for (const auto* const entry : ordered(*counts.enclaves)) enclaves.push_back(of_entry(*entry));
    Json vcpus = Json::array();
    for (const hv::Counters* const one : counts.vcpus) vcpus.push_back(of_vcpu(*one));
    Json processors = Json::array();
    for (const cpu::ExitCounts* const one : counts.processors)
        processors.push_back(of_processor(*one));
    all["enclaves"] = enclaves;
    all["enclaves_retired"] = of_enclave(counts.enclaves->retired());
    all["enclaves_unknown"] = of_enclave(counts.enclaves->unknown());
    all["vcpus"] = vcpus;
    all["processors"] = processors;
    all["disagreements"] = disagreements(counts);
}

std::vector<std::string> enclave_lines(const hv::EnclaveTable& enclaves) {
    std::vector<std::string> lines;
    for (const auto* const entry : ordered(enclaves))
        lines.push_back(enclave_line(
            entry->counters, fmt::format("enclave #{}, SECS {:#x}, MRENCLAVE {}",
                                         entry->enclave.number, entry->enclave.secs,
                                         mrenclave_text(entry->enclave).substr(0, short_digits))));
    if (enclaves.retired().exits != 0)
        lines.push_back(enclave_line(enclaves.retired(), "enclaves that made room"));
    if (enclaves.unknown().exits != 0)
        lines.push_back(enclave_line(enclaves.unknown(), "enclaves that are not known"));
    return lines;
}

}  // namespace postern::app
