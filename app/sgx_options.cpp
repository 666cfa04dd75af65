// SPDX-License-Identifier: Apache-2.0
// From texts to a plan, and from the plan to a machine.
#include "app/sgx_options.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "app/conflict_option.h"
#include "app/text.h"
#include "cpu/sgx/epc.h"

namespace postern::app {

using platform::error;
using platform::Expected;

void add_sgx_options(CLI::App& command, SgxOptions& options) {
    command.add_option("--sgx-seed", options.seed,
                       "A number that the processors' SGX keys follow from (default 1)");
    command
        .add_option(conflict_option, options.conflicts,
                    "LEAF[+LEAF...]=RATE[,SEED]: SGX leaves that are to meet conflicts, such as "
                    "einit=0.5")
        ->allow_extra_args(false);
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
    if (!plan.conflicts.empty() && layout.epc_size == 0)
        return error("there is no SGX with --epc 0", conflict_option, "an EPC, such as --epc 64M");
    return plan;
}

void apply(const SgxPlan& plan, cpu::System& system) {
    if (!plan.conflicts.empty()) cpu::sgx::set_conflicts(system.epc->conflicts, plan.conflicts);
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
    return lines;
}

}  // namespace postern::app
