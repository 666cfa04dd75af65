// SPDX-License-Identifier: Apache-2.0
#include "app/demo/debian.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <optional>
#include <span>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/demo/debian_guest.h"
#include "app/demo/debian_rows.h"
#include "app/demo/selftests.h"
#include "app/demo/table.h"
#include "app/hosted_stats.h"
#include "app/report.h"
#include "app/text.h"
#include "platform/boot/file.h"

namespace postern::app {

namespace {

constexpr u64 largest_file = 256 * platform::mib;
constexpr std::string_view command_line = "console=ttyS0 nokaslr postern.run=";

constexpr std::string_view introduction =
    "Postern demo. Debian's kernel starts as Postern's guest, on Postern's software processor. "
    "Linux's own SGX selftests run there, then a process whose enclave takes VM exits: the "
    "processor saves the enclave's state where nobody can read it, shows the hypervisor made-up "
    "registers, sets bit 27 of the exit reason, and RIP is the AEP, an address outside that leads "
    "back in by ERESUME. Each row is run as it should be, then with a protection left out or "
    "outside the enclave, which must go as predicted.";

/// Rows with their controls, or only the controls that leave something out.
struct DebianChoice {
    std::string row;
    std::vector<hv::Protection> without;

    [[nodiscard]] bool wants(const ScenarioRun& control) const {
        if (control.label.empty()) return false;
        return without.empty() || std::ranges::any_of(without, [&](hv::Protection left_out) {
                   return !control.setting.protections.has(left_out);
               });
    }
    [[nodiscard]] bool wants(const Scenario& scenario) const {
        return (row.empty() || row == scenario.name) &&
               std::ranges::any_of(scenario.controls,
                                   [&](const ScenarioRun& c) { return wants(c); });
    }
};

platform::Expected<DebianChoice> choice_of(const DebianDemoOptions& options) {
    DebianChoice choice{options.row, {}};
    if (!options.without.empty()) {
        auto without = parse_protections(options.without);
        if (!without) return std::unexpected{without.error()};
        choice.without = std::move(*without);
    }
    if (std::ranges::any_of(debian_scenarios(),
                            [&](const Scenario& scenario) { return choice.wants(scenario); }))
        return choice;
    std::vector<std::string> names;
    for (const Scenario& scenario : debian_scenarios()) names.emplace_back(scenario.name);
    return platform::error(fmt::format("no row \"{}\" with these controls", options.row), "--row",
                           listed(names));
}

/// Nothing is left out of the demo.
bool is_all(const DebianDemoOptions& options) {
    return options.row.empty() && options.without.empty();
}

platform::Expected<platform::Kernel> read_debian(const DebianDemoOptions& options) {
    if (options.kernel.empty() || options.initrd.empty())
        return platform::error("Debian's kernel and its files are not named",
                               "--kernel and --initrd", "make run, which has them");
    platform::Kernel kernel;
    kernel.name = options.kernel;
    kernel.command_line.append(command_line).append(is_all(options) ? "demo" : "linux_scenarios");
    auto file = platform::read_file(options.kernel, largest_file, "Debian's kernel: make run");
    if (!file) return std::unexpected{file.error()};
    kernel.file = std::move(*file);
    auto initrd = platform::read_file(options.initrd, largest_file, "the demo's files: make run");
    if (!initrd) return std::unexpected{initrd.error()};
    kernel.initrd = std::move(*initrd);
    return kernel;
}

void add(hv::Counters& sum, const hv::Counters& more) {
    for (size_t reason = 0; reason < sum.by_reason.size(); ++reason)
        for (size_t kind = 0; kind < hv::exit_kind_count; ++kind)
            sum.by_reason[reason][kind] += more.by_reason[reason][kind];
    sum.exits += more.exits;
}

/// What is shown as it happens, and what was wrong.
class DebianShow {
public:
    DebianShow(const DebianChoice& choice, std::ostream& out)
        : choice_{choice}, out_{out}, table_{debian_scenarios()} {}

    void console(std::string_view line, u64 now) {
        log_.append(line).append("\n");
        if (line.starts_with("postern: kernel "))
            say(now, fmt::format("Debian's first program runs: {}", line.substr(9)));
        if (const Selftests::Result* const result = selftests_.read(line)) {
            say(now,
                fmt::format("selftest {:2} of {}  {:<4} {}", selftests_.results().size(),
                            Selftests::expected, result->passed ? "ok" : "FAILED", result->name));
        }
    }

    [[nodiscard]] bool boot(DebianGuest& debian) {
        out_ << "\nDebian's kernel starts; times are the guest's.\n" << std::flush;
        const auto ended = debian.boot();
        if (!ended) return true;
        ++wrong_;
        out_ << "WRONG: Debian does not come to its scenarios; the console's end:\n"
             << std::string_view{log_}.substr(log_.size() - std::min<size_t>(log_.size(), 3000));
        for (const std::string& line : ending_lines(*ended)) out_ << line << '\n';
        return false;
    }

    void selftests() {
        out_ << fmt::format("\nLinux's SGX selftests under Postern: {} of {}\n",
                            selftests_.passed(), Selftests::expected);
        if (!selftests_.right()) ++wrong_;
    }

    void rows(DebianGuest& debian) {
        out_ << "\nEvery kind of exit that a process can cause, each with its control:\n\n"
             << table_.heading();
        for (const Scenario& scenario : debian_scenarios())
            if (choice_.wants(scenario)) row(debian, scenario);
    }

