// SPDX-License-Identifier: Apache-2.0
// A guest's linear and physical addresses are different things, even where the numbers agree.
#include "base/address.h"

using namespace postern;

#ifdef CONTROL
bool same(Gva a, Gva b) { return a == b; }
#else
// refuse: no match for 'operator==' (g++)
// refuse: invalid operands to binary expression (clang++)
bool same(Gva a, Gpa b) { return a == b; }
#endif
