// SPDX-License-Identifier: Apache-2.0
// The fields of the VMCS by encoding: width, type, access, and one table of all of them. The
// list itself is vmcs_fields.def; what a capability means is in capability.h.
#pragma once

#include <array>
#include <string_view>
#include <type_traits>

#include "base/table.h"
#include "base/types.h"

namespace postern {

/// SDM 3D, appendix "Field Encoding in VMCS".
enum class VmcsField : u32 {
#define VMCS_FIELD(encoding, name, capability) name = encoding,
#include "arch/vmx/vmcs_fields.def"
#undef VMCS_FIELD
};

/// What a processor must support for a field to exist on it. `base` is VMX itself.
enum class VmcsCapability : u8 {
    base,
    // pin-based controls
    preemption_timer,
    posted_interrupts,
    // primary processor-based controls
    tpr_shadow,
    msr_bitmaps,
    secondary_controls,
    tertiary_controls,
    // secondary processor-based controls
    virtualize_apic_accesses,
    ept,
    vpid,
    virtual_interrupt_delivery,
    pause_loop_exiting,
    vm_functions,
    vmcs_shadowing,
    encls_exiting,
    pml,
    ept_violation_ve,
    xsaves,
    pasid_translation,
    sub_page_permissions,
    tsc_scaling,
    pconfig,
    enclv_exiting,
    instruction_timeout,
    // tertiary processor-based controls
    hlat,
    ipi_virtualization,
    spec_ctrl_virtualization,
    guest_apic_timer,
    // VM functions
    eptp_switching,
    // VM-entry controls, or the VM-exit control that saves the same field
    load_perf_global_ctrl,
    load_pat,
    load_efer,
    load_bndcfgs,
    load_rtit_ctl,
    uinv,
    load_cet,
    load_lbr_ctl,
    load_pkrs,
    fred,
    // VM-exit controls
    host_perf_global_ctrl,
    host_pat,
    host_efer,
    host_cet,
    host_pkrs,
    secondary_exit_controls,
    // secondary VM-exit controls
    host_fred,
    // TDX
    shared_ept,
};

/// The encoding's bits 14:13 and 11:10. SDM 3C, "VMREAD, VMWRITE, and Encodings of VMCS Fields".
enum class VmcsWidth : u8 { bits16, bits64, bits32, natural };
enum class VmcsType : u8 { control, exit_information, guest, host };

constexpr VmcsWidth width_of(VmcsField field) {
    return static_cast<VmcsWidth>(static_cast<u32>(field) >> 13 & 3);
}

constexpr VmcsType type_of(VmcsField field) {
    return static_cast<VmcsType>(static_cast<u32>(field) >> 10 & 3);
}

/// VMWRITE fails unless IA32_VMX_MISC[29] allows it.
constexpr bool is_read_only(VmcsField field) {
    return type_of(field) == VmcsType::exit_information;
}

/// Where natural width is 64 bits.
constexpr unsigned bytes_of(VmcsField field) {
    constexpr std::array<u8, 4> bytes{2, 8, 4, 8};
    return bytes[static_cast<size_t>(width_of(field))];
}

struct VmcsFieldRow {
    VmcsField field;
    std::string_view name;
    VmcsCapability capability;
};

/// Every field, sorted by encoding.
inline constexpr std::array vmcs_field_rows{
#define VMCS_FIELD(encoding, name, capability) \
    VmcsFieldRow{VmcsField::name, #name, VmcsCapability::capability},
#include "arch/vmx/vmcs_fields.def"
#undef VMCS_FIELD
};

inline constexpr size_t vmcs_field_count = vmcs_field_rows.size();

static_assert(is_strictly_sorted(vmcs_field_rows, [](const VmcsFieldRow& row) {
    return static_cast<u32>(row.field);
}));

namespace detail {

inline constexpr u8 no_vmcs_row = 0xff;
inline constexpr size_t vmcs_slots_per_group = 64;
static_assert(vmcs_field_count < no_vmcs_row);

/// Width and type choose one of 16 groups, the encoding's bits 9:1 the place in it.
constexpr size_t vmcs_slot(u32 encoding) {
    return ((encoding >> 13 & 3) << 2 | (encoding >> 10 & 3)) * vmcs_slots_per_group +
           (encoding >> 1 & (vmcs_slots_per_group - 1));
}

consteval auto index_vmcs_fields() {
    std::array<u8, 16 * vmcs_slots_per_group> rows{};
    for (u8& row : rows) row = no_vmcs_row;
    for (size_t i = 0; i < vmcs_field_count; ++i)
        rows[vmcs_slot(static_cast<u32>(vmcs_field_rows[i].field))] = static_cast<u8>(i);
    return rows;
}

inline constexpr auto vmcs_rows_by_slot = index_vmcs_fields();

}  // namespace detail

/// The row of a field: dense, 0 to vmcs_field_count - 1. A constant for a constant field, one
/// load otherwise.
constexpr size_t vmcs_index(VmcsField field) {
    return detail::vmcs_rows_by_slot[detail::vmcs_slot(static_cast<u32>(field))];
}

/// Bit 0 of an encoding: the high half of a 64-bit field is meant.
constexpr bool is_high_access(u32 encoding) { return (encoding & 1) != 0; }

/// The row that `encoding` (as VMREAD and VMWRITE take it, full or high access) names, or -1.
constexpr int vmcs_find(u32 encoding) {
    if ((encoding & 0xffff'9380) != 0) return -1;  // reserved bits, or an index above all used
    const auto row = detail::vmcs_rows_by_slot[detail::vmcs_slot(encoding)];
    if (row == detail::no_vmcs_row) return -1;
    if (is_high_access(encoding) && width_of(vmcs_field_rows[row].field) != VmcsWidth::bits64)
        return -1;
    return row;
}

static_assert([] {
    for (size_t i = 0; i < vmcs_field_count; ++i) {
        const VmcsField field = vmcs_field_rows[i].field;
        if (vmcs_index(field) != i || vmcs_find(static_cast<u32>(field)) != static_cast<int>(i))
            return false;
    }
    return true;
}());

constexpr std::string_view name_of(VmcsField field) {
    const int row = vmcs_find(static_cast<u32>(field));
    return row < 0 ? std::string_view{"unknown"} : vmcs_field_rows[static_cast<size_t>(row)].name;
}

/// What IA32_VMX_VMCS_ENUM reports in bits 9:1 if all rows exist.
inline constexpr u32 vmcs_highest_index = [] {
    u32 highest = 0;
    for (const VmcsFieldRow& row : vmcs_field_rows) {
        const u32 index = static_cast<u32>(row.field) >> 1 & 0x1ff;
        if (index > highest) highest = index;
    }
    return highest;
}();

namespace detail {
template <VmcsWidth>
struct VmcsValueOf {
    using type = u64;
};
template <>
struct VmcsValueOf<VmcsWidth::bits16> {
    using type = u16;
};
template <>
struct VmcsValueOf<VmcsWidth::bits32> {
    using type = u32;
};
}  // namespace detail

/// The integer that holds the field's value.
template <VmcsField field>
using VmcsValue = typename detail::VmcsValueOf<width_of(field)>::type;

/// Segment `index`'s field, counted in SegmentIndex order from its ES field.
constexpr VmcsField segment_field(VmcsField of_es, unsigned index) {
    return static_cast<VmcsField>(static_cast<u32>(of_es) + 2 * index);
}

}  // namespace postern
