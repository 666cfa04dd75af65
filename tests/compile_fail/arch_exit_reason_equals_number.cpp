// SPDX-License-Identifier: Apache-2.0
// The exit-reason field holds flags beside the number: comparing it with a number would be false
// for every exit from an enclave.
#include "arch/vmx/exit_reason.h"

using namespace postern;

#ifdef CONTROL
bool is_ept_violation(ExitReason reason) { return reason.basic() == BasicReason::ept_violation; }
#else
// refuse: no match for 'operator==' (g++)
// refuse: invalid operands to binary expression ('ExitReason' and 'int') (clang++)
bool is_ept_violation(ExitReason reason) { return reason == 48; }
#endif
