// SPDX-License-Identifier: Apache-2.0
// The instruction length of an enclave's exit is 0, and says nothing.
#include "hv/exit/exit.h"

using namespace postern;

#ifdef CONTROL
u32 length(const hv::NormalExit& exit) { return exit.instruction_length(); }
#else
// refuse: has no member named 'instruction_length' (g++)
// refuse: no member named 'instruction_length' in 'postern::hv::EnclaveExit' (clang++)
u32 length(const hv::EnclaveExit& exit) { return exit.instruction_length(); }
#endif
