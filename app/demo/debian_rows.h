// SPDX-License-Identifier: Apache-2.0
// The scenarios that a process of Debian's can cause: those of our own guest, with what is
// different because the code outside the enclave runs in ring 3 of another kernel.
#pragma once

#include <span>

#include "app/demo/scenarios.h"

namespace postern::app {

std::span<const Scenario> debian_scenarios();

}  // namespace postern::app
