// SPDX-License-Identifier: Apache-2.0
// What travels between I/O APIC, devices (MSI) and local APICs. SDM 3A, "Interrupt Command
// Register (ICR)" and "Message Signalled Interrupts".
#pragma once

#include "base/types.h"

namespace postern {

enum class DeliveryMode : u8 {
    fixed = 0,
    lowest_priority = 1,
    smi = 2,
    remote_read = 3,
    nmi = 4,
    init = 5,
    start_up = 6,
    external = 7,
};

struct ApicMessage {
    static constexpr u32 everybody = ~u32{0};

    u32 destination;  // a physical ID or `everybody`, or a set of logical IDs
    bool logical;
    bool level;  // triggered by level
    DeliveryMode mode;
    u8 vector;

    /// A destination of 8 bits, as the I/O APIC, MSI and xAPIC mode have it.
    static constexpr u32 widened(u8 destination, bool logical) {
        return destination == 0xff && !logical ? everybody : u32{destination};
    }
};

}  // namespace postern
