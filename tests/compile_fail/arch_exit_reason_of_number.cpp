// SPDX-License-Identifier: Apache-2.0
// An exit reason is made of a basic reason, or of the whole field by from_vmcs(); a bare number
// could be either.
#include "arch/vmx/exit_reason.h"

using namespace postern;

#ifdef CONTROL
constexpr ExitReason reason{BasicReason::ept_violation};
#else
// refuse: is private within this context (g++)
// refuse: calling a private constructor of class 'postern::ExitReason' (clang++)
constexpr ExitReason reason{48};
#endif
