// SPDX-License-Identifier: Apache-2.0
// The counters of a hosted guest: of each virtual processor, of all, of each enclave; and beside
// them what the software processors counted themselves.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "cpu/vmx/exit_counts.h"
#include "host/guest.h"
#include "hv/enclave/enclaves.h"

namespace postern::app {

/// Where the counters of a guest are. Virtual processor n runs on processor n.
struct HostedCounts {
    std::vector<const hv::Counters*> vcpus;
    std::vector<const cpu::ExitCounts*> processors;
    const hv::EnclaveTable* enclaves = nullptr;
};
HostedCounts counts_of(host::Guest& guest);

/// Where the hypervisor's counters and the processors' own are not the same: reason, flag, both
/// numbers. Empty: they agree. With every protection on, and of a guest that no snapshot brought.
std::vector<std::string> disagreements(const HostedCounts& counts);

/// "enclaves", "vcpus", "processors", "disagreements" of --stats FILE; docs/debugging.md lists the
/// members.
void add_hosted_stats(nlohmann::ordered_json& all, const HostedCounts& counts);

/// --stats: an enclave a line.
std::vector<std::string> enclave_lines(const hv::EnclaveTable& enclaves);

}  // namespace postern::app
