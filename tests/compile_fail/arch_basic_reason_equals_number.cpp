// SPDX-License-Identifier: Apache-2.0
// Basic reasons have names; a number in their place is a typing error waiting to be made.
#include "arch/vmx/exit_reason.h"

using namespace postern;

#ifdef CONTROL
bool is_ept_violation(BasicReason reason) { return reason == BasicReason::ept_violation; }
#else
// refuse: no match for 'operator==' (g++)
// refuse: invalid operands to binary expression ('BasicReason' and 'int') (clang++)
bool is_ept_violation(BasicReason reason) { return reason == 48; }
#endif
