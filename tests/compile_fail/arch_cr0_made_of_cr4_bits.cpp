// SPDX-License-Identifier: Apache-2.0
// A CR0 is not made of bits of CR4.
#include "arch/regs/cr0.h"
#include "arch/regs/cr4.h"

using namespace postern;

#ifdef CONTROL
constexpr Cr0Word cr0{Cr0::pe, Cr0::pg};
#else
// refuse: no matching function for call to (g++)
// refuse: no matching constructor (clang++)
constexpr Cr0Word cr0{Cr0::pe, Cr4::pae};
#endif
