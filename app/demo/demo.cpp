// SPDX-License-Identifier: Apache-2.0
// Choosing, running and printing the rows.
#include "app/demo/demo.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include <fmt/format.h>

#include "app/demo/debian.h"
#include "app/demo/rows.h"
#include "app/demo/scenarios.h"
#include "app/demo/table.h"
#include "app/guest_files.h"
#include "app/text.h"
#include "platform/boot/file.h"

namespace postern::app {

namespace {

constexpr u64 largest_guest = 64 * platform::mib;

/// What is to be shown: rows with their controls, or only the controls that leave something out.
struct Choice {
    std::string row;  // a number or a scenario's name; empty: all
    std::vector<hv::Protection> without;

    [[nodiscard]] bool names(const Row& candidate) const {
        return row.empty() || parse_number(row) == candidate.number;
    }
    [[nodiscard]] bool names(const Scenario& candidate) const {
        return row == candidate.name || (row.empty() && candidate.open.empty());
    }
    [[nodiscard]] bool wants(hv::Protections protections) const {
        return without.empty() || std::ranges::any_of(without, [&](hv::Protection left_out) {
                   return !protections.has(left_out);
               });
    }
    [[nodiscard]] bool wants(const Control& control) const {
        return wants(control.experiment.protections);
    }
    [[nodiscard]] bool wants(const ScenarioRun& control) const {
        return !control.label.empty() && wants(control.setting.protections);
    }
    [[nodiscard]] bool wants(const auto& candidate) const {
        return names(candidate) &&
               std::ranges::any_of(candidate.controls,
                                   [&](const auto& control) { return wants(control); });
    }
    [[nodiscard]] bool shows_anything() const {
        const auto wanted = [&](const auto& candidate) { return wants(candidate); };
        return std::ranges::any_of(demo_rows(), wanted) || std::ranges::any_of(scenarios(), wanted);
    }
};

std::string known_rows() {
    std::vector<std::string> names{"1", "2", "3"};
    for (const Scenario& scenario : scenarios()) names.emplace_back(scenario.name);
    return listed(names);
}

platform::Expected<Choice> parse_choice(const DemoOptions& options) {
    Choice choice{options.row, {}};
    if (!choice.shows_anything())
        return platform::error(fmt::format("no row \"{}\"", options.row), "--row", known_rows());
    if (options.without.empty()) return choice;
    auto protections = parse_protections(options.without);
    if (!protections) return std::unexpected{protections.error()};
    choice.without = std::move(*protections);
    for (const hv::Protection protection : choice.without)
        if (!Choice{choice.row, {protection}}.shows_anything())
            return platform::error(
                fmt::format("no row shows what goes wrong without {}",
                            hv::protection_names[static_cast<size_t>(protection)]),
                "--without", "capture, guard, skip-check, bp-type, retry or delivery");
    return choice;
}

/// The demo as it goes on: where it prints, what it runs, what was wrong so far.
class Show {
public:
    Show(const Choice& choice, const platform::Kernel& first_light,
         const platform::Kernel& every_exit, std::ostream& out)
        : choice_{choice}, first_light_{first_light}, every_exit_{every_exit}, out_{out},
          table_{scenarios()} {}

    void heading() { out_ << table_.heading(); }

    void show(const Row& row) {
        if (!choice_.wants(row)) return;
        out_ << fmt::format("\nRow {}: {}\n", row.number, row.title);
        if (choice_.without.empty()) run(row.experiment, row.judge, {});
        for (const Control& control : row.controls)
            if (choice_.wants(control)) run(control.experiment, control.judge, control.label);
        out_.flush();
    }

    /// One line, and below it what is wrong.
    void show(const Scenario& scenario) {
        if (!choice_.wants(scenario)) return;
        Account account;
        if (choice_.without.empty()) run(scenario, scenario.shown, account);
        for (const ScenarioRun& control : scenario.controls)
            if (choice_.wants(control)) run(scenario, control, account);
        out_ << table_.line(scenario);
        print(out_, account, {});
        out_.flush();
    }

