// SPDX-License-Identifier: Apache-2.0
// A bit of CR4 cannot be asked of CR0.
#include "arch/regs/cr0.h"
#include "arch/regs/cr4.h"

using namespace postern;

#ifdef CONTROL
bool write_protects(Cr0Word cr0) { return cr0.has(Cr0::wp); }
#else
// refuse: cannot convert (g++)
// refuse: cannot initialize a parameter of type (clang++)
bool write_protects(Cr0Word cr0) { return cr0.has(Cr4::smep); }
#endif
