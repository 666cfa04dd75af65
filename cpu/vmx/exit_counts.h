// SPDX-License-Identifier: Apache-2.0
// The processor's own count of VM exits: what a hypervisor's counters are held against. It is no
// state of the machine: no software sees it and no snapshot holds it.
#pragma once

#include <array>

#include "arch/vmx/exit_reason.h"
#include "base/types.h"

namespace postern::cpu {

struct ExitCounts {
    std::array<std::array<u64, 2>, reason_limit> by_reason{};  // [1]: incident to enclave mode
    std::array<u64, reason_limit> failed_entries{};            // exit-reason bit 31

    void count(ExitReason reason) {
        const auto row = static_cast<size_t>(reason.basic());
        if (row >= reason_limit) return;
        ++(reason.entry_failed() ? failed_entries[row]
                                 : by_reason[row][reason.from_enclave() ? 1 : 0]);
    }
};

}  // namespace postern::cpu
