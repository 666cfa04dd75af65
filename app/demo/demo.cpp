// SPDX-License-Identifier: Apache-2.0
// Choosing, running and printing the rows.
#include "app/demo/demo.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include "app/demo/rows.h"
#include "app/text.h"
#include "platform/boot/file.h"

namespace postern::app {

namespace {

constexpr size_t columns = 110;
constexpr size_t label_columns = 20;
constexpr u64 largest_guest = 64 * platform::mib;

/// `text` in lines of at most `width` columns, broken at blanks.
std::vector<std::string> wrapped(std::string_view text, size_t width) {
    std::vector<std::string> lines(1);
    for (const std::string_view word : split(text, ' ')) {
        std::string& line = lines.back();
        if (line.empty())
            line = word;
        else if (line.size() + 1 + word.size() <= width)
            line.append(" ").append(word);
        else
            lines.emplace_back(word);
    }
    return lines;
}

void print(std::ostream& out, std::string_view label, std::string_view text) {
    bool first = true;
    for (const std::string& line : wrapped(text, columns - label_columns - 4)) {
        out << fmt::format("  {:<{}}  {}\n", first ? label : std::string_view{}, label_columns,
                           line);
        first = false;
    }
}

void print(std::ostream& out, const Account& account, std::string_view label) {
    for (const Paragraph& paragraph : account.paragraphs)
        print(out, paragraph.label.empty() ? label : std::string_view{paragraph.label},
              paragraph.text);
    for (const std::string& wrong : account.wrong) print(out, "WRONG", wrong);
}

/// What is to be shown: rows with their controls, or only the controls that leave something out.
struct Choice {
    std::optional<unsigned> row;
    std::vector<hv::Protection> without;

    [[nodiscard]] bool wants(const Row& candidate) const {
        return !row || *row == candidate.number;
    }
    [[nodiscard]] bool wants(const Control& control) const {
        const bool named = std::ranges::find(without, control.left_out) != without.end();
        const bool leaves_out = !control.experiment.protections.has(control.left_out);
        return without.empty() || (named && leaves_out);
    }
};

platform::Expected<Choice> parse_choice(const DemoOptions& options) {
    Choice choice;
    if (!options.row.empty()) {
        const u64 number = parse_number(options.row).value_or(0);
        const auto known = [number](const Row& row) { return row.number == number; };
        if (!std::ranges::any_of(demo_rows(), known))
            return platform::error(fmt::format("no row \"{}\"", options.row), "--row", "1, 2 or 3");
        choice.row = static_cast<unsigned>(number);
    }
    if (options.without.empty()) return choice;
    auto protections = parse_protections(options.without);
    if (!protections) return std::unexpected{protections.error()};
    choice.without = std::move(*protections);
    for (const hv::Protection protection : choice.without) {
        Choice alone{choice.row, {protection}};
        const bool shown = std::ranges::any_of(demo_rows(), [&](const Row& row) {
            return alone.wants(row) &&
                   std::ranges::any_of(
                       row.controls, [&](const Control& control) { return alone.wants(control); });
        });
        if (!shown)
            return platform::error(
                fmt::format("no row shows what goes wrong without {}",
                            hv::protection_names[static_cast<size_t>(protection)]),
                "--without", "capture (rows 1, 2), guard or skip-check (row 3)");
    }
    return choice;
}

/// The demo as it goes on: where it prints, what it runs, what was wrong so far.
class Show {
public:
    Show(const Choice& choice, const platform::Kernel& kernel, std::ostream& out)
        : choice_{choice}, kernel_{kernel}, out_{out} {}

    void show(const Row& row) {
        if (!choice_.wants(row)) return;
        const bool any_control = std::ranges::any_of(
            row.controls, [&](const Control& control) { return choice_.wants(control); });
        if (!choice_.without.empty() && !any_control) return;
        out_ << fmt::format("\nRow {}: {}\n", row.number, row.title);
        if (choice_.without.empty()) run(row.experiment, row.judge, {});
        for (const Control& control : row.controls)
            if (choice_.wants(control)) run(control.experiment, control.judge, control.label);
        out_.flush();
    }

    [[nodiscard]] unsigned runs() const { return runs_; }
    [[nodiscard]] unsigned wrong() const { return wrong_; }

private:
    void run(const Experiment& experiment, void (*judge)(const Observation&, Account&),
             std::string_view label) {
        Account account;
        const auto seen = observe(experiment, kernel_);
        if (seen)
            judge(*seen, account);
        else
            account.wrong.push_back(line_of(seen.error()));
        ++runs_;
        if (!account.wrong.empty()) ++wrong_;
        print(out_, account, label);
    }

    const Choice& choice_;
    const platform::Kernel& kernel_;
    std::ostream& out_;
    unsigned runs_ = 0;
    unsigned wrong_ = 0;
};

constexpr std::string_view introduction =
    "Postern demo. A guest kernel builds an SGX enclave on Postern's software processor. The "
    "enclave takes VM exits: the processor saves the enclave's state where nobody can read it, "
    "shows the hypervisor made-up registers, sets bit 27 of the exit reason, and RIP is the AEP, "
    "an address outside that leads back in by ERESUME. Each row is run as it should be, then with "
    "a protection left out, which must go wrong.";

/// Beside the program, as it is built, or where it is installed.
std::string find_guest(const std::string& directory) {
    const std::string built = directory + "/guests/first_light.elf";
    const std::string installed = directory + "/../share/postern/guests/first_light.elf";
    return !std::filesystem::exists(built) && std::filesystem::exists(installed) ? installed
                                                                                 : built;
}

}  // namespace

std::span<const Row> demo_rows() {
    static const Row rows[] = {timer_row, first_touch_row, doorbell_row};
    return rows;
}

int demo_command(const DemoOptions& options, const std::string& directory, Terminal terminal) {
    const auto choice = parse_choice(options);
    if (!choice) return refuse(terminal, choice.error());
    platform::Kernel kernel;
    kernel.name = options.kernel.empty() ? find_guest(directory) : options.kernel;
    auto file = platform::read_file(kernel.name, largest_guest,
                                    "the guest of this project, from the same build");
    if (!file) return refuse(terminal, file.error());
    kernel.file = std::move(*file);

    const auto begin = std::chrono::steady_clock::now();
    for (const std::string& line : wrapped(introduction, columns)) terminal.out << line << '\n';
    Show show{*choice, kernel, terminal.out};
    for (const Row& row : demo_rows()) show.show(row);
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
    terminal.out << fmt::format("\n{} runs, {} as predicted, {} not; {:.1f} s\n", show.runs(),
                                show.runs() - show.wrong(), show.wrong(), spent.count());
    return show.wrong() == 0 ? 0 : 4;
}

}  // namespace postern::app