    /// By what the hypervisor counted, the guest's start and all runs together.
    void counters(DebianGuest& debian) {
        hv::Counters sum = debian.guest().counters();
        add(sum, runs_counters_);
        out_ << "\nVM exits of all of this, as the hypervisor counts them:\n\n"
             << fmt::format("{:>12} {:>12} {:>12}  reason\n", "guest", "enclave", "delivery");
        for (size_t reason = 0; reason < sum.by_reason.size(); ++reason) {
            const auto& kinds = sum.by_reason[reason];
            if (kinds[0] + kinds[1] + kinds[2] == 0) continue;
            out_ << fmt::format("{:>12} {:>12} {:>12}  {}\n", kinds[0], kinds[1], kinds[2],
                                reason_text(static_cast<u32>(reason)));
        }
        out_ << fmt::format("{:>12} in all\n", sum.exits);
        const auto wrong = disagreements(counts_of(debian.guest()));
        for (const std::string& line : wrong) print(out_, "WRONG", line);
        wrong_ += static_cast<unsigned>(wrong.size());
        if (wrong.empty())
            out_ << "\nThe processor itself counts the same, by reason and by bit 27.\n";
        enclaves(debian);
    }

    void enclaves(DebianGuest& debian) {
        std::vector<hv::EnclaveTable::Entry> entries;
        std::ranges::copy(debian.guest().vm().enclaves().entries(), std::back_inserter(entries));
        std::ranges::sort(entries, {}, [](const auto& entry) { return entry.enclave.number; });
        if (!entries.empty()) entries.back().counters.add(runs_enclave_);
        out_ << fmt::format("\nThe same by enclave:\n\n{:>12} {:>12}  enclave, MRENCLAVE\n",
                            "exits", "guard hits");
        for (const auto& [enclave, cr3, lives, counters] : entries)
            out_ << fmt::format("{:>12} {:>12}  {:>3} {:02x}\n", counters.exits,
                                counters.guard_hits, enclave.number,
                                fmt::join(std::span{enclave.mrenclave}.first(16), ""));
    }

    void end(const host::RunResult& result) {
        if (result.ending == host::Ending::power_off) return;
        ++wrong_;
        out_ << "WRONG: the guest does not switch itself off at the end\n";
        for (const std::string& line : ending_lines(result)) out_ << line << '\n';
    }

    [[nodiscard]] unsigned runs() const { return runs_; }
    [[nodiscard]] unsigned wrong_runs() const { return wrong_runs_; }
    /// The runs, and whatever else is not as predicted.
    [[nodiscard]] unsigned wrong() const { return wrong_runs_ + wrong_; }

private:
    void say(u64 now, std::string_view what) {
        out_ << fmt::format("{:7.2f} s  {}\n", static_cast<double>(now) * 1e-9, what) << std::flush;
    }

    void row(DebianGuest& debian, const Scenario& scenario) {
        Account account;
        if (choice_.without.empty()) run(debian, scenario, scenario.shown, account);
        for (const ScenarioRun& control : scenario.controls)
            if (choice_.wants(control)) run(debian, scenario, control, account);
        out_ << table_.line(scenario);
        print(out_, account, {});
        out_.flush();
    }

    void run(DebianGuest& debian, const Scenario& scenario, const ScenarioRun& which,
             Account& account) {
        out_.flush();
        ++runs_;
        auto report = debian.run(scenario, which);
        if (!report) {
            ++wrong_runs_;
            account.wrong.push_back(line_of(report.error()));
            return;
        }
        add(runs_counters_, report->counters);
        runs_enclave_.add(report->enclave);
        if (!report->wrong.empty()) ++wrong_runs_;
        for (const std::string& wrong : report->wrong)
            account.wrong.push_back(fmt::format("{}: {}", which.label, wrong));
    }

    const DebianChoice& choice_;
    std::ostream& out_;
    Table table_;
    Selftests selftests_;
    std::string log_;
    hv::Counters runs_counters_;
    hv::EnclaveCounters runs_enclave_;  // of the process's
    unsigned runs_ = 0;
    unsigned wrong_runs_ = 0;
    unsigned wrong_ = 0;
};

}  // namespace

int debian_demo(const DebianDemoOptions& options, Terminal terminal) {
    const auto choice = choice_of(options);
    if (!choice) return refuse(terminal, choice.error());
    auto kernel = read_debian(options);
    if (!kernel) return refuse(terminal, kernel.error());
    const auto begin = std::chrono::steady_clock::now();
    print_wrapped(terminal.out, introduction);
    DebianShow show{*choice, terminal.out};
    auto debian = DebianGuest::create(
        std::move(*kernel), [&](std::string_view line, u64 now) { show.console(line, now); });
    if (!debian) return refuse(terminal, debian.error());
    const bool ready = show.boot(**debian);
    if (is_all(options)) show.selftests();
    if (ready) {
        show.rows(**debian);
        if (is_all(options)) show.end((*debian)->finish());
        show.counters(**debian);
    }
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
    terminal.out << fmt::format("\n{} runs, {} as predicted, {} not; {:.1f} s\n", show.runs(),
                                show.runs() - show.wrong_runs(), show.wrong(), spent.count());
    return show.wrong() == 0 ? 0 : 4;
}

}  // namespace postern::app
