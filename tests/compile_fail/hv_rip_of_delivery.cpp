// SPDX-License-Identifier: Apache-2.0
// The delivery of an event has no instruction.
#include "hv/exit/exit.h"

using namespace postern;

#ifdef CONTROL
Gpa where(const hv::EnclaveDelivery& exit) { return exit.guest_physical(); }
#else
// refuse: has no member named 'rip' (g++)
// refuse: no member named 'rip' in 'postern::hv::EnclaveDelivery' (clang++)
Gva where(const hv::EnclaveDelivery& exit) { return exit.rip(); }
#endif