    [[nodiscard]] unsigned runs() const { return runs_; }
    [[nodiscard]] unsigned wrong() const { return wrong_; }

private:
    void run(const Experiment& experiment, void (*judge)(const Observation&, Account&),
             std::string_view label) {
        Account account;
        const auto seen = observe(experiment, first_light_);
        if (seen)
            judge(*seen, account);
        else
            account.wrong.push_back(line_of(seen.error()));
        count(account);
        print(out_, account, label);
    }

    void run(const Scenario& scenario, const ScenarioRun& which, Account& account) {
        Account found;
        const auto seen = observe(scenario, which, every_exit_);
        if (seen)
            judge(scenario, which, *seen, found);
        else
            found.wrong.push_back(line_of(seen.error()));
        count(found);
        for (const std::string& wrong : found.wrong)
            account.wrong.push_back(fmt::format("{}: {}", which.label, wrong));
    }

    void count(const Account& account) {
        ++runs_;
        if (!account.wrong.empty()) ++wrong_;
    }

    const Choice& choice_;
    const platform::Kernel& first_light_;
    const platform::Kernel& every_exit_;
    std::ostream& out_;
    Table table_;
    unsigned runs_ = 0;
    unsigned wrong_ = 0;
};

constexpr std::string_view introduction =
    "Postern demo. A guest kernel builds an SGX enclave on Postern's software processor. The "
    "enclave takes VM exits: the processor saves the enclave's state where nobody can read it, "
    "shows the hypervisor made-up registers, sets bit 27 of the exit reason, and RIP is the AEP, "
    "an address outside that leads back in by ERESUME. Each row is run as it should be, then with "
    "a protection left out, which must go wrong.";

platform::Expected<platform::Kernel> read_guest(std::string name) {
    platform::Kernel kernel;
    kernel.name = std::move(name);
    auto file = platform::read_file(kernel.name, largest_guest,
                                    "the guest of this project, from the same build");
    if (!file) return std::unexpected{file.error()};
    kernel.file = std::move(*file);
    return kernel;
}

void show_scenarios(Show& show, const Choice& choice, std::ostream& out) {
    const auto wanted = [&](const Scenario& row) { return choice.wants(row); };
    if (!std::ranges::any_of(scenarios(), wanted)) return;
    out << "\nEvery kind of exit, each with its control:\n\n";
    show.heading();
    for (const Scenario& row : scenarios()) show.show(row);
    if (!choice.row.empty()) return;
    for (const Scenario& row : scenarios())
        if (!row.open.empty())
            print(out, "not shown yet", fmt::format("{}: {}", row.name, row.open));
}

}  // namespace

std::span<const Row> demo_rows() {
    static const Row rows[] = {timer_row, first_touch_row, doorbell_row};
    return rows;
}

int demo_command(const DemoOptions& options, const std::string& directory, Terminal terminal) {
    if (options.guest == "debian")
        return debian_demo({options.kernel, options.initrd, options.row, options.without},
                           terminal);
    if (options.guest != "own")
        return refuse(terminal, platform::Error{fmt::format("no guest \"{}\"", options.guest),
                                                "--guest", "own or debian"});
    const auto choice = parse_choice(options);
    if (!choice) return refuse(terminal, choice.error());
    const std::string first_light = find_guest(directory, "first_light.elf");
    const auto kernel = read_guest(options.kernel.empty() ? first_light : options.kernel);
    if (!kernel) return refuse(terminal, kernel.error());
    const auto every_exit = read_guest(find_guest(directory, "every_exit.elf"));
    if (!every_exit) return refuse(terminal, every_exit.error());

    const auto begin = std::chrono::steady_clock::now();
    print_wrapped(terminal.out, introduction);
    Show show{*choice, *kernel, *every_exit, terminal.out};
    for (const Row& row : demo_rows()) show.show(row);
    show_scenarios(show, *choice, terminal.out);
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
    terminal.out << fmt::format("\n{} runs, {} as predicted, {} not; {:.1f} s\n", show.runs(),
                                show.runs() - show.wrong(), show.wrong(), spent.count());
    return show.wrong() == 0 ? 0 : 4;
}

}  // namespace postern::app
