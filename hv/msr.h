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

    bool from_processor(u64& value);
    bool to_processor(u64 value);
    bool read_tsc(u64& value);
    bool read_apic_base(u64& value);
    bool read_feature_control(u64& value);
    bool read_launch_key(u64& value);
    bool write_launch_key(u64 value);
    bool read_pat(u64& value);
    bool write_pat(u64 value);
    bool read_efer(u64& value);
    bool write_efer(u64 value);
    bool read_misc_enable(u64& value);
    bool read_zero(u64& value);
    bool refuse(u64 value);
    bool ignore(u64 value);
};

/// MSRs that pass through: the processor's own values are the guest's.
inline constexpr u32 passed_through_msr_count = 12;
[[nodiscard]] u32 passed_through_msr(u32 index);

}  // namespace postern::hv
