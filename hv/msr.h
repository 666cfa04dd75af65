// SPDX-License-Identifier: Apache-2.0
// The MSRs a guest sees. Those that are its own and need no check never exit; every other one
// has a row in msr.cpp, or does not exist.
#pragma once

#include <array>
#include <type_traits>

#include "arch/msr.h"
#include "base/types.h"

namespace postern::hv {

class Vcpu;

inline constexpr u32 mtrr_variable_limit = 10;
/// Of IA32_DEBUGCTL.
inline constexpr u64 debugctl_reserved = ~DebugctlWord{Debugctl::lbr, Debugctl::btf}.to_raw();

/// A guest's MSRs that are neither in the VMCS nor in the processor it has for itself.
struct VirtualMsrs {
    /// The guest's counter is the processor's, and these two. SDM 3B, "Time-Stamp Counter
    /// Adjustment".
    u64 tsc_base = 0;
    u64 tsc_adjust = 0;
    u64 misc_enable = 0;
    u64 power_ctl = 0;
    // EPT says what memory is cached how: the guest's ranges change nothing.
    u64 mtrr_def_type = 0;
    std::array<u64, size_t{2} * mtrr_variable_limit> mtrr_variable{};  // base and mask, alternating
    std::array<u64, 11> mtrr_fixed{};

    friend constexpr bool operator==(const VirtualMsrs&, const VirtualMsrs&) = default;
};
static_assert(std::is_trivially_copyable_v<VirtualMsrs> && std::is_standard_layout_v<VirtualMsrs>);

/// One RDMSR or WRMSR. False: #GP(0).
struct MsrAccess {
    Vcpu& vcpu;
    u32 msr;

    [[nodiscard]] bool read(u64& value);
    [[nodiscard]] bool write(u64 value);

    // What the rows of the table do.
    static bool from_processor(MsrAccess& access, u64& value);
    static bool to_processor(MsrAccess& access, u64 value);
    static bool from_vmcs(MsrAccess& access, u64& value);
    static bool to_vmcs(MsrAccess& access, u64 value);
    static bool canonical_to_vmcs(MsrAccess& access, u64 value);
    static bool read_zero(MsrAccess& access, u64& value);
    static bool refuse_read(MsrAccess& access, u64& value);
    static bool refuse(MsrAccess& access, u64 value);
    static bool ignore(MsrAccess& access, u64 value);
    template <u64 VirtualMsrs::* member>
    static bool get(MsrAccess& access, u64& value);
    template <u64 VirtualMsrs::* member>
    static bool set(MsrAccess& access, u64 value);
    static bool read_tsc(MsrAccess& access, u64& value);
    static bool write_tsc(MsrAccess& access, u64 value);
    static bool write_tsc_adjust(MsrAccess& access, u64 value);
    static bool read_feature_control(MsrAccess& access, u64& value);
    static bool write_feature_control(MsrAccess& access, u64 value);
    static bool read_launch_key(MsrAccess& access, u64& value);
    static bool write_launch_key(MsrAccess& access, u64 value);
    static bool read_vmx(MsrAccess& access, u64& value);
    static bool read_mtrr_variable(MsrAccess& access, u64& value);
    static bool write_mtrr_variable(MsrAccess& access, u64 value);
    static bool read_mtrr_fixed(MsrAccess& access, u64& value);
    static bool write_mtrr_fixed(MsrAccess& access, u64 value);
    static bool write_mtrr_def_type(MsrAccess& access, u64 value);
    static bool write_pat(MsrAccess& access, u64 value);
    static bool write_efer(MsrAccess& access, u64 value);
};

}  // namespace postern::hv
