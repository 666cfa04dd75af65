// SPDX-License-Identifier: Apache-2.0
// Words of two registers do not combine.
#include "arch/regs/cr0.h"
#include "arch/regs/cr4.h"

using namespace postern;

#ifdef CONTROL
Cr0Word both(Cr0Word a, Cr0Word b) { return a | b; }
#else
// refuse: no match for 'operator|' (g++)
// refuse: invalid operands to binary expression (clang++)
Cr0Word both(Cr0Word a, Cr4Word b) { return a | b; }
#endif
