// SPDX-License-Identifier: Apache-2.0
// A failure that nobody looks at is a fault lost.
#include "base/result.h"

using namespace postern;

#ifdef CONTROL
Result<> may_fail();
Result<> caller() { return may_fail(); }
#else
// refuse: ignoring return (g++)
// refuse: ignoring return value (clang++)
Result<> may_fail();
void caller() { may_fail(); }
#endif
