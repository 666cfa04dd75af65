// SPDX-License-Identifier: Apache-2.0
// From options to a plan.
#include "app/exec/exec.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>

#include "app/exec/kernels.h"
#include "app/exec/program_file.h"
#include "app/exec/protocol.h"
#include "app/exec/session.h"
#include "app/guest_files.h"
#include "app/text.h"

namespace postern::app {

using namespace exec;

namespace {

constexpr const char* guest_path =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr const char* guest_home = "HOME=/root";
constexpr const char* library_path = "LD_LIBRARY_PATH";

std::string variable(const char* name) {
    const char* const value = std::getenv(name);
    return value != nullptr ? value : "";
}

/// Later ones take the place of earlier ones.
void set(std::vector<std::string>& environment, const std::string& assignment) {
    const std::string name = assignment.substr(0, assignment.find('=') + 1);
    std::erase_if(environment, [&](const std::string& one) { return one.starts_with(name); });
    environment.push_back(assignment);
}

/// The guest's working directory is another: a relative directory would mean another one there.
std::string absolute_directories(const std::string& path) {
    std::vector<std::string> made;
    for (const std::string_view directory : split(path, ':')) {
        std::error_code code;
        made.push_back(std::filesystem::absolute(directory, code).string());
    }
    return fmt::format("{}", fmt::join(made, ":"));
}

platform::Expected<std::vector<std::string>> guest_environment(const ExecOptions& options) {
    std::vector<std::string> made{guest_path, guest_home};
    if (const std::string path = variable(library_path); !path.empty())
        set(made, fmt::format("{}={}", library_path, absolute_directories(path)));
    for (const std::string& assignment : options.environment) {
        const size_t at = assignment.find('=');
        if (at == 0 || at == assignment.npos)
            return platform::error(fmt::format("\"{}\" is no assignment", assignment), "--env",
                                   "NAME=VALUE");
        set(made, assignment);
    }
    return made;
}

std::vector<u8> command_strings(const std::string& program,
                                const std::vector<std::string>& arguments,
                                const std::vector<std::string>& environment) {
    std::vector<u8> item;
    const auto add = [&](std::string_view text) {
        item.insert(item.end(), text.begin(), text.end());
        item.push_back(0);
    };
    add(program);
    add(fmt::format("{}", arguments.size()));
    for (const std::string& text : arguments) add(text);
    for (const std::string& text : environment) add(text);
    return item;
}

// Unwraps an Expected of platform::Error or returns its error as a refusal.
#define PREPARE(name, expression) \
    auto name = (expression);     \
    if (!name) return failed(name.error())

/// What the guest is given: the files, and how to start the program.
Prepared<std::vector<platform::FirmwareFile>> pack(const ExecOptions& options, u64 room) {
    PREPARE(environment, guest_environment(options));
    const Surroundings surroundings{*environment, variable("PATH")};
    const auto program = find_program(options.command[0], surroundings.search);
    if (!program) return std::unexpected{program.error()};
    FileTree tree;
    if (auto packed = pack_program(tree, *program, surroundings); !packed)
        return std::unexpected{packed.error()};
    for (const std::string& file : options.files)
        if (auto packed = pack_file(tree, file, surroundings); !packed)
            return std::unexpected{packed.error()};
    auto archive = tree.archive(room);
    if (!archive) return std::unexpected{archive.error()};
    std::vector<platform::FirmwareFile> items;
    items.push_back({files_item, std::move(*archive)});
    items.push_back({exec::command_item, command_strings(*program, options.command, *environment)});
    return items;
}

platform::Expected<void> plan_limits(const ExecOptions& options, SessionPlan& plan) {
    const auto instructions =
        parse_count(options.max_instructions, "--max-instructions", instructions_most);
    if (!instructions) return std::unexpected{instructions.error()};
    const auto seconds = parse_count(options.timeout, "--timeout", seconds_most);
    if (!seconds) return std::unexpected{seconds.error()};
    plan.instructions = *instructions;
    plan.milliseconds = *seconds * 1000;
    return {};
}

Prepared<SessionPlan> plan_session(const ExecOptions& options, const std::string& directory) {
    if (options.command.empty())
        return failed({"no program is given", "exec", "postern exec [options] -- PROGRAM ARGS"});
    SessionPlan plan;
    PREPARE(layout, parse_layout(options.memory, options.epc));
    PREPARE(processors, parse_processors(options.cpus));
    PREPARE(model, parse_model(options.cpu));
    PREPARE(choices, parse_choices(options.choices));
    PREPARE(sgx, plan_sgx(options.sgx, *layout));
    PREPARE(limits, plan_limits(options, plan));
    PREPARE(debug, plan_debugging({}, options.log, {}, {}));
    if (!options.stats_file.empty()) {
        PREPARE(file, platform::FileSink::open(options.stats_file, "--stats"));
        plan.stats_file = std::move(*file);
    }
    // The kernel and the program need some of it, and files lie in memory too.
    auto files = pack(options, layout->ram_size() / 2);
    if (!files) return std::unexpected{files.error()};
    PREPARE(kernel, options.kernel.empty() ? find_kernel(directory, cache_directory())
                                           : platform::Expected<std::string>{options.kernel});
    plan.computer.layout = *layout;
    plan.computer.processors = *processors;
    plan.computer.choices = *choices;
    plan.computer.firmware_files = std::move(*files);
    plan.computer.sgx_seed = sgx->seed;
    plan.sgx = std::move(*sgx);
    plan.model = *model;
    plan.machine = fmt::format("{} {} {} {} {} {}", options.memory, options.epc, options.cpus,
                               options.cpu, options.sgx.seed, fmt::join(options.choices, " "));
    if (const std::string cache = cache_directory(); !options.no_snapshot && !cache.empty())
        plan.cache = cache + "/snapshots";
    plan.kernel = *kernel;
    plan.init = find_guest(directory, "exec_init");
    plan.program = options.command[0];
    plan.verbose = options.verbose;
    plan.stats = options.stats;
    plan.debug = std::move(*debug);
    return plan;
}

}  // namespace

int exec_command(const ExecOptions& options, const std::string& directory, Terminal terminal) {
    auto plan = plan_session(options, directory);
    if (!plan) {
        terminal.err << line_of(plan.error().error) << '\n';
        return plan.error().status;
    }
    return run_session(*plan, terminal);
}

}  // namespace postern::app
