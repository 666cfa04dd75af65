// SPDX-License-Identifier: Apache-2.0
// VMX controls, their capability MSRs, bitmaps and instruction errors, against numbers copied by
// hand from the manual.
#include "arch/vmx/controls.h"

#include <gtest/gtest.h>

#include "arch/vmx/capability.h"
#include "arch/vmx/instruction_error.h"
#include "arch/vmx/io_bitmap.h"
#include "arch/vmx/msr_bitmap.h"

namespace postern {
namespace {

TEST(Controls, PinBasedBits) {
    EXPECT_EQ(PinControls{PinControl::external_interrupt_exiting}.to_raw(), 0x01u);
    EXPECT_EQ(PinControls{PinControl::nmi_exiting}.to_raw(), 0x08u);
    EXPECT_EQ(PinControls{PinControl::virtual_nmis}.to_raw(), 0x20u);
    EXPECT_EQ(PinControls{PinControl::activate_vmx_preemption_timer}.to_raw(), 0x40u);
    EXPECT_EQ(PinControls{PinControl::process_posted_interrupts}.to_raw(), 0x80u);
}

TEST(Controls, PrimaryBits) {
    const auto word = [](PrimaryControl control) { return PrimaryControls{control}.to_raw(); };
    EXPECT_EQ(word(PrimaryControl::interrupt_window_exiting), 0x0000'0004u);
    EXPECT_EQ(word(PrimaryControl::use_tsc_offsetting), 0x0000'0008u);
    EXPECT_EQ(word(PrimaryControl::hlt_exiting), 0x0000'0080u);
    EXPECT_EQ(word(PrimaryControl::invlpg_exiting), 0x0000'0200u);
    EXPECT_EQ(word(PrimaryControl::mwait_exiting), 0x0000'0400u);
    EXPECT_EQ(word(PrimaryControl::rdpmc_exiting), 0x0000'0800u);
    EXPECT_EQ(word(PrimaryControl::rdtsc_exiting), 0x0000'1000u);
    EXPECT_EQ(word(PrimaryControl::cr3_load_exiting), 0x0000'8000u);
    EXPECT_EQ(word(PrimaryControl::cr3_store_exiting), 0x0001'0000u);
    EXPECT_EQ(word(PrimaryControl::activate_tertiary_controls), 0x0002'0000u);
    EXPECT_EQ(word(PrimaryControl::cr8_load_exiting), 0x0008'0000u);
    EXPECT_EQ(word(PrimaryControl::cr8_store_exiting), 0x0010'0000u);
    EXPECT_EQ(word(PrimaryControl::use_tpr_shadow), 0x0020'0000u);
    EXPECT_EQ(word(PrimaryControl::nmi_window_exiting), 0x0040'0000u);
    EXPECT_EQ(word(PrimaryControl::mov_dr_exiting), 0x0080'0000u);
    EXPECT_EQ(word(PrimaryControl::unconditional_io_exiting), 0x0100'0000u);
    EXPECT_EQ(word(PrimaryControl::use_io_bitmaps), 0x0200'0000u);
    EXPECT_EQ(word(PrimaryControl::monitor_trap_flag), 0x0800'0000u);
    EXPECT_EQ(word(PrimaryControl::use_msr_bitmaps), 0x1000'0000u);
    EXPECT_EQ(word(PrimaryControl::monitor_exiting), 0x2000'0000u);
    EXPECT_EQ(word(PrimaryControl::pause_exiting), 0x4000'0000u);
    EXPECT_EQ(word(PrimaryControl::activate_secondary_controls), 0x8000'0000u);
}

TEST(Controls, SecondaryBits) {
    const auto word = [](SecondaryControl control) { return SecondaryControls{control}.to_raw(); };
    EXPECT_EQ(word(SecondaryControl::enable_ept), 0x0000'0002u);
    EXPECT_EQ(word(SecondaryControl::enable_rdtscp), 0x0000'0008u);
    EXPECT_EQ(word(SecondaryControl::enable_vpid), 0x0000'0020u);
    EXPECT_EQ(word(SecondaryControl::unrestricted_guest), 0x0000'0080u);
    EXPECT_EQ(word(SecondaryControl::pause_loop_exiting), 0x0000'0400u);
    EXPECT_EQ(word(SecondaryControl::rdrand_exiting), 0x0000'0800u);
    EXPECT_EQ(word(SecondaryControl::enable_invpcid), 0x0000'1000u);
    EXPECT_EQ(word(SecondaryControl::vmcs_shadowing), 0x0000'4000u);
    EXPECT_EQ(word(SecondaryControl::enable_encls_exiting), 0x0000'8000u);
    EXPECT_EQ(word(SecondaryControl::rdseed_exiting), 0x0001'0000u);
    EXPECT_EQ(word(SecondaryControl::ept_violation_ve), 0x0004'0000u);
    EXPECT_EQ(word(SecondaryControl::enable_xsaves_xrstors), 0x0010'0000u);
    EXPECT_EQ(word(SecondaryControl::mode_based_execute_control), 0x0040'0000u);
    EXPECT_EQ(word(SecondaryControl::use_tsc_scaling), 0x0200'0000u);
    EXPECT_EQ(word(SecondaryControl::enable_user_wait_and_pause), 0x0400'0000u);
    EXPECT_EQ(word(SecondaryControl::enable_pconfig), 0x0800'0000u);
    EXPECT_EQ(word(SecondaryControl::enable_enclv_exiting), 0x1000'0000u);
    EXPECT_EQ(word(SecondaryControl::enable_epc_virtualization_extensions), 0x2000'0000u);
    EXPECT_EQ(word(SecondaryControl::vmm_bus_lock_detection), 0x4000'0000u);
    EXPECT_EQ(word(SecondaryControl::instruction_timeout), 0x8000'0000u);
}

TEST(Controls, ExitAndEntryBits) {
    EXPECT_EQ(ExitControls{ExitControl::save_debug_controls}.to_raw(), 0x4u);
    EXPECT_EQ(ExitControls{ExitControl::host_address_space_size}.to_raw(), 0x200u);
    EXPECT_EQ(ExitControls{ExitControl::acknowledge_interrupt_on_exit}.to_raw(), 0x8000u);
    EXPECT_EQ(ExitControls{ExitControl::save_ia32_efer}.to_raw(), 0x10'0000u);
    EXPECT_EQ(ExitControls{ExitControl::load_ia32_efer}.to_raw(), 0x20'0000u);
    EXPECT_EQ(ExitControls{ExitControl::save_vmx_preemption_timer_value}.to_raw(), 0x40'0000u);
    EXPECT_EQ(ExitControls{ExitControl::load_cet_state}.to_raw(), 0x1000'0000u);
    EXPECT_EQ(EntryControls{EntryControl::load_debug_controls}.to_raw(), 0x4u);
    EXPECT_EQ(EntryControls{EntryControl::ia32e_mode_guest}.to_raw(), 0x200u);
    EXPECT_EQ(EntryControls{EntryControl::load_ia32_pat}.to_raw(), 0x4000u);
    EXPECT_EQ(EntryControls{EntryControl::load_ia32_efer}.to_raw(), 0x8000u);
    EXPECT_EQ(EntryControls{EntryControl::load_cet_state}.to_raw(), 0x10'0000u);
}

TEST(Controls, NoNamedControlIsAmongTheDefaultOnesThatStay) {
    const auto pins = PinControls::from_raw(pin_default1.true_controls);
    EXPECT_FALSE(pins.has(PinControl::nmi_exiting) || pins.has(PinControl::virtual_nmis));
    // What the TRUE MSRs free: CR3 loads and stores; debug controls.
    EXPECT_EQ(primary_default1.plain & ~primary_default1.true_controls, 0x0001'8000u);
    EXPECT_EQ(exit_default1.plain & ~exit_default1.true_controls, 0x4u);
    EXPECT_EQ(entry_default1.plain & ~entry_default1.true_controls, 0x4u);
}

TEST(ControlCapability, SaysWhichSettingsEntryTakes) {
    constexpr auto capability = ControlCapability::from_raw(0x0000'00ff'0000'0016);
    EXPECT_EQ(capability.must_be_1(), 0x16u);
    EXPECT_EQ(capability.may_be_1(), 0xffu);
    EXPECT_TRUE(capability.accepts(0x16));
    EXPECT_TRUE(capability.accepts(0x57));
    EXPECT_FALSE(capability.accepts(0x40));   // lacks bits that must be 1
    EXPECT_FALSE(capability.accepts(0x116));  // has one that may not be
    EXPECT_EQ(capability.completed(0x40), 0x56u);
    EXPECT_TRUE(capability.allows(PinControl::process_posted_interrupts));
    EXPECT_FALSE(ControlCapability(0x16, 0x7f).allows(PinControl::process_posted_interrupts));
    EXPECT_EQ(ControlCapability(0x16, 0x7f).to_raw(), 0x0000'007f'0000'0016u);
}

TEST(VmxBasic, FieldsStandWhereTheManualPutsThem) {
    constexpr auto basic =
        VmxBasic::of(0x12, 4096).with_true_controls().with_ins_outs().with_any_error_code();
    EXPECT_EQ(basic.to_raw(), 0x01d8'1000'0000'0012u);
    EXPECT_EQ(basic.revision(), 0x12u);
    EXPECT_EQ(basic.region_size(), 4096u);
    EXPECT_EQ(basic.memory_type(), MemoryType::wb);
    EXPECT_TRUE(basic.has_true_controls() && basic.reports_ins_outs() && basic.any_error_code());
}

TEST(VmxMisc, FieldsStandWhereTheManualPutsThem) {
    constexpr auto misc = VmxMisc{}
                              .with_timer_shift(5)
                              .with_lma_stored()
                              .with_activities(7)
                              .with_cr3_target_count(4)
                              .with_vmwrite_any_field()
                              .with_zero_length_injection();
    EXPECT_EQ(misc.to_raw(), 0x6004'01e5u);
    EXPECT_EQ(misc.timer_shift(), 5u);
    EXPECT_EQ(misc.cr3_target_count(), 4u);
    EXPECT_EQ(misc.msr_list_limit(), 512u);
    EXPECT_TRUE(misc.supports_activity(1) && misc.supports_activity(3));
    EXPECT_FALSE(VmxMisc{}.with_activities(1).supports_activity(2));
}

TEST(EptVpidCapability, BitsStandWhereTheManualPutsThem) {
    EXPECT_EQ((EptVpidCapabilities{EptVpidCapability::execute_only, EptVpidCapability::page_walk_4,
                                   EptVpidCapability::memory_type_wb}
                   .to_raw()),
              0x4041u);
    EXPECT_EQ((EptVpidCapabilities{EptVpidCapability::invept, EptVpidCapability::pages_2m,
                                   EptVpidCapability::accessed_and_dirty}
                   .to_raw()),
              0x31'0000u);
    EXPECT_EQ(EptVpidCapabilities{EptVpidCapability::invvpid}.to_raw(), 0x1'0000'0000u);
}

TEST(MsrBitmap, HasFourPartsOfAKib) {
    EXPECT_EQ(msr_bitmap_bit(0x10, false), (BitmapBit{true, 2, 0}));
    EXPECT_EQ(msr_bitmap_bit(0x1fff, false), (BitmapBit{true, 1023, 7}));
    EXPECT_EQ(msr_bitmap_bit(0xc000'0080, false), (BitmapBit{true, 1024 + 16, 0}));
    EXPECT_EQ(msr_bitmap_bit(0x3a, true), (BitmapBit{true, 2048 + 7, 2}));
    EXPECT_EQ(msr_bitmap_bit(0xc000'1fff, true), (BitmapBit{true, 4095, 7}));
    EXPECT_FALSE(msr_bitmap_bit(0x2000, false).covered);
    EXPECT_FALSE(msr_bitmap_bit(0x4000'0000, false).covered);
    EXPECT_FALSE(msr_bitmap_bit(0xbfff'ffff, false).covered);
    EXPECT_FALSE(msr_bitmap_bit(0xc000'2000, true).covered);
}

TEST(IoBitmap, PortsOfTheUpperHalfAreInB) {
    EXPECT_EQ(io_bitmap_bit(0x3f8), (IoBitmapBit{false, 0x7f, 0}));
    EXPECT_EQ(io_bitmap_bit(0x7fff), (IoBitmapBit{false, 4095, 7}));
    EXPECT_EQ(io_bitmap_bit(0x8000), (IoBitmapBit{true, 0, 0}));
    EXPECT_EQ(io_bitmap_bit(0xffff), (IoBitmapBit{true, 4095, 7}));
    EXPECT_FALSE(io_access_wraps(0xffff, 1));
    EXPECT_TRUE(io_access_wraps(0xffff, 2));
    EXPECT_TRUE(io_access_wraps(0xfffd, 4));
    EXPECT_FALSE(io_access_wraps(0xfffc, 4));
}

TEST(LeafBitmap, LeavesAbove62ShareBit63) {
    EXPECT_TRUE(leaf_exits(u64{1} << 2, 2));
    EXPECT_FALSE(leaf_exits(u64{1} << 2, 3));
    EXPECT_EQ(leaf_bitmap_bit(62), 62u);
    EXPECT_EQ(leaf_bitmap_bit(63), 63u);
    EXPECT_EQ(leaf_bitmap_bit(64), 63u);
    EXPECT_TRUE(leaf_exits(u64{1} << 63, 0xffff'ffff));
    EXPECT_FALSE(leaf_exits(u64{1} << 62, 0xffff'ffff));
}

TEST(VmcsShadowing, EncodingsOf32KibitAreCovered) {
    EXPECT_EQ(vmcs_shadowing_bit(0x681e), (BitmapBit{true, 0xd03, 6}));
    EXPECT_FALSE(vmcs_shadowing_bit(0x8000).covered);
    EXPECT_FALSE(vmcs_shadowing_bit(u64{1} << 32).covered);
}

TEST(VmInstructionError, NumbersAreTheManuals) {
    const auto number = [](VmInstructionError error) { return static_cast<u32>(error); };
    using enum VmInstructionError;
    EXPECT_EQ(number(vmcall_in_root), 1u);
    EXPECT_EQ(number(vmclear_invalid_address), 2u);
    EXPECT_EQ(number(vmclear_vmxon_pointer), 3u);
    EXPECT_EQ(number(vmlaunch_non_clear_vmcs), 4u);
    EXPECT_EQ(number(vmresume_non_launched_vmcs), 5u);
    EXPECT_EQ(number(vmresume_after_vmxoff), 6u);
    EXPECT_EQ(number(entry_invalid_control_fields), 7u);
    EXPECT_EQ(number(entry_invalid_host_state), 8u);
    EXPECT_EQ(number(vmptrld_invalid_address), 9u);
    EXPECT_EQ(number(vmptrld_vmxon_pointer), 10u);
    EXPECT_EQ(number(vmptrld_incorrect_revision), 11u);
    EXPECT_EQ(number(unsupported_vmcs_component), 12u);
    EXPECT_EQ(number(vmwrite_read_only_component), 13u);
    EXPECT_EQ(number(vmxon_in_root), 15u);
    EXPECT_EQ(number(vmcall_non_clear_vmcs), 19u);
    EXPECT_EQ(number(vmxoff_under_dual_monitor_treatment), 23u);
    EXPECT_EQ(number(entry_events_blocked_by_mov_ss), 26u);
    EXPECT_EQ(number(invalid_operand_to_invept_or_invvpid), 28u);
}

}  // namespace
}  // namespace postern
