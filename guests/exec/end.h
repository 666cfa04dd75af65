// SPDX-License-Identifier: Apache-2.0
// How init ends: always by telling `postern exec`, which ends the machine.
#pragma once

#include "guests/exec/ports.h"

namespace postern::exec {

[[noreturn]] void end(Ending ending, unsigned number);

/// "WHAT: the text of errno".
[[noreturn]] void fail(const char* what);
/// "WHAT WHY", without errno.
[[noreturn]] void fail(const char* what, const char* why);

}  // namespace postern::exec
