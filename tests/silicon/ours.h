// SPDX-License-Identifier: Apache-2.0
// Runs cases on the project's processor, at the same linear addresses.
#pragma once

#include "silicon/case.h"
#include "support/guest_code.h"

namespace postern::silicon {

class Ours {
public:
    Ours();
    /// `variant` chooses between ways of running that must not matter: an empty or a filled TLB,
    /// slices of one instruction or of many. False: not implemented; why() names it.
    bool run(const Case& k, u64 variant, Outcome& outcome);
    [[nodiscard]] const char* why() const { return machine_.c.pending.what; }

private:
    void prepare(const Case& k, u64 variant);

    cpu::GuestCode machine_{3};
};

}  // namespace postern::silicon
