// SPDX-License-Identifier: Apache-2.0
// The names under which the command line and the documents know the switches of Choices.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "cpu/system.h"

namespace postern::cpu {

struct ChoiceRow {
    std::string_view name;
    std::array<std::string_view, 2> values;  // the first is the default
    bool Choices::* member;                  // true: the second
    std::string_view provenance;             // why it is open, in the tags of docs/open-points.md
};

std::span<const ChoiceRow> choice_rows();

/// False: no such choice, or no such value of it.
bool set_choice(Choices& choices, std::string_view name, std::string_view value);

}  // namespace postern::cpu
