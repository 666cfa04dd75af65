// SPDX-License-Identifier: Apache-2.0
#include "app/demo/table.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "app/options.h"

namespace postern::app {

namespace {

constexpr size_t columns = 110;
constexpr size_t label_columns = 20;
constexpr std::array<std::string_view, 6> headings{"name",    "in the enclave", "raw exit",
                                                   "Postern", "guest saw",      "without it"};

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

}  // namespace

void print_wrapped(std::ostream& out, std::string_view text) {
    for (const std::string& line : wrapped(text, columns)) out << line << '\n';
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

Table::Table(std::span<const Scenario> scenarios) {
    widen(headings);
    for (const Scenario& scenario : scenarios)
        if (scenario.open.empty()) widen(cells_of(scenario));
}

std::string Table::heading() const { return line(headings); }
std::string Table::line(const Scenario& scenario) const { return line(cells_of(scenario)); }

Table::Cells Table::cells_of(const Scenario& scenario) {
    return {scenario.name,    scenario.in_the_enclave, scenario.raw_exit,
            scenario.postern, scenario.guest_saw,      scenario.control};
}

void Table::widen(const Cells& cells) {
    for (size_t i = 0; i < cells.size(); ++i) widths_[i] = std::max(widths_[i], cells[i].size());
}

std::string Table::line(const Cells& cells) const {
    std::string line;
    for (size_t i = 0; i + 1 < cells.size(); ++i)
        line += fmt::format("{:<{}} | ", cells[i], widths_[i]);
    return line.append(cells.back()).append("\n");
}

}  // namespace postern::app
