// SPDX-License-Identifier: Apache-2.0
// Where the counts of all processors are.
#include "cpu/vmx/exit_counts.h"

#include <mutex>
#include <unordered_map>

namespace postern::cpu {
namespace {

struct AllCounts {
    std::mutex lock;
    std::unordered_map<const Cpu*, ExitCounts> of;  // references to its values stay good
};

AllCounts& all() {
    static AllCounts counts;
    return counts;
}

}  // namespace

void ExitCounts::count(ExitReason reason) {
    const auto row = static_cast<size_t>(reason.basic());
    if (row >= reason_limit) return;
    ++(reason.entry_failed() ? failed_entries[row] : by_reason[row][reason.from_enclave() ? 1 : 0]);
}

ExitCounts& exit_counts(const Cpu& c) {
    AllCounts& counts = all();
    const std::lock_guard held{counts.lock};
    return counts.of[&c];
}

void forget_exit_counts(const Cpu& c) {
    AllCounts& counts = all();
    const std::lock_guard held{counts.lock};
    counts.of.erase(&c);
}

}  // namespace postern::cpu
