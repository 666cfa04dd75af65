// SPDX-License-Identifier: Apache-2.0
// From texts to a plan, and from the plan to a machine.
#include "app/sgx_options.h"

#include <array>
#include <string_view>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "app/conflict_option.h"
#include "app/options.h"
#include "app/text.h"
#include "cpu/sgx/epc.h"

namespace postern::app {

using cpu::sgx::Interruptions;
using platform::error;
using platform::Expected;

namespace {

constexpr const char* interruption_option = "--interrupt-enclave";

struct InterruptionName {
    std::string_view name;
    Interruptions::When when;
    u64 least, most;
};
constexpr u64 most_instructions = u64{1} << 60;
constexpr std::array interruption_names{
    InterruptionName{"every", Interruptions::When::every, 1, most_instructions},
    InterruptionName{"at", Interruptions::When::at, 1, most_instructions},
    InterruptionName{"seed", Interruptions::When::scattered, 0, ~u64{0}}};

Expected<InterruptionRequest> parse_interruptions(const std::string& text) {
    const auto sides = split(text, '=');
    for (const InterruptionName& row : interruption_names) {
        if (sides.size() != 2 || sides[0] != row.name) continue;
        const auto number = parse_number(sides[1]);
        if (!number || *number < row.least || *number > row.most)
            return error(fmt::format("\"{}\" is not a number for {}", sides[1], row.name),
                         interruption_option,
                         fmt::format("{}=N with N from {} to {}", row.name, row.least, row.most));
        return InterruptionRequest{row.when, *number};
    }
    return error(fmt::format("\"{}\" does not say when", text), interruption_option,
                 "every=N, at=K or seed=S");
}

Expected<void> require_sgx(const platform::Layout& layout, const char* option) {
    if (layout.epc_size != 0) return {};
    return error("there is no SGX with --epc 0", option, "an EPC, such as --epc 64M");
}

}  // namespace

void add_sgx_options(CLI::App& command, SgxOptions& options) {
    command.add_option("--sgx-seed", options.seed,
                       "A number that the processors' SGX keys follow from (default 1)");
    command
        .add_option(conflict_option, options.conflicts,
                    "LEAF[+LEAF...]=RATE[,SEED]: SGX leaves that are to meet conflicts, such as "
                    "einit=0.5")
        ->allow_extra_args(false);
    command.add_option(interruption_option, options.interruptions,
                       "every=N, at=K or seed=S: leave enclaves after these of their instructions, "
                       "as an SMI does");
}

Expected<SgxPlan> plan_sgx(const SgxOptions& options, const platform::Layout& layout) {
    SgxPlan plan;
    if (!options.seed.empty()) {
        plan.seed = parse_number(options.seed);
        if (!plan.seed)
            return error(fmt::format("\"{}\" is not a number", options.seed), "--sgx-seed",
                         fmt::format("a number from 0 to {}", ~u64{0}));
    }
    auto conflicts = parse_conflicts(options.conflicts);
    if (!conflicts) return std::unexpected{conflicts.error()};
    plan.conflicts = std::move(*conflicts);
    if (!plan.conflicts.empty())
        if (auto possible = require_sgx(layout, conflict_option); !possible)
            return std::unexpected{possible.error()};
    if (options.interruptions.empty()) return plan;
    const auto interruptions = parse_interruptions(options.interruptions);
    if (!interruptions) return std::unexpected{interruptions.error()};
    plan.interruptions = *interruptions;
    if (auto possible = require_sgx(layout, interruption_option); !possible)
        return std::unexpected{possible.error()};
    return plan;
}

void apply(const SgxPlan& plan, cpu::System& system) {
    if (!plan.conflicts.empty()) cpu::sgx::set_conflicts(system.epc->conflicts, plan.conflicts);
    if (plan.interruptions)
        cpu::sgx::set_interruptions(system.epc->interruptions, plan.interruptions->when,
                                    plan.interruptions->number);
}

std::vector<std::string> sgx_lines(const cpu::System& system) {
    std::vector<std::string> lines;
    if (system.epc == nullptr) return lines;
    const cpu::sgx::Conflicts& conflicts = system.epc->conflicts;
    for (const cpu::sgx::ConflictLeaf& leaf : cpu::sgx::conflict_leaves())
        if (conflicts.rate[leaf.row] != 0)
            lines.push_back(fmt::format("{:>12}  conflicts of {}, asked for {} times",
                                        conflicts.given[leaf.row], leaf.name,
                                        conflicts.asked[leaf.row]));
    const Interruptions& interruptions = system.epc->interruptions;
    if (interruptions.when != Interruptions::When::never)
        lines.push_back(
            fmt::format("{:>12}  interruptions of enclaves, in {} instructions of "
                        "theirs",
                        interruptions.given, interruptions.retired));
    return lines;
}

}  // namespace postern::app
