// SPDX-License-Identifier: Apache-2.0
// VMX instructions, one function each, and the numbers that L1 needs of the manual. They are its
// own, not arch/'s, on purpose: a mistake there must not be made here as well.
#pragma once

#include "base/types.h"

namespace postern::guests {

/// SDM 3D, appendix "Field Encoding in VMCS".
enum class Field : u64 {
    guest_es = 0x0800,  // selectors; then CS, SS, DS, FS, GS, LDTR, TR
    host_es = 0x0c00,   // the same without LDTR
    host_tr = 0x0c0c,
    msr_bitmap = 0x2004,
    ept_pointer = 0x201a,
    encls_bitmap = 0x202e,
    guest_physical_address = 0x2400,
    link_pointer = 0x2800,
    guest_debugctl = 0x2802,
    pin_controls = 0x4000,
    primary_controls = 0x4002,
    exception_bitmap = 0x4004,
    page_fault_mask = 0x4006,
    page_fault_match = 0x4008,
    cr3_target_count = 0x400a,
    exit_controls = 0x400c,
    exit_msr_store_count = 0x400e,
    exit_msr_load_count = 0x4010,
    entry_controls = 0x4012,
    entry_msr_load_count = 0x4014,
    entry_interruption = 0x4016,
    entry_error_code = 0x4018,
    entry_length = 0x401a,
    secondary_controls = 0x401e,
    instruction_error = 0x4400,
    exit_reason = 0x4402,
    exit_interruption = 0x4404,
    exit_error_code = 0x4406,
    vectoring = 0x4408,
    vectoring_error_code = 0x440a,
    exit_length = 0x440c,
    exit_information = 0x440e,
    guest_es_limit = 0x4800,
    guest_gdtr_limit = 0x4810,
    guest_idtr_limit = 0x4812,
    guest_es_rights = 0x4814,
    interruptibility = 0x4824,
    activity = 0x4826,
    guest_sysenter_cs = 0x482a,
    preemption_timer = 0x482e,
    host_sysenter_cs = 0x4c00,
    cr0_mask = 0x6000,
    cr4_mask = 0x6002,
    cr0_shadow = 0x6004,
    cr4_shadow = 0x6006,
    qualification = 0x6400,
    guest_linear_address = 0x640a,
    guest_cr0 = 0x6800,
    guest_cr3 = 0x6802,
    guest_cr4 = 0x6804,
    guest_es_base = 0x6806,
    guest_fs_base = 0x680e,
    guest_gs_base = 0x6810,
    guest_tr_base = 0x6814,
    guest_gdtr_base = 0x6816,
    guest_idtr_base = 0x6818,
    guest_dr7 = 0x681a,
    guest_rsp = 0x681c,
    guest_rip = 0x681e,
    guest_rflags = 0x6820,
    pending_debug = 0x6822,
    guest_sysenter_esp = 0x6824,
    guest_sysenter_eip = 0x6826,
    host_cr0 = 0x6c00,
    host_cr3 = 0x6c02,
    host_cr4 = 0x6c04,
    host_fs_base = 0x6c06,
    host_gs_base = 0x6c08,
    host_tr_base = 0x6c0a,
    host_gdtr_base = 0x6c0c,
    host_idtr_base = 0x6c0e,
    host_sysenter_esp = 0x6c10,
    host_sysenter_eip = 0x6c12,
    host_rsp = 0x6c14,
    host_rip = 0x6c16,
};

/// A field that stands `index` places behind another of its kind.
constexpr Field behind(Field field, u64 index) {
    return static_cast<Field>(static_cast<u64>(field) + 2 * index);
}

/// Basic exit reasons. SDM 3D, appendix "VMX Basic Exit Reasons".
enum class Reason : u64 {
    exception_or_nmi = 0,
    external_interrupt = 1,
    interrupt_window = 7,
    cpuid = 10,
    rdtsc = 16,
    vmcall = 18,
    vmread = 23,
    entry_failure_guest_state = 33,
    pause = 40,
    ept_violation = 48,
    preemption_timer = 52,
    rdrand = 57,
    encls = 60,
    rdseed = 61,
};

// SDM 3C, "VM-Execution Control Fields".
inline constexpr u32 pin_external_interrupt_exiting = 1 << 0;
inline constexpr u32 pin_nmi_exiting = 1 << 3;
inline constexpr u32 pin_preemption_timer = 1 << 6;
inline constexpr u32 primary_interrupt_window_exiting = 1 << 2;
inline constexpr u32 primary_msr_bitmaps = 1 << 28;
inline constexpr u32 primary_secondary_controls = u32{1} << 31;
inline constexpr u32 secondary_ept = 1 << 1;
inline constexpr u32 secondary_rdtscp = 1 << 3;
inline constexpr u32 secondary_encls_exiting = 1 << 15;
inline constexpr u32 exit_host_address_space_size = 1 << 9;
inline constexpr u32 exit_acknowledge_interrupt = 1 << 15;
inline constexpr u32 entry_ia32e_mode_guest = 1 << 9;

/// CF or ZF. SDM 3C, "Conventions".
enum class VmxStatus : u8 { succeeded, failed };

inline VmxStatus vmxon(u64 region) {
    bool failed;
    asm volatile("vmxon %1" : "=@ccbe"(failed) : "m"(region) : "memory");
    return failed ? VmxStatus::failed : VmxStatus::succeeded;
}
inline VmxStatus vmclear(u64 region) {
    bool failed;
    asm volatile("vmclear %1" : "=@ccbe"(failed) : "m"(region) : "memory");
    return failed ? VmxStatus::failed : VmxStatus::succeeded;
}
inline VmxStatus vmptrld(u64 region) {
    bool failed;
    asm volatile("vmptrld %1" : "=@ccbe"(failed) : "m"(region) : "memory");
    return failed ? VmxStatus::failed : VmxStatus::succeeded;
}
inline VmxStatus vmwrite_checked(Field field, u64 value) {
    bool failed;
    asm volatile("vmwrite %1, %2"
                 : "=@ccbe"(failed)
                 : "r"(static_cast<u64>(field)), "r"(value)
                 : "memory");
    return failed ? VmxStatus::failed : VmxStatus::succeeded;
}
inline u64 vmread(Field field) {
    u64 value;
    asm volatile("vmread %0, %1" : "=r"(value) : "r"(static_cast<u64>(field)) : "cc", "memory");
    return value;
}
inline void invept_single_context(u64 pointer) {
    constexpr u64 single_context = 1;
    const u64 descriptor[2] = {pointer, 0};
    asm volatile("invept %0, %1" : : "r"(single_context), "m"(descriptor) : "cc", "memory");
}

}  // namespace postern::guests
