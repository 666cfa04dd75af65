// SPDX-License-Identifier: Apache-2.0
// An enclave's instruction cannot be carried out for it.
#include "hv/exit/exit.h"

using namespace postern;

#ifdef CONTROL
hv::Next carry_out(hv::NormalExit& exit, Gpa address) { return exit.emulate(address); }
#else
// refuse: has no member named 'emulate' (g++)
// refuse: no member named 'emulate' in 'postern::hv::EnclaveExit' (clang++)
hv::Next carry_out(hv::EnclaveExit& exit, Gpa address) { return exit.emulate(address); }
#endif
