// SPDX-License-Identifier: Apache-2.0
// A handler for exits outside enclaves cannot stand where an enclave's is asked for.
#include "hv/exit/table.h"

using namespace postern;

#ifdef CONTROL
constexpr hv::ExitRow row{BasicReason::cpuid, hv::on_cpuid, hv::never_from_enclave_ud,
                          hv::never_in_delivery, hv::always};
#else
// refuse: invalid conversion from (g++)
// refuse: cannot initialize a member subobject of type (clang++)
constexpr hv::ExitRow row{BasicReason::cpuid, hv::on_cpuid, hv::on_cpuid, hv::never_in_delivery,
                          hv::always};
#endif
