// SPDX-License-Identifier: Apache-2.0
// Handlers are given views, never the port: what a view does not offer cannot be read around it.
#include "hv/exit/exit.h"
#include "hv/vcpu.h"

using namespace postern;

#ifdef CONTROL
u64 count(const hv::Vcpu& vcpu) { return vcpu.counters().exits; }
#else
// refuse: is private within this context (g++)
// refuse: is a private member of 'postern::hv::Vcpu' (clang++)
u64 count(hv::Vcpu& vcpu) { return vcpu.port_.vmread(VmcsField::guest_rip); }
#endif
