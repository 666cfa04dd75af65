// SPDX-License-Identifier: Apache-2.0
// The titles of the manual's lists of checks. SDM 3C, "VM Entries".
#pragma once

#include <string_view>

namespace postern::vm_entry::title {

inline constexpr std::string_view execution = "VM-Execution Control Fields";
inline constexpr std::string_view exiting = "VM-Exit Control Fields";
inline constexpr std::string_view entering = "VM-Entry Control Fields";
inline constexpr std::string_view host_registers =
    "Checks on Host Control Registers, MSRs, and SSP";
inline constexpr std::string_view host_segments =
    "Checks on Host Segment and Descriptor-Table Registers";
inline constexpr std::string_view address_space_size = "Checks Related to Address-Space Size";
inline constexpr std::string_view guest_registers =
    "Checks on Guest Control Registers, Debug Registers, and MSRs";
inline constexpr std::string_view guest_segments = "Checks on Guest Segment Registers";
inline constexpr std::string_view guest_tables = "Checks on Guest Descriptor-Table Registers";
inline constexpr std::string_view rip_and_rflags = "Checks on Guest RIP, RFLAGS, and SSP";
inline constexpr std::string_view non_register = "Checks on Guest Non-Register State";
inline constexpr std::string_view pdptes = "Checks on Guest Page-Directory-Pointer-Table Entries";

}  // namespace postern::vm_entry::title
