// SPDX-License-Identifier: Apache-2.0
// --sgx-conflict LEAF[+LEAF...]=RATE[,SEED]: which SGX leaves are to meet conflicts, and how often.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cpu/sgx/conflict.h"
#include "platform/error.h"

namespace postern::app {

inline constexpr const char* conflict_option = "--sgx-conflict";

/// What each use of the option said, together; a leaf may be named once.
platform::Expected<std::vector<cpu::sgx::ConflictRequest>> parse_conflicts(
    std::span<const std::string> words);

/// "einit", of a row of cpu::sgx::conflict_leaves(), as the option takes it.
std::string option_name(const cpu::sgx::ConflictLeaf& leaf);

}  // namespace postern::app
