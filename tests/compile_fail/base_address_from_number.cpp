// SPDX-License-Identifier: Apache-2.0
// An address never comes from an integer by itself.
#include "base/address.h"

using namespace postern;

#ifdef CONTROL
bool is_zero(Gpa address) { return address == Gpa{0}; }
#else
// refuse: no match for 'operator==' (g++)
// refuse: invalid operands to binary expression (clang++)
bool is_zero(Gpa address) { return address == 0; }
#endif
