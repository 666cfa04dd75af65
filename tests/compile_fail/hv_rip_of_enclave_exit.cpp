// SPDX-License-Identifier: Apache-2.0
// After an exit from an enclave RIP is the AEP: whoever takes it for the instruction's address
// passes over, or carries out, whatever hostile code has put there.
#include "hv/exit/exit.h"

using namespace postern;

#ifdef CONTROL
Gva where(const hv::NormalExit& exit) { return exit.rip(); }
#else
// refuse: has no member named 'rip' (g++)
// refuse: no member named 'rip' in 'postern::hv::EnclaveExit' (clang++)
Gva where(const hv::EnclaveExit& exit) { return exit.rip(); }
#endif
