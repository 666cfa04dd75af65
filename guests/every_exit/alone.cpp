// SPDX-License-Identifier: Apache-2.0
// every_exit with nothing of ours below it.
#include "guests/every_exit/options.h"

namespace postern::guests {

const char* const title = "every exit: an enclave that is interrupted in every way";

void before_enclave() {}

}  // namespace postern::guests
