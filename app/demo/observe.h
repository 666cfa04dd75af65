// SPDX-License-Identifier: Apache-2.0
// One run of the guest for one row of the demo, and everything that can be seen of it from
// outside: exits, anomalies, marks, doorbell, serial lines. Nothing is judged here.
#pragma once

#include <functional>
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
    u8 cpl = 0;
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
    /// The guest is a whole operating system, the row a process of it: what the kernel does
    /// meanwhile is no part of the row.
    bool of_a_process = false;
    u64 doorbell = platform::doorbell_base;
    u64 leaks = 0;  // exits from the enclave that show one of its registers, if they were looked at

    /// The exits of the row itself that interrupted the enclave, or were typed otherwise though
    /// the processor says that they did (bit 27).
    [[nodiscard]] std::vector<hv::ExitRecord> enclave_exits() const;
    /// What the guest said, if it said it exactly once; else empty.
    [[nodiscard]] std::string said_once(std::string_view key) const;
    [[nodiscard]] std::vector<std::string> said_all(std::string_view key) const;
};

platform::Expected<Observation> observe(const Experiment& experiment,
                                        const platform::Kernel& kernel);

/// A run of any guest that marks where the part to be looked at begins and ends.
struct Trial {
    host::GuestConfig guest;  // without layout; without a model: the default one
    std::string said_as;      // its lines are "@said_as.key=value"
    u32 begins = 0, ends = 0;
    u32 mark_mask = ~u32{0};  // of a mark's bits, those that are compared
    u64 instruction_limit = 0;
    bool looks_at_registers = false;
    /// What its owner does when the part begins, and in it after each exit.
    std::function<void(host::Guest&)> at_begin;
    std::function<void(host::Guest&, const hv::ExitRecord&)> at_exit;
};

platform::Expected<Observation> observe(Trial trial);

}  // namespace postern::app
