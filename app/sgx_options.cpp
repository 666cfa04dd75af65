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

void add_sgx_guest_options(CLI::App& command, SgxOptions& options) {
    command.add_flag("--sgx-provision", options.provision,
                     "The guest's enclaves may ask for the provisioning key");
}

Expected<SgxPlan> plan_sgx(const SgxOptions& options, const platform::Layout& layout) {
    SgxPlan plan;
    if (!options.seed.empty()) {
        plan.seed = parse_number(options.seed);
        if (!plan.seed)
            return error(fmt::format("\"{}\" is not a number", options.seed), "--sgx-seed",
                         fmt::format("a number from 0 to {}", ~u64{0}));
    }
    plan.provision = options.provision;
    if (plan.provision)
        if (auto possible = require_sgx(layout, "--sgx-provision"); !possible)
            return std::unexpected{possible.error()};
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

namespace {

struct FieldText {
    std::string_view what;
    std::string_view relation;  // of what is allowed to what was asked
    std::string_view advice;
};

constexpr std::string_view by_processor = "it is one the processor refuses, too";
constexpr std::array field_texts{
    FieldText{"nothing", "", ""},
    FieldText{"the provisioning key", "allowed", "--sgx-provision grants it"},
    FieldText{"the launch token's key", "allowed", ""},
    FieldText{"ATTRIBUTES", "allowed", "CPUID.(12H,1):EBX:EAX says what the guest has"},
    FieldText{"MISCSELECT", "allowed", "CPUID.(12H,0):EBX says what the guest has"},
    FieldText{"XFRM", "needed", "x87 and SSE are every enclave's"},
    FieldText{"XFRM", "allowed", "CPUID.(12H,1):EDX:ECX says what the guest has"},
    FieldText{"XFRM", "allowed", "the guest cannot set the rest in XCR0"},
    FieldText{"SIZE", "below", "CPUID.(12H,0):EDX says how large an enclave can be"},
    FieldText{"CONFIGID or CONFIGSVN", "allowed", "they need ATTRIBUTES.KSS"},
    FieldText{"a CET field", "allowed", "enclaves of a guest have no CET"},
    FieldText{"an operand's address", "multiple of", "or it is not canonical, or outside DS"},
    FieldText{"PAGEINFO", "allowed", by_processor},
    FieldText{"SECINFO", "allowed", by_processor},
    FieldText{"the whole", "", "the leaf itself faulted, with this vector"},
};
static_assert(field_texts.size() == static_cast<size_t>(hv::SgxField::processor) + 1);

}  // namespace

std::vector<std::string> refusal_lines(const hv::SgxRefusal& refusal) {
    std::vector<std::string> lines;
    const auto index = static_cast<size_t>(refusal.verdict.field);
    if (refusal.number == 0 || index >= field_texts.size()) return lines;
    const FieldText& text = field_texts[index];
    lines.push_back(fmt::format("refused {} times; the last was ENCLS[{}] at RIP {:#x}, CR3 {:#x}",
                                refusal.number, postern::name_of(refusal.leaf), refusal.rip,
                                refusal.cr3));
    lines.push_back(fmt::format(
        "  for {}: asked {:#x}{}{}", text.what, refusal.verdict.asked,
        text.relation.empty() ? std::string{}
                              : fmt::format(", {} {:#x}", text.relation, refusal.verdict.allowed),
        text.advice.empty() ? std::string{} : fmt::format(" ({})", text.advice)));
    return lines;
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
