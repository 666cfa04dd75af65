// SPDX-License-Identifier: Apache-2.0
// every_exit with L1 below it.
#include "guests/blue_pill/l1.h"
#include "guests/every_exit/options.h"

namespace postern::guests {

const char* const title = "every exit in L2: an enclave that is interrupted in every way";

void before_enclave() { become_guest(true); }

}  // namespace postern::guests
