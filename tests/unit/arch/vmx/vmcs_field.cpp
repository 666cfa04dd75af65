// SPDX-License-Identifier: Apache-2.0
// The VMCS field table against numbers copied by hand from SDM 3D, appendix "Field Encoding in
// VMCS".
#include "arch/vmx/vmcs_field.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "arch/regs/segment.h"
#include "arch/vmx/capability.h"

namespace postern {
namespace {

struct Encoded {
    VmcsField field;
    u32 encoding;
    const char* name;
};

#define ENCODED(encoding, field) {VmcsField::field, encoding, #field}
constexpr Encoded by_hand[] = {
    ENCODED(0x0000, virtual_processor_identifier),
    ENCODED(0x0002, posted_interrupt_notification_vector),
    ENCODED(0x0004, eptp_index),
    ENCODED(0x0006, hlat_prefix_size),
    ENCODED(0x0008, last_pid_pointer_index),
    ENCODED(0x0800, guest_es_selector),
    ENCODED(0x0802, guest_cs_selector),
    ENCODED(0x0804, guest_ss_selector),
    ENCODED(0x0806, guest_ds_selector),
    ENCODED(0x0808, guest_fs_selector),
    ENCODED(0x080a, guest_gs_selector),
    ENCODED(0x080c, guest_ldtr_selector),
    ENCODED(0x080e, guest_tr_selector),
    ENCODED(0x0810, guest_interrupt_status),
    ENCODED(0x0812, pml_index),
    ENCODED(0x0c00, host_es_selector),
    ENCODED(0x0c0a, host_gs_selector),
    ENCODED(0x0c0c, host_tr_selector),
    ENCODED(0x2000, io_bitmap_a),
    ENCODED(0x2002, io_bitmap_b),
    ENCODED(0x2004, msr_bitmap),
    ENCODED(0x2006, vm_exit_msr_store_address),
    ENCODED(0x2008, vm_exit_msr_load_address),
    ENCODED(0x200a, vm_entry_msr_load_address),
    ENCODED(0x200c, executive_vmcs_pointer),
    ENCODED(0x200e, pml_address),
    ENCODED(0x2010, tsc_offset),
    ENCODED(0x2012, virtual_apic_address),
    ENCODED(0x2014, apic_access_address),
    ENCODED(0x2016, posted_interrupt_descriptor_address),
    ENCODED(0x2018, vm_function_controls),
    ENCODED(0x201a, ept_pointer),
    ENCODED(0x201c, eoi_exit_bitmap_0),
    ENCODED(0x2022, eoi_exit_bitmap_3),
    ENCODED(0x2024, eptp_list_address),
    ENCODED(0x2026, vmread_bitmap_address),
    ENCODED(0x2028, vmwrite_bitmap_address),
    ENCODED(0x202a, virtualization_exception_information_address),
    ENCODED(0x202c, xss_exiting_bitmap),
    ENCODED(0x202e, encls_exiting_bitmap),
    ENCODED(0x2032, tsc_multiplier),
    ENCODED(0x2034, tertiary_processor_based_controls),
    ENCODED(0x2036, enclv_exiting_bitmap),
    ENCODED(0x203e, pconfig_exiting_bitmap),
    ENCODED(0x2040, hlatp),
    ENCODED(0x2042, pid_pointer_table_address),
    ENCODED(0x2044, secondary_vm_exit_controls),
    ENCODED(0x2052, injected_event_data),
    ENCODED(0x2400, guest_physical_address),
    ENCODED(0x2404, original_event_data),
    ENCODED(0x2800, vmcs_link_pointer),
    ENCODED(0x2802, guest_ia32_debugctl),
    ENCODED(0x2804, guest_ia32_pat),
    ENCODED(0x2806, guest_ia32_efer),
    ENCODED(0x2808, guest_ia32_perf_global_ctrl),
    ENCODED(0x280a, guest_pdpte0),
    ENCODED(0x2810, guest_pdpte3),
    ENCODED(0x2812, guest_ia32_bndcfgs),
    ENCODED(0x2814, guest_ia32_rtit_ctl),
    ENCODED(0x2816, guest_ia32_lbr_ctl),
    ENCODED(0x2818, guest_ia32_pkrs),
    ENCODED(0x281a, guest_ia32_fred_config),
    ENCODED(0x2828, guest_ia32_fred_ssp3),
    ENCODED(0x2c00, host_ia32_pat),
    ENCODED(0x2c02, host_ia32_efer),
    ENCODED(0x2c04, host_ia32_perf_global_ctrl),
    ENCODED(0x2c06, host_ia32_pkrs),
    ENCODED(0x2c08, host_ia32_fred_config),
    ENCODED(0x4000, pin_based_controls),
    ENCODED(0x4002, primary_processor_based_controls),
    ENCODED(0x4004, exception_bitmap),
    ENCODED(0x4006, page_fault_error_code_mask),
    ENCODED(0x4008, page_fault_error_code_match),
    ENCODED(0x400a, cr3_target_count),
    ENCODED(0x400c, vm_exit_controls),
    ENCODED(0x400e, vm_exit_msr_store_count),
    ENCODED(0x4010, vm_exit_msr_load_count),
    ENCODED(0x4012, vm_entry_controls),
    ENCODED(0x4014, vm_entry_msr_load_count),
    ENCODED(0x4016, vm_entry_interruption_information),
    ENCODED(0x4018, vm_entry_exception_error_code),
    ENCODED(0x401a, vm_entry_instruction_length),
    ENCODED(0x401c, tpr_threshold),
    ENCODED(0x401e, secondary_processor_based_controls),
    ENCODED(0x4020, ple_gap),
    ENCODED(0x4022, ple_window),
    ENCODED(0x4024, instruction_timeout_control),
    ENCODED(0x4400, vm_instruction_error),
    ENCODED(0x4402, exit_reason),
    ENCODED(0x4404, vm_exit_interruption_information),
    ENCODED(0x4406, vm_exit_interruption_error_code),
    ENCODED(0x4408, idt_vectoring_information),
    ENCODED(0x440a, idt_vectoring_error_code),
    ENCODED(0x440c, vm_exit_instruction_length),
    ENCODED(0x440e, vm_exit_instruction_information),
    ENCODED(0x4800, guest_es_limit),
    ENCODED(0x480e, guest_tr_limit),
    ENCODED(0x4810, guest_gdtr_limit),
    ENCODED(0x4812, guest_idtr_limit),
    ENCODED(0x4814, guest_es_access_rights),
    ENCODED(0x4822, guest_tr_access_rights),
    ENCODED(0x4824, guest_interruptibility_state),
    ENCODED(0x4826, guest_activity_state),
    ENCODED(0x4828, guest_smbase),
    ENCODED(0x482a, guest_ia32_sysenter_cs),
    ENCODED(0x482e, vmx_preemption_timer_value),
    ENCODED(0x4c00, host_ia32_sysenter_cs),
    ENCODED(0x6000, cr0_guest_host_mask),
    ENCODED(0x6002, cr4_guest_host_mask),
    ENCODED(0x6004, cr0_read_shadow),
    ENCODED(0x6006, cr4_read_shadow),
    ENCODED(0x6008, cr3_target_value_0),
    ENCODED(0x600e, cr3_target_value_3),
    ENCODED(0x6400, exit_qualification),
    ENCODED(0x6402, io_rcx),
    ENCODED(0x6404, io_rsi),
    ENCODED(0x6406, io_rdi),
    ENCODED(0x6408, io_rip),
    ENCODED(0x640a, guest_linear_address),
    ENCODED(0x6800, guest_cr0),
    ENCODED(0x6802, guest_cr3),
    ENCODED(0x6804, guest_cr4),
    ENCODED(0x6806, guest_es_base),
    ENCODED(0x680e, guest_fs_base),
    ENCODED(0x6810, guest_gs_base),
    ENCODED(0x6814, guest_tr_base),
    ENCODED(0x6816, guest_gdtr_base),
    ENCODED(0x6818, guest_idtr_base),
    ENCODED(0x681a, guest_dr7),
    ENCODED(0x681c, guest_rsp),
    ENCODED(0x681e, guest_rip),
    ENCODED(0x6820, guest_rflags),
    ENCODED(0x6822, guest_pending_debug_exceptions),
    ENCODED(0x6824, guest_ia32_sysenter_esp),
    ENCODED(0x6826, guest_ia32_sysenter_eip),
    ENCODED(0x6828, guest_ia32_s_cet),
    ENCODED(0x682a, guest_ssp),
    ENCODED(0x682c, guest_ia32_interrupt_ssp_table_addr),
    ENCODED(0x6c00, host_cr0),
    ENCODED(0x6c02, host_cr3),
    ENCODED(0x6c04, host_cr4),
    ENCODED(0x6c06, host_fs_base),
    ENCODED(0x6c08, host_gs_base),
    ENCODED(0x6c0a, host_tr_base),
    ENCODED(0x6c0c, host_gdtr_base),
    ENCODED(0x6c0e, host_idtr_base),
    ENCODED(0x6c10, host_ia32_sysenter_esp),
    ENCODED(0x6c12, host_ia32_sysenter_eip),
    ENCODED(0x6c14, host_rsp),
    ENCODED(0x6c16, host_rip),
    ENCODED(0x6c18, host_ia32_s_cet),
    ENCODED(0x6c1a, host_ssp),
    ENCODED(0x6c1c, host_ia32_interrupt_ssp_table_addr),
};
#undef ENCODED

// The type of a value follows the encoding's width.
static_assert(std::is_same_v<VmcsValue<VmcsField::guest_cs_selector>, u16>);
static_assert(std::is_same_v<VmcsValue<VmcsField::ept_pointer>, u64>);
static_assert(std::is_same_v<VmcsValue<VmcsField::exit_reason>, u32>);
static_assert(std::is_same_v<VmcsValue<VmcsField::guest_rip>, u64>);

static_assert(width_of(VmcsField::virtual_processor_identifier) == VmcsWidth::bits16);
static_assert(width_of(VmcsField::io_bitmap_a) == VmcsWidth::bits64);
static_assert(width_of(VmcsField::vm_exit_controls) == VmcsWidth::bits32);
static_assert(width_of(VmcsField::host_rip) == VmcsWidth::natural);

static_assert(type_of(VmcsField::io_bitmap_a) == VmcsType::control);
static_assert(type_of(VmcsField::guest_physical_address) == VmcsType::exit_information);
static_assert(type_of(VmcsField::guest_rip) == VmcsType::guest);
static_assert(type_of(VmcsField::host_rip) == VmcsType::host);

static_assert(bytes_of(VmcsField::pml_index) == 2);
static_assert(bytes_of(VmcsField::pml_address) == 8);
static_assert(bytes_of(VmcsField::exit_reason) == 4);
static_assert(bytes_of(VmcsField::exit_qualification) == 8);

// The index is a constant where the field is.
constexpr size_t index_of_rip = vmcs_index(VmcsField::guest_rip);
static_assert(vmcs_field_rows[index_of_rip].field == VmcsField::guest_rip);
static_assert(vmcs_index(VmcsField::virtual_processor_identifier) == 0);

TEST(VmcsField, EncodingsAreTheManuals) {
    for (const Encoded& row : by_hand)
        EXPECT_EQ(static_cast<u32>(row.field), row.encoding) << row.name;
}

TEST(VmcsField, RowsCarryTheNamesOfTheirFields) {
    for (const Encoded& row : by_hand) {
        EXPECT_EQ(vmcs_field_rows[vmcs_index(row.field)].name, row.name);
        EXPECT_EQ(name_of(row.field), row.name);
    }
}

TEST(VmcsField, NoNameStandsTwice) {
    std::set<std::string_view> names;
    for (const VmcsFieldRow& row : vmcs_field_rows) names.insert(row.name);
    EXPECT_EQ(names.size(), vmcs_field_count);
}

TEST(VmcsField, ExactlyTheExitInformationFieldsAreReadOnly) {
    size_t read_only = 0;
    for (const VmcsFieldRow& row : vmcs_field_rows) read_only += is_read_only(row.field);
    // 2400H, 2404H; 4400H to 440EH; 6400H to 640AH.
    EXPECT_EQ(read_only, 2u + 8u + 6u);
    EXPECT_TRUE(is_read_only(VmcsField::exit_reason));
    EXPECT_TRUE(is_read_only(VmcsField::guest_physical_address));
    EXPECT_FALSE(is_read_only(VmcsField::guest_rip));
    EXPECT_FALSE(is_read_only(VmcsField::vm_entry_interruption_information));
}

TEST(VmcsField, RunTimeLookupFindsExactlyTheTable) {
    std::set<u32> encodings;
    for (const VmcsFieldRow& row : vmcs_field_rows) encodings.insert(static_cast<u32>(row.field));
    for (u32 encoding = 0; encoding < 0x2'0000; ++encoding) {
        const bool high = (encoding & 1) != 0;
        const bool wide = (encoding & 0x6000) == 0x2000;
        const bool exists = encodings.contains(encoding & ~1u) && (!high || wide);
        const int row = vmcs_find(encoding);
        ASSERT_EQ(row >= 0, exists) << std::hex << encoding;
        if (row >= 0) {
            ASSERT_EQ(static_cast<u32>(vmcs_field_rows[static_cast<size_t>(row)].field),
                      encoding & ~1u);
        }
    }
}

TEST(VmcsField, RunTimeLookupRefusesReservedBits) {
    EXPECT_EQ(vmcs_find(0x681e | 1u << 12), -1);
    EXPECT_EQ(vmcs_find(0x681e | 1u << 15), -1);
    EXPECT_EQ(vmcs_find(0x681e | 1u << 31), -1);
    EXPECT_EQ(vmcs_find(0x681e | 1u << 9), -1);
    EXPECT_EQ(vmcs_find(0xffff'ffff), -1);
}

TEST(VmcsField, HighAccessIsForSixtyFourBitFieldsOnly) {
    EXPECT_EQ(vmcs_find(0x201b), static_cast<int>(vmcs_index(VmcsField::ept_pointer)));
    EXPECT_EQ(vmcs_find(0x4403), -1);
    EXPECT_EQ(vmcs_find(0x681f), -1);
    EXPECT_TRUE(is_high_access(0x201b));
    EXPECT_FALSE(is_high_access(0x201a));
}

TEST(VmcsField, SegmentFieldsStandInSegmentOrder) {
    EXPECT_EQ(segment_field(VmcsField::guest_es_selector, cs), VmcsField::guest_cs_selector);
    EXPECT_EQ(segment_field(VmcsField::guest_es_limit, ss), VmcsField::guest_ss_limit);
    EXPECT_EQ(segment_field(VmcsField::guest_es_access_rights, ds),
              VmcsField::guest_ds_access_rights);
    EXPECT_EQ(segment_field(VmcsField::guest_es_base, fs), VmcsField::guest_fs_base);
    EXPECT_EQ(segment_field(VmcsField::guest_es_base, gs), VmcsField::guest_gs_base);
    EXPECT_EQ(segment_field(VmcsField::guest_es_base, ldtr), VmcsField::guest_ldtr_base);
    EXPECT_EQ(segment_field(VmcsField::guest_es_selector, tr), VmcsField::guest_tr_selector);
}

TEST(VmcsCapability, APlainProcessorHasTheBaseFieldsAlone) {
    const SupportedControls none{};
    EXPECT_TRUE(has_capability(none, VmcsCapability::base));
    for (unsigned i = 1; i <= static_cast<unsigned>(VmcsCapability::shared_ept); ++i)
        EXPECT_FALSE(has_capability(none, static_cast<VmcsCapability>(i))) << i;
}

TEST(VmcsCapability, EachControlBringsItsFields) {
    const auto capability_of = [](VmcsField field) {
        return vmcs_field_rows[vmcs_index(field)].capability;
    };
    SupportedControls controls{};
    controls.secondary = {SecondaryControl::enable_encls_exiting};
    EXPECT_TRUE(has_capability(controls, capability_of(VmcsField::encls_exiting_bitmap)));
    EXPECT_FALSE(has_capability(controls, capability_of(VmcsField::enclv_exiting_bitmap)));
    EXPECT_FALSE(has_capability(controls, capability_of(VmcsField::ept_pointer)));
    controls.secondary = {SecondaryControl::enable_ept};
    EXPECT_TRUE(has_capability(controls, capability_of(VmcsField::ept_pointer)));
    EXPECT_TRUE(has_capability(controls, capability_of(VmcsField::guest_physical_address)));
    EXPECT_TRUE(has_capability(controls, capability_of(VmcsField::guest_pdpte0)));
    controls.pin = {PinControl::activate_vmx_preemption_timer};
    EXPECT_TRUE(has_capability(controls, capability_of(VmcsField::vmx_preemption_timer_value)));
    controls.exit = {ExitControl::save_ia32_pat};
    EXPECT_TRUE(has_capability(controls, capability_of(VmcsField::guest_ia32_pat)));
    EXPECT_FALSE(has_capability(controls, capability_of(VmcsField::host_ia32_pat)));
}

}  // namespace
}  // namespace postern
