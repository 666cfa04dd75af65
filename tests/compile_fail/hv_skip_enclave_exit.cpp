// SPDX-License-Identifier: Apache-2.0
// An enclave's instruction cannot be passed over.
#include "hv/exit/exit.h"

using namespace postern;

#ifdef CONTROL
bool over(hv::NormalExit& exit) { return exit.skip(); }
#else
// refuse: has no member named 'skip' (g++)
// refuse: no member named 'skip' in 'postern::hv::EnclaveExit' (clang++)
bool over(hv::EnclaveExit& exit) { return exit.skip(); }
#endif
