// SPDX-License-Identifier: Apache-2.0
// Counters by name.
#include "app/stats.h"

#include <string>

#include <nlohmann/json.hpp>

#include "app/report.h"

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

void write(platform::Sink& to, const Json& value) {
    for (const char c : value.dump(2)) to.put(static_cast<u8>(c));
    to.put('\n');
    to.flush();
}

}  // namespace

void write_stats(platform::Sink& to, platform::Computer& computer) {
    Json devices = Json::object();
    for (const platform::DeviceCount& c : computer.machine().bus().counts())
        devices[std::string{c.device}] = {{"reads", c.reads}, {"writes", c.writes}};
    const Json all{{"way", "bare"},
                   {"processors", computer.processor_count()},
                   {"time", computer.now()},
                   {"idle", computer.idle()},
                   {"state", state_digest(subject_of(computer))},
                   {"devices", devices}};
    write(to, all);
}

void write_stats(platform::Sink& to, const hv::Counters& counters, u64 instructions) {
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
    const Json all{{"way", "hosted"},
                   {"instructions", instructions},
                   {"counters", plain},
                   {"exits", exits},
                   {"anomalies", anomalies}};
    write(to, all);
}

}  // namespace postern::app
