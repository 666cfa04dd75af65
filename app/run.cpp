// SPDX-License-Identifier: Apache-2.0
// From options to a guest, and from its end to an exit status.
#include "app/run.h"

#include <array>
#include <memory>

#include <fmt/format.h>

#include "app/bare.h"
#include "app/hosted.h"
#include "app/text.h"
#include "platform/boot/file.h"

namespace postern::app {

namespace {

using platform::error;
using platform::Expected;

using Protections = std::remove_const_t<decltype(hv::all_protections)>;

/// What both ways of running need, found right.
struct Common {
    platform::BootWay boot = platform::BootWay::automatic;
    unsigned processors = 1;
    cpu::Model model;
    platform::Layout layout;
    cpu::Choices choices;
    SgxPlan sgx;
    cpu::Engine engine;
    platform::Kernel kernel;
    host::Limits limits;
    std::unique_ptr<platform::Sink> serial;
    hv::EnclaveFault enclave_fault = hv::EnclaveFault::ud;
    host::OnReset on_reset = host::OnReset::end;
    Protections protections = hv::all_protections;
};

struct BootName {
    std::string_view name;
    platform::BootWay way;
};
constexpr std::array boot_names{BootName{"auto", platform::BootWay::automatic},
                                BootName{"elf", platform::BootWay::elf},
                                BootName{"pvh", platform::BootWay::pvh},
                                BootName{"linux", platform::BootWay::linux_kernel},
                                BootName{"decompress", platform::BootWay::decompress},
                                BootName{"multiboot", platform::BootWay::multiboot}};

Expected<platform::BootWay> parse_boot(const std::string& word) {
    for (const BootName& row : boot_names)
        if (row.name == word) return row.way;
    return error(fmt::format("unknown way to boot \"{}\"", word), "--boot",
                 "auto, elf, pvh, linux, decompress or multiboot");
}

/// "no-chaining", "one-page": for tests that show that they change nothing. "one-space" forgets
/// translations that might be kept, which software sees in page tables it changes without a flush.
Expected<cpu::Engine> parse_engine(const std::string& words) {
    cpu::Engine engine;
    if (words.empty()) return engine;
    for (const std::string_view word : split(words, ',')) {
        if (word == "no-chaining")
            engine.unchained = true;
        else if (word == "one-page")
            engine.one_code_page = true;
        else if (word == "one-space")
            engine.one_space = true;
        else
            return error(fmt::format("unknown engine setting \"{}\"", word), "--engine",
                         "no-chaining, one-page or one-space");
    }
    return engine;
}

Expected<hv::EnclaveFault> parse_enclave_fault(const std::string& word) {
    if (word == "ud") return hv::EnclaveFault::ud;
    if (word == "gp") return hv::EnclaveFault::gp;
    if (word == "stop") return hv::EnclaveFault::stop;
    return error(fmt::format("unknown fault \"{}\"", word), "--enclave-fault", "ud, gp or stop");
}

Expected<host::OnReset> parse_on_reset(const RunOptions& options) {
    if (options.on_reset == "end") return host::OnReset::end;
    if (options.on_reset != "restart")
        return error(fmt::format("unknown way to go on \"{}\"", options.on_reset), "--on-reset",
                     "end or restart");
    if (!options.bare) return host::OnReset::restart;
    return error("not implemented yet with --bare", "--on-reset restart", "--on-reset end");
}

Expected<std::unique_ptr<platform::Sink>> open_output(const std::string& word, const char* option,
                                                      Terminal terminal) {
    if (word.empty()) return error("nothing is named", option, "stdio, none or a file");
    if (word == "stdio") return std::make_unique<StreamSink>(terminal.out);
    if (word == "none") return std::make_unique<platform::NullSink>();
    auto file = platform::FileSink::open(word, option);
    if (!file) return std::unexpected{file.error()};
    return std::unique_ptr<platform::Sink>{std::move(*file)};
}

/// "a.elf arguments,b.img": files separated by commas (two stand for one in a name), each with
/// arguments behind its first space.
std::vector<std::string> parse_modules(std::string_view words) {
    std::vector<std::string> modules(1);
    for (size_t at = 0; at < words.size(); ++at) {
        if (words[at] != ',')
            modules.back() += words[at];
        else if (at + 1 < words.size() && words[at + 1] == ',')
            modules.back() += words[at++];
        else
            modules.emplace_back();
    }
    return modules;
}

Expected<void> read_modules(const std::string& words, u64 most, platform::Kernel& kernel) {
    for (const std::string& command_line : parse_modules(words)) {
        const std::string name = command_line.substr(0, command_line.find(' '));
        if (name.empty())
            return error("a module without a name", "--initrd", "\"FILE ARGUMENTS,FILE\"");
        auto bytes = platform::read_file(name, most, "a file that fits memory");
        if (!bytes) return std::unexpected{bytes.error()};
        kernel.modules.push_back({name, std::move(*bytes), command_line});
    }
    return {};
}

bool is_multiboot(platform::BootWay way, std::span<const u8> file) {
    if (way == platform::BootWay::automatic) way = platform::detect_boot(file);
    return way == platform::BootWay::multiboot;
}

Expected<platform::Kernel> read_kernel(const RunOptions& options, platform::BootWay way,
                                       const platform::Layout& layout) {
    if (options.kernel.empty())
        return error("no kernel is given", "--kernel", "a bzImage or an ELF64 executable");
    platform::Kernel kernel;
    kernel.name = options.kernel;
    kernel.command_line = options.append;
    auto file =
        platform::read_file(options.kernel, layout.ram_size(), "a bzImage or an ELF64 executable");
    if (!file) return std::unexpected{file.error()};
    if (file->empty())
        return error("the file is empty", options.kernel, "a bzImage or an ELF64 executable");
    kernel.file = std::move(*file);
    if (options.initrd.empty()) return kernel;
    if (is_multiboot(way, kernel.file)) {
        if (auto read = read_modules(options.initrd, layout.ram_size(), kernel); !read)
            return std::unexpected{read.error()};
        return kernel;
    }
    auto initrd = platform::read_file(options.initrd, layout.ram_size(), "a file that fits memory");
    if (!initrd) return std::unexpected{initrd.error()};
    kernel.initrd = std::move(*initrd);
    return kernel;
}

// Unwraps an Expected or returns its error.
#define EXPECT(name, expression)        \
    auto name = (expression);           \
    if (!name) return std::unexpected { \
            name.error()                \
        }

/// What a hosted guest cannot have yet.
Expected<void> check_hosted(const RunOptions& options) {
    if (options.gdb.empty() && options.log.empty() && options.symbols.empty()) return {};
    return error("not implemented yet without --bare", "--gdb, --log and --symbols", "--bare");
}

Expected<Protections> parse_without(const std::string& words) {
    Protections protections = hv::all_protections;
    if (words.empty()) return protections;
    EXPECT(without, parse_protections(words));
    for (const hv::Protection protection : *without) protections.set(protection, false);
    return protections;
}

Expected<Common> plan_common(const RunOptions& options, Terminal terminal) {
    Common made;
    EXPECT(boot, parse_boot(options.boot));
    EXPECT(processors, parse_processors(options.cpus));
    if (!options.bare) {
        EXPECT(allowed, check_hosted(options));
    }
    EXPECT(fault, parse_enclave_fault(options.enclave_fault));
    EXPECT(on_reset, parse_on_reset(options));
    EXPECT(protections, parse_without(options.without));
    EXPECT(model, parse_model(options.cpu));
    EXPECT(layout, parse_layout(options.memory, options.epc));
    EXPECT(sgx, plan_sgx(options.sgx, *layout));
    if (options.bare && sgx->provision)
        return error("no hypervisor keeps the key from anybody", "--sgx-provision with --bare",
                     "--bare alone");
    EXPECT(choices, parse_choices(options.choices));
    EXPECT(engine, parse_engine(options.engine));
    EXPECT(instructions,
           parse_count(options.max_instructions, "--max-instructions", instructions_most));
    EXPECT(seconds, parse_count(options.timeout, "--timeout", seconds_most));
    platform::Kernel no_kernel;
    // There is no firmware that could load it: a restart needs it, snapshot or not.
    const bool loads = options.load.empty() || *on_reset == host::OnReset::restart;
    EXPECT(kernel,
           loads ? read_kernel(options, *boot, *layout) : Expected<platform::Kernel>{no_kernel});
    EXPECT(serial, open_output(options.serial, "--serial", terminal));
    made.boot = *boot;
    made.processors = *processors;
    made.model = *model;
    made.layout = *layout;
    made.choices = *choices;
    made.sgx = std::move(*sgx);
    made.engine = *engine;
    made.kernel = std::move(*kernel);
    made.limits = {*instructions, *seconds * 1000};
    made.serial = std::move(*serial);
    made.enclave_fault = *fault;
    made.on_reset = *on_reset;
    made.protections = *protections;
    return made;
}

/// Null: nothing goes to a file.
Expected<std::unique_ptr<platform::Sink>> open_stats(const RunOptions& options) {
    if (options.stats_file.empty()) return nullptr;
    auto file = platform::FileSink::open(options.stats_file, "--stats");
    if (!file) return std::unexpected{file.error()};
    return std::unique_ptr<platform::Sink>{std::move(*file)};
}

/// Null: there is to be none.
Expected<std::unique_ptr<platform::Sink>> plan_console(const RunOptions& options,
                                                       Terminal terminal) {
    if (options.console == "none") return nullptr;
    if (options.console == "stdio" && options.serial == "stdio")
        return error("the serial line has standard input and output", "--console stdio",
                     "--serial none or a file with it");
    return open_output(options.console, "--console", terminal);
}

Expected<std::unique_ptr<platform::Disk>> open_drive(const std::string& file) {
    if (file.empty()) return nullptr;
    return platform::Disk::open(file);
}

struct Saving {
    std::string file;
    u64 at = 0;  // 0: at the first write to the mark port
};

Expected<Saving> plan_saving(const RunOptions& options) {
    Saving made{options.save, 0};
    if (options.save.empty() && !options.save_at.empty())
        return error("there is no file to save to", "--save-at", "--save FILE with it");
    if (options.save.empty() || options.save_at == "mark") return made;
    EXPECT(count, parse_count(options.save_at, "--save-at", u64{1} << 60));
    if (*count == 0)
        return error("it is not said when to save", "--save",
                     "--save-at COUNT or --save-at mark with it");
    made.at = *count;
    return made;
}

/// What both plans have. `config`: the machine's, bare or hosted, which names what both have alike.
Expected<void> fill(RunPlan& plan, auto& config, const RunOptions& options, Common& common,
                    Terminal terminal) {
    EXPECT(stats_file, open_stats(options));
    EXPECT(drive, open_drive(options.drive));
    EXPECT(console, plan_console(options, terminal));
    EXPECT(saving, plan_saving(options));
    plan.model = common.model;
    plan.limits = common.limits;
    plan.serial = std::move(common.serial);
    plan.console = std::move(*console);
    plan.drive = std::move(*drive);
    plan.stats = options.stats;
    plan.stats_file = std::move(*stats_file);
    plan.save = saving->file;
    plan.save_at = saving->at;
    plan.load = options.load;
    if (options.serial == "stdio") plan.input = RunPlan::Input::serial;
    if (options.console == "stdio") plan.input = RunPlan::Input::console;
    config.layout = common.layout;
    config.processors = common.processors;
    config.kernel = std::move(common.kernel);
    config.boot = common.boot;
    config.choices = common.choices;
    config.engine = common.engine;
    config.sgx_seed = common.sgx.seed;
    config.drive = plan.drive.get();
    config.console = plan.console.get();
    config.test_devices = options.test_devices;
    plan.sgx = std::move(common.sgx);
    return {};
}

Expected<HostedPlan> plan_hosted(const RunOptions& options, Common& common, Terminal terminal) {
    HostedPlan made;
    made.trace = options.trace;
    made.command_line = options.command_line;
    made.guest.protections = common.protections;
    made.guest.enclave_fault = common.enclave_fault;
    made.guest.on_reset = common.on_reset;
    made.guest.snapshot_follows = !options.load.empty();
    made.guest.provision_key = common.sgx.provision;
    made.guest.nested = options.nested;
    EXPECT(filled, fill(made, made.guest, options, common, terminal));
    return made;
}

Expected<BarePlan> plan_bare(const RunOptions& options, Common& common, Terminal terminal) {
    BarePlan made;
    if (!options.gdb.empty() && !options.save.empty())
        return error("a debugger is to say when to save", "--gdb with --save",
                     "monitor save FILE, in the debugger");
    EXPECT(debug, plan_debugging(options.gdb, options.log, options.symbols, common.kernel));
    made.debug = std::move(*debug);
    EXPECT(filled, fill(made, made.computer, options, common, terminal));
    return made;
}

}  // namespace

int run_command(const RunOptions& options, Terminal terminal) {
    auto common = plan_common(options, terminal);
    if (!common) return refuse(terminal, common.error());
    if (options.bare) {
        if (!options.trace.empty())
            return refuse(terminal, {"nothing exits to Postern here", "--trace with --bare",
                                     "--trace without --bare"});
        auto bare = plan_bare(options, *common, terminal);
        return bare ? run_bare(*bare, terminal) : refuse(terminal, bare.error());
    }
    auto hosted = plan_hosted(options, *common, terminal);
    return hosted ? run_hosted(*hosted, terminal) : refuse(terminal, hosted.error());
}

}  // namespace postern::app
