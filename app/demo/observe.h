// SPDX-License-Identifier: Apache-2.0
// One run of the guest for one row of the demo, and everything that can be seen of it from
// outside: exits, anomalies, marks, doorbell, serial lines. Nothing is judged here.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "host/guest.h"

namespace postern::app {

struct Experiment {
    unsigned row = 0;
    hv::Protections protections = hv::all_protections;
    u32 preemption_timer = 0;
    bool lying_processor = false;
};

struct SeenAnomaly {
    hv::Anomaly anomaly;
    u64 exit;  // its sequence number
};

/// The guest's writes to the mark port that name a page to take back.
struct TakenBack {
    u64 page;
    bool was_mapped;
    size_t exits_before;
};

struct Observation {
    host::RunResult result;
    hv::Counters counters;
    std::vector<hv::ExitRecord> exits;
    std::vector<SeenAnomaly> anomalies;
    std::vector<TakenBack> taken_back;
    std::vector<platform::Doorbell::Ring> rings;
    u64 ring_count = 0;
    size_t row_begin = 0;  // exits before the row's first mark
    size_t row_end = 0;    // exits up to its last, or to the end
    std::string serial;
    std::multimap<std::string, std::string, std::less<>> said;  // "@row1.key=value": key, value
    std::vector<VmcsField> missing_fields;

    /// The exits of the row itself that interrupted the enclave, or were typed otherwise though
    /// the processor says that they did (bit 27).
    [[nodiscard]] std::vector<hv::ExitRecord> enclave_exits() const;
    /// What the guest said, if it said it exactly once; else empty.
    [[nodiscard]] std::string said_once(std::string_view key) const;
    [[nodiscard]] std::vector<std::string> said_all(std::string_view key) const;
};

platform::Expected<Observation> observe(const Experiment& experiment,
                                        const platform::Kernel& kernel);

}  // namespace postern::app
