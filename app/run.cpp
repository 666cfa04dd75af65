// SPDX-License-Identifier: Apache-2.0
// From options to a guest, and from its end to an exit status.
#include "app/run.h"

#include <array>
#include <memory>

#include <fmt/format.h>

#include "app/report.h"
#include "app/text.h"
#include "host/guest.h"
#include "platform/boot/file.h"

namespace postern::app {

namespace {

using platform::error;
using platform::Expected;

/// Everything about a run that can be wrong, found right.
struct Plan {
    host::GuestConfig guest;
    host::Limits limits;
    cpu::Model model;
    std::unique_ptr<platform::Sink> serial;
};

/// Warns of anomalies, at a limited rate, and leaves the rest to the counters.
class Reporter final : public hv::Watcher {
public:
    explicit Reporter(std::ostream& stream) : stream_{&stream} {}
    void exit(const hv::ExitRecord&) override {}
    void stopped(const hv::StopReport&) override {}
    void anomaly(hv::Anomaly anomaly, const hv::ExitRecord& record) override {
        constexpr u32 most = 5;
        u32& count = warned_[static_cast<size_t>(anomaly)];
        if (++count > most) return;
        for (const std::string& line : anomaly_lines(anomaly, record))
            *stream_ << "postern: " << line << '\n';
        if (count == most) *stream_ << "postern: no more of these are shown\n";
    }

private:
    std::ostream* stream_;
    std::array<u32, hv::anomaly_count> warned_{};
};

Expected<u64> parse_count(const std::string& text, const char* option, u64 most) {
    if (text.empty()) return 0;
    const auto number = parse_number(text);
    if (!number || *number == 0 || *number > most)
        return error(fmt::format("\"{}\" is not a count", text), option,
                     fmt::format("a number from 1 to {}", most));
    return *number;
}

Expected<void> check_boot(const RunOptions& options) {
    constexpr std::array known{"auto", "elf", "pvh", "multiboot", "linux", "decompress"};
    for (const std::string_view name : known) {
        if (options.boot != name) continue;
        if (name == "auto" || name == "elf") return {};
        return error("not implemented yet", fmt::format("--boot {}", name), "--boot elf");
    }
    return error(fmt::format("unknown way to boot \"{}\"", options.boot), "--boot", "auto or elf");
}

Expected<void> check_processors(const RunOptions& options) {
    const auto count = parse_number(options.cpus);
    if (!count || *count == 0 || *count > 64)
        return error(fmt::format("\"{}\" is not a number of processors", options.cpus), "--cpus",
                     "1");
    if (*count != 1) return error("not implemented yet", "--cpus above 1", "1");
    return {};
}

Expected<hv::EnclaveFault> parse_enclave_fault(const std::string& word) {
    if (word == "ud") return hv::EnclaveFault::ud;
    if (word == "gp") return hv::EnclaveFault::gp;
    if (word == "stop") return hv::EnclaveFault::stop;
    return error(fmt::format("unknown fault \"{}\"", word), "--enclave-fault", "ud, gp or stop");
}

Expected<std::unique_ptr<platform::Sink>> open_serial(const std::string& word, Terminal terminal) {
    if (word == "stdio") return std::make_unique<StreamSink>(terminal.out);
    if (word == "none") return std::make_unique<platform::NullSink>();
    auto file = platform::FileSink::open(word, "--serial");
    if (!file) return std::unexpected{file.error()};
    return std::unique_ptr<platform::Sink>{std::move(*file)};
}

Expected<platform::Layout> parse_layout(const RunOptions& options) {
    const auto memory = parse_size(options.memory, "--memory");
    if (!memory) return std::unexpected{memory.error()};
    const auto epc = parse_size(options.epc, "--epc");
    if (!epc) return std::unexpected{epc.error()};
    return platform::checked_layout(*memory, *epc);
}

Expected<platform::Kernel> read_kernel(const RunOptions& options, const platform::Layout& layout) {
    if (options.kernel.empty())
        return error("no kernel is given", "--kernel", "an ELF64 executable");
    platform::Kernel kernel;
    kernel.name = options.kernel;
    kernel.command_line = options.append;
    auto file = platform::read_file(options.kernel, layout.ram_size(), "an ELF64 executable");
    if (!file) return std::unexpected{file.error()};
    kernel.file = std::move(*file);
    if (options.initrd.empty()) return kernel;
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

Expected<std::unique_ptr<Plan>> plan(const RunOptions& options, Terminal terminal) {
    auto made = std::make_unique<Plan>();
    EXPECT(boot, check_boot(options));
    EXPECT(processors, check_processors(options));
    EXPECT(model, parse_model(options.cpu));
    EXPECT(layout, parse_layout(options));
    EXPECT(fault, parse_enclave_fault(options.enclave_fault));
    if (!options.without.empty()) {
        EXPECT(without, parse_protections(options.without));
        for (const hv::Protection protection : *without)
            made->guest.protections.set(protection, false);
    }
    EXPECT(choices, parse_choices(options.choices));
    EXPECT(instructions, parse_count(options.max_instructions, "--max-instructions", u64{1} << 60));
    EXPECT(seconds, parse_count(options.timeout, "--timeout", 10'000'000));
    EXPECT(kernel, read_kernel(options, *layout));
    EXPECT(serial, open_serial(options.serial, terminal));
    made->model = *model;
    made->guest.layout = *layout;
    made->guest.model = &made->model;
    made->guest.kernel = std::move(*kernel);
    made->guest.enclave_fault = *fault;
    made->guest.choices = *choices;
    made->limits = {*instructions, *seconds * 1000};
    made->serial = std::move(*serial);
    return made;
}

}  // namespace

int run_command(const RunOptions& options, Terminal terminal) {
    auto planned = plan(options, terminal);
    if (!planned) return refuse(terminal, planned.error());
    Plan& ready = **planned;
    Reporter reporter{terminal.err};
    StreamSink debug{terminal.err};
    auto guest = host::Guest::create(std::move(ready.guest), {*ready.serial, debug, reporter, {}});
    if (!guest) return refuse(terminal, guest.error());
    const host::RunResult result = (*guest)->run(ready.limits);
    ready.serial->flush();
    for (const std::string& line : ending_lines(result))
        terminal.err << "postern: " << line << '\n';
    for (const VmcsField field : (*guest)->port().missing_fields())
        terminal.err << fmt::format("postern: bug: the processor has no VMCS field {}\n",
                                    postern::name_of(field));
    if (options.stats)
        for (const std::string& line :
             counter_lines((*guest)->vcpu().counters(), result.instructions))
            terminal.err << line << '\n';
    return host::exit_status(result);
}

}  // namespace postern::app
