// SPDX-License-Identifier: Apache-2.0
// What an L1 hypervisor wrote into the VMCS of its guest, as far as the exit table asks for it.
// Nested virtualization itself is not implemented: nothing creates one yet.
#pragma once

#include "arch/vmx/controls.h"

namespace postern::hv {

struct Vmcs12 {
    PinControls pin;
    PrimaryControls primary;
    SecondaryControls secondary;
    u32 exception_bitmap = 0;
    u64 encls_exiting_bitmap = 0;
};

}  // namespace postern::hv
