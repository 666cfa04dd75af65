// SPDX-License-Identifier: Apache-2.0
#include "guests/every_exit/hostile.h"

#include "guests/linux_scenarios/machine.h"

namespace postern::guests {

void run_hostile() { fail("not implemented: hostile"); }

}  // namespace postern::guests
