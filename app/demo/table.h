// SPDX-License-Identifier: Apache-2.0
// How the demo looks: paragraphs with labels, and the table of scenarios.
#pragma once

#include <array>
#include <ostream>
#include <span>
#include <string>
#include <string_view>

#include "app/demo/row.h"
#include "app/demo/scenarios.h"

namespace postern::app {

void print_wrapped(std::ostream& out, std::string_view text);
/// `label` stands for an empty one.
void print(std::ostream& out, std::string_view label, std::string_view text);
void print(std::ostream& out, const Account& account, std::string_view label);

/// One line for each scenario; columns as wide as the widest of all.
class Table {
public:
    explicit Table(std::span<const Scenario> scenarios);

    [[nodiscard]] std::string heading() const;
    [[nodiscard]] std::string line(const Scenario& scenario) const;

private:
    static constexpr size_t columns = 6;
    using Cells = std::array<std::string_view, columns>;

    [[nodiscard]] static Cells cells_of(const Scenario& scenario);
    void widen(const Cells& cells);
    [[nodiscard]] std::string line(const Cells& cells) const;

    std::array<size_t, columns> widths_{};
};

}  // namespace postern::app
