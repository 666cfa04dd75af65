// SPDX-License-Identifier: Apache-2.0
// Counters by name.
#include "app/stats.h"

#include <string>

#include <nlohmann/json.hpp>

#include "app/conflict_option.h"
#include "app/hosted_stats.h"
#include "app/report.h"
#include "cpu/sgx/epc.h"

namespace postern::app {

namespace {

using Json = nlohmann::ordered_json;

/// An exit reason and how often it came, by kind.
Json exits_of(const hv::Counters& counters, size_t reason) {
    Json row;
    for (size_t kind = 0; kind < hv::exit_kind_count; ++kind)
        if (const u64 count = counters.by_reason[reason][kind]; count != 0)
            row[std::string{name_of(static_cast<hv::ExitKind>(kind))}] = count;
    return row;
}

/// What --sgx-conflict did, by leaf.
Json conflicts_of(const cpu::System& system) {
    Json all = Json::object();
    if (system.epc == nullptr) return all;
    const cpu::sgx::Conflicts& conflicts = system.epc->conflicts;
    for (const cpu::sgx::ConflictLeaf& leaf : cpu::sgx::conflict_leaves())
        if (conflicts.rate[leaf.row] != 0)
            all[option_name(leaf)] = {{"asked", conflicts.asked[leaf.row]},
                                      {"given", conflicts.given[leaf.row]}};
    return all;
}

/// What --interrupt-enclave did.
Json interruptions_of(const cpu::System& system) {
    if (system.epc == nullptr) return Json::object();
    const cpu::sgx::Interruptions& interruptions = system.epc->interruptions;
    if (interruptions.when == cpu::sgx::Interruptions::When::never) return Json::object();
    return {{"given", interruptions.given}, {"instructions", interruptions.retired}};
}

Json devices_of(const platform::Bus& bus) {
    Json devices = Json::object();
    for (const platform::DeviceCount& c : bus.counts())
        devices[std::string{c.device}] = {{"reads", c.reads}, {"writes", c.writes}};
    return devices;
}

void write(platform::Sink& to, const Json& value) {
    for (const char c : value.dump(2)) to.put(static_cast<u8>(c));
    to.put('\n');
    to.flush();
}

}  // namespace

void write_stats(platform::Sink& to, platform::Computer& computer) {
    const Json all{{"way", "bare"},
                   {"processors", computer.processor_count()},
                   {"time", computer.now()},
                   {"idle", computer.idle()},
                   {"state", state_digest(subject_of(computer))},
                   {"devices", devices_of(computer.machine().bus())},
                   {"conflicts", conflicts_of(computer.machine().system())},
                   {"interruptions", interruptions_of(computer.machine().system())}};
    write(to, all);
}

void write_stats(platform::Sink& to, host::Guest& guest) {
    const hv::Counters counters = guest.counters();
    const cpu::System& system = guest.machine().system();
    Json exits = Json::object();
    for (size_t reason = 0; reason < reason_limit; ++reason)
        if (const Json row = exits_of(counters, reason); !row.empty())
            exits[std::string{postern::name_of(static_cast<BasicReason>(reason))}] = row;
    Json anomalies = Json::object();
    for (size_t n = 0; n < hv::anomaly_count; ++n)
        if (counters.anomalies[n] != 0)
            anomalies[std::string{name_of(static_cast<hv::Anomaly>(n))}] = counters.anomalies[n];
    Json plain = Json::object();
    for (const NamedCounter& row : counter_names())
        plain[std::string{row.name}] = counters.*row.counter;
    Json all{{"way", "hosted"},
             {"instructions", guest.now()},
             {"idle", guest.idle()},
             {"resets", guest.resets()},
             {"state", state_digest(guest.subject())},
             {"devices", devices_of(guest.bus())},
             {"counters", plain},
             {"exits", exits},
             {"anomalies", anomalies},
             {"conflicts", conflicts_of(system)},
             {"interruptions", interruptions_of(system)}};
    add_hosted_stats(all, counts_of(guest));
    write(to, all);
}

}  // namespace postern::app
