// SPDX-License-Identifier: Apache-2.0
// The options that say how the machine's SGX behaves, the same for every command that runs one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cpu/sgx/conflict.h"
#include "cpu/sgx/interruption.h"
#include "cpu/system.h"
#include "hv/sgx/policy.h"
#include "platform/error.h"
#include "platform/layout.h"

namespace CLI {
class App;
}

namespace postern::app {

/// As given; empty: not given.
struct SgxOptions {
    std::string seed;
    std::vector<std::string> conflicts;
    std::string interruptions;
    bool provision = false;
};

void add_sgx_options(CLI::App& command, SgxOptions& options);
/// What only a guest of the hypervisor has.
void add_sgx_guest_options(CLI::App& command, SgxOptions& options);

struct InterruptionRequest {
    cpu::sgx::Interruptions::When when;
    u64 number;
};

/// The same, found right.
struct SgxPlan {
    /// Nothing: the usual seed, or a snapshot's. For ComputerConfig and GuestConfig: it must be
    /// there before a snapshot is loaded.
    std::optional<u64> seed;
    std::vector<cpu::sgx::ConflictRequest> conflicts;
    std::optional<InterruptionRequest> interruptions;
    /// The guest's enclaves may ask for the provisioning key.
    bool provision = false;
};

platform::Expected<SgxPlan> plan_sgx(const SgxOptions& options, const platform::Layout& layout);

/// All but the seed, once the machine's state is there. What the plan does not mention stays as a
/// snapshot brought it; what it says as the snapshot does goes on.
void apply(const SgxPlan& plan, cpu::System& system);

/// The last ECREATE or EINIT that a guest was refused: which field, what was asked and allowed.
/// Empty: none was.
std::vector<std::string> refusal_lines(const hv::SgxRefusal& refusal);

/// --stats: what was done about it; nothing where nothing was asked for.
std::vector<std::string> sgx_lines(const cpu::System& system);

}  // namespace postern::app
