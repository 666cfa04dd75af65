// SPDX-License-Identifier: Apache-2.0
// Runs cases on the host's own processor, in a child process, guarded by signals.
#pragma once

#include <memory>
#include <span>

#include "silicon/case.h"

namespace postern::silicon {

class Native {
public:
    explicit Native(unsigned largest_batch);
    ~Native();
    Native(const Native&) = delete;
    Native& operator=(const Native&) = delete;

    /// How many of them were run: fewer than all if the child died of the next one.
    unsigned run(std::span<const Case> cases);
    [[nodiscard]] const Outcome& outcome(unsigned n) const { return outcomes_[n]; }

private:
    // Shared with the child: the outcomes, and after them how many there are.
    size_t bytes_;
    Outcome* outcomes_;
    unsigned* done_;
};

}  // namespace postern::silicon
