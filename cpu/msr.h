// SPDX-License-Identifier: Apache-2.0
// Model-specific registers: one table of all there are.
#pragma once

#include <string_view>

#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/model.h"

namespace postern::cpu {

/// RDMSR and WRMSR after the privilege check and the VM-exit question; also what the MSR lists of
/// VM entry and exit use. #GP(0) for what does not exist, is read-only or is refused.
Result<u64> read_msr(Cpu& c, u32 number);
Result<> write_msr(Cpu& c, u32 number, u64 value);

/// The time-stamp counter as RDTSC and RDMSR see it here: adjusted; scaled and offset in a guest.
u64 read_tsc(const Cpu& c);
/// Time in which that counter goes up by `ticks`.
u64 ticks_to_time(const Cpu& c, u64 ticks);

/// A run of MSRs that behave alike.
struct MsrRow {
    u32 first, last;
    std::string_view name;
    Feature feature;
    u64 reserved;  // bits that WRMSR must leave 0
    Result<u64> (*read)(Cpu& c, u32 number);
    Result<> (*write)(Cpu& c, u32 number, u64 value);  // null: read-only
};

/// The row of an MSR that this processor has, or null.
const MsrRow* find_msr(const Cpu& c, u32 number);

}  // namespace postern::cpu
