// SPDX-License-Identifier: Apache-2.0
// The MSRs a guest sees. Those that are its own and need no check never exit; every other one
// has a row in msr.cpp, or does not exist.
#pragma once

#include "base/types.h"

namespace postern::hv {

class Vcpu;

/// One RDMSR or WRMSR. False: #GP(0).
struct MsrAccess {
    Vcpu& vcpu;
    u32 msr;

    [[nodiscard]] bool read(u64& value);
    [[nodiscard]] bool write(u64 value);

    // What the rows of the table do.
    static bool from_processor(MsrAccess& access, u64& value);
    static bool to_processor(MsrAccess& access, u64 value);
    static bool read_tsc(MsrAccess& access, u64& value);
    static bool read_apic_base(MsrAccess& access, u64& value);
    static bool read_feature_control(MsrAccess& access, u64& value);
    static bool read_launch_key(MsrAccess& access, u64& value);
    static bool write_launch_key(MsrAccess& access, u64 value);
    static bool read_pat(MsrAccess& access, u64& value);
    static bool write_pat(MsrAccess& access, u64 value);
    static bool read_efer(MsrAccess& access, u64& value);
    static bool write_efer(MsrAccess& access, u64 value);
    static bool read_misc_enable(MsrAccess& access, u64& value);
    static bool read_zero(MsrAccess& access, u64& value);
    static bool refuse(MsrAccess& access, u64 value);
    static bool ignore(MsrAccess& access, u64 value);
};

/// MSRs that pass through: the processor's own values are the guest's.
inline constexpr u32 passed_through_msr_count = 12;
[[nodiscard]] u32 passed_through_msr(u32 index);

}  // namespace postern::hv
