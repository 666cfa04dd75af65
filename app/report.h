// SPDX-License-Identifier: Apache-2.0
// What the hypervisor recorded, as text.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/guest.h"
#include "hv/watch.h"

namespace postern::app {

std::string_view name_of(hv::ExitKind kind);
std::string_view name_of(hv::Action action);
std::string_view name_of(hv::Anomaly anomaly);

/// "0x08000031 ept_misconfiguration, enclave".
std::string reason_text(u32 raw_reason);

/// "reset 1: asked for by processor 0 after 1234 instructions".
std::string reset_text(const hv::ResetRecord& reset);

/// An anomaly and the exit it was found in; for a livelock also who is caught in it, and what one
/// can do.
std::vector<std::string> anomaly_lines(hv::Anomaly anomaly, const hv::ExitRecord& record);

/// Why the guest was stopped, what the exit was, what one can do about it.
std::vector<std::string> stop_lines(const hv::StopReport& report);

/// How a run ended, if it did not end by the guest's own will; empty otherwise.
std::vector<std::string> ending_lines(const host::RunResult& result);

/// The hypervisor's plain counters, by their names.
struct NamedCounter {
    std::string_view name;
    u64 hv::Counters::* counter;
};
std::span<const NamedCounter> counter_names();

/// --stats: exits by reason and kind, then every other counter that is not zero.
std::vector<std::string> counter_lines(const hv::Counters& counters, u64 instructions);

}  // namespace postern::app
