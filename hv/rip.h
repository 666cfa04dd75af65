// SPDX-License-Identifier: Apache-2.0
// Who may set the guest's RIP, and when. Vcpu::set_rip is the only place that writes the field.
#pragma once

#include "hv/watch.h"

namespace postern::hv {

enum class RipCause : u8 { injection, reset, nesting_switch, skip, emulation, entry };

/// After an exit from an enclave RIP is the AEP, not the address of an instruction that could
/// be passed over. SDM 3C, "Saving RIP, RSP, RFLAGS, and SSP".
constexpr bool may_set_rip(RipCause cause, ExitKind current) {
    if (current != ExitKind::enclave && current != ExitKind::delivery) return true;
    return cause == RipCause::injection || cause == RipCause::reset ||
           cause == RipCause::nesting_switch;
}

}  // namespace postern::hv
