// SPDX-License-Identifier: Apache-2.0
// What of an outcome the manual leaves open, and where vendors are known to differ.
#pragma once

#include "silicon/case.h"
#include "silicon/generator.h"

namespace postern::silicon {

/// Nothing of these is compared.
struct Open {
    u64 flags = 0;
    u16 gpr = 0;  // a bit a register
    bool memory = false;
};

/// By the manual. Flags are those of a completed instruction.
Open left_open(const Case& k, const Decoded& d);

enum class Vendor : u8 { intel, amd, other };
Vendor host_vendor();

/// Why this host may differ from Intel's processors here; null: it may not.
const char* vendor_difference(Vendor vendor, const Case& k, const Decoded& d, const Outcome& host);

}  // namespace postern::silicon
