// SPDX-License-Identifier: Apache-2.0
// Addresses of model-specific registers, and the bits of the few that have no home of their
// own.
#pragma once

#include "base/flag_word.h"

namespace postern {

/// SDM 4, "Architectural MSRs".
enum class Msr : u32 {
    p5_mc_addr = 0x0,
    p5_mc_type = 0x1,
    monitor_filter_size = 0x6,
    tsc = 0x10,
    platform_id = 0x17,
    apic_base = 0x1b,
    smi_count = 0x34,
    feature_control = 0x3a,
    tsc_adjust = 0x3b,
    spec_ctrl = 0x48,
    pred_cmd = 0x49,
    ppin_ctl = 0x4e,
    bios_updt_trig = 0x79,
    sgx_activation = 0x7a,
    bios_sign_id = 0x8b,
    sgxlepubkeyhash0 = 0x8c,
    sgxlepubkeyhash1 = 0x8d,
    sgxlepubkeyhash2 = 0x8e,
    sgxlepubkeyhash3 = 0x8f,
    smm_monitor_ctl = 0x9b,
    smbase = 0x9e,
    pmc0 = 0xc1,
    platform_info = 0xce,
    core_capabilities = 0xcf,
    umwait_control = 0xe1,
    mperf = 0xe7,
    aperf = 0xe8,
    mtrrcap = 0xfe,
    arch_capabilities = 0x10a,
    flush_cmd = 0x10b,
    tsx_ctrl = 0x122,
    misc_feature_enables = 0x140,
    sysenter_cs = 0x174,
    sysenter_esp = 0x175,
    sysenter_eip = 0x176,
    mcg_cap = 0x179,
    mcg_status = 0x17a,
    mcg_ctl = 0x17b,
    perfevtsel0 = 0x186,
    perf_status = 0x198,
    perf_ctl = 0x199,
    clock_modulation = 0x19a,
    therm_interrupt = 0x19b,
    therm_status = 0x19c,
    misc_enable = 0x1a0,
    energy_perf_bias = 0x1b0,
    package_therm_status = 0x1b1,
    package_therm_interrupt = 0x1b2,
    xfd = 0x1c4,
    xfd_err = 0x1c5,
    debugctl = 0x1d9,
    power_ctl = 0x1fc,
    smrr_physbase = 0x1f2,
    smrr_physmask = 0x1f3,
    mtrr_physbase0 = 0x200,
    mtrr_physmask0 = 0x201,
    mtrr_physbase9 = 0x212,
    mtrr_physmask9 = 0x213,
    mtrr_fix64k_00000 = 0x250,
    mtrr_fix16k_80000 = 0x258,
    mtrr_fix16k_a0000 = 0x259,
    mtrr_fix4k_c0000 = 0x268,
    mtrr_fix4k_c8000 = 0x269,
    mtrr_fix4k_d0000 = 0x26a,
    mtrr_fix4k_d8000 = 0x26b,
    mtrr_fix4k_e0000 = 0x26c,
    mtrr_fix4k_e8000 = 0x26d,
    mtrr_fix4k_f0000 = 0x26e,
    mtrr_fix4k_f8000 = 0x26f,
    pat = 0x277,
    mc0_ctl2 = 0x280,
    mtrr_def_type = 0x2ff,
    sgxownerepoch0 = 0x300,
    sgxownerepoch1 = 0x301,
    fixed_ctr0 = 0x309,
    perf_capabilities = 0x345,
    fixed_ctr_ctrl = 0x38d,
    perf_global_status = 0x38e,
    perf_global_ctrl = 0x38f,
    perf_global_ovf_ctrl = 0x390,
    perf_global_status_set = 0x391,
    perf_global_inuse = 0x392,
    pebs_enable = 0x3f1,
    mc0_ctl = 0x400,
    mc0_status = 0x401,
    mc0_addr = 0x402,
    mc0_misc = 0x403,
    vmx_basic = 0x480,
    vmx_pinbased_ctls = 0x481,
    vmx_procbased_ctls = 0x482,
    vmx_exit_ctls = 0x483,
    vmx_entry_ctls = 0x484,
    vmx_misc = 0x485,
    vmx_cr0_fixed0 = 0x486,
    vmx_cr0_fixed1 = 0x487,
    vmx_cr4_fixed0 = 0x488,
    vmx_cr4_fixed1 = 0x489,
    vmx_vmcs_enum = 0x48a,
    vmx_procbased_ctls2 = 0x48b,
    vmx_ept_vpid_cap = 0x48c,
    vmx_true_pinbased_ctls = 0x48d,
    vmx_true_procbased_ctls = 0x48e,
    vmx_true_exit_ctls = 0x48f,
    vmx_true_entry_ctls = 0x490,
    vmx_vmfunc = 0x491,
    vmx_procbased_ctls3 = 0x492,
    vmx_exit_ctls2 = 0x493,
    a_pmc0 = 0x4c1,
    mcg_ext_ctl = 0x4d0,
    sgx_svn_status = 0x500,
    rtit_output_base = 0x560,
    rtit_output_mask_ptrs = 0x561,
    rtit_ctl = 0x570,
    rtit_status = 0x571,
    rtit_cr3_match = 0x572,
    ds_area = 0x600,
    u_cet = 0x6a0,
    s_cet = 0x6a2,
    pl0_ssp = 0x6a4,
    pl1_ssp = 0x6a5,
    pl2_ssp = 0x6a6,
    pl3_ssp = 0x6a7,
    interrupt_ssp_table_addr = 0x6a8,
    tsc_deadline = 0x6e0,
    pkrs = 0x6e1,
    pm_enable = 0x770,
    hwp_capabilities = 0x771,
    hwp_request = 0x774,
    hwp_status = 0x777,
    x2apic_apicid = 0x802,
    x2apic_version = 0x803,
    x2apic_tpr = 0x808,
    x2apic_ppr = 0x80a,
    x2apic_eoi = 0x80b,
    x2apic_ldr = 0x80d,
    x2apic_sivr = 0x80f,
    x2apic_isr0 = 0x810,
    x2apic_tmr0 = 0x818,
    x2apic_irr0 = 0x820,
    x2apic_esr = 0x828,
    x2apic_lvt_cmci = 0x82f,
    x2apic_icr = 0x830,
    x2apic_lvt_timer = 0x832,
    x2apic_lvt_thermal = 0x833,
    x2apic_lvt_pmi = 0x834,
    x2apic_lvt_lint0 = 0x835,
    x2apic_lvt_lint1 = 0x836,
    x2apic_lvt_error = 0x837,
    x2apic_init_count = 0x838,
    x2apic_cur_count = 0x839,
    x2apic_div_conf = 0x83e,
    x2apic_self_ipi = 0x83f,
    xss = 0xda0,
    lbr_ctl = 0x14ce,
    lbr_depth = 0x14cf,
    efer = 0xc000'0080,
    star = 0xc000'0081,
    lstar = 0xc000'0082,
    cstar = 0xc000'0083,
    fmask = 0xc000'0084,
    fs_base = 0xc000'0100,
    gs_base = 0xc000'0101,
    kernel_gs_base = 0xc000'0102,
    tsc_aux = 0xc000'0103,
};

/// The x2APIC's range of addresses; a register's is first + (xAPIC offset >> 4).
inline constexpr u32 x2apic_msr_first = 0x800;
inline constexpr u32 x2apic_msr_last = 0x8ff;

/// IA32_FEATURE_CONTROL. SDM 4, "Architectural MSRs".
enum class FeatureControl : u8 {
    lock = 0,
    vmx_in_smx = 1,
    vmx_outside_smx = 2,
    sgx_lc = 17,
    sgx_enable = 18,
    lmce = 20,
};
using FeatureControlWord = FlagWord<FeatureControl>;

/// IA32_APIC_BASE. SDM 3A, "Local APIC Status and Location".
enum class ApicBase : u8 { bsp = 8, x2apic_enable = 10, global_enable = 11 };
using ApicBaseWord = FlagWord<ApicBase>;
inline constexpr u64 apic_base_reset_address = 0xfee0'0000;

/// IA32_MISC_ENABLE. SDM 4, "Architectural MSRs".
enum class MiscEnable : u8 {
    fast_strings = 0,
    automatic_thermal_control = 3,
    performance_monitoring = 7,
    bts_unavailable = 11,
    pebs_unavailable = 12,
    enhanced_speedstep = 16,
    monitor_enable = 18,
    limit_cpuid_maxval = 22,
    xtpr_disable = 23,
    xd_disable = 34,
};
using MiscEnableWord = FlagWord<MiscEnable>;

/// IA32_DEBUGCTL. SDM 3B, "IA32_DEBUGCTL MSR".
enum class Debugctl : u8 {
    lbr = 0,
    btf = 1,
    bus_lock_detect = 2,
    tr = 6,
    bts = 7,
    btint = 8,
    bts_off_os = 9,
    bts_off_usr = 10,
    freeze_lbrs_on_pmi = 11,
    freeze_perfmon_on_pmi = 12,
    enable_uncore_pmi = 13,
    freeze_while_smm = 14,
    rtm_debug = 15,
};
using DebugctlWord = FlagWord<Debugctl>;

/// IA32_PAT's value after reset. SDM 3A, "PAT Reset" of "Page Attribute Table (PAT)".
inline constexpr u64 pat_reset = 0x0007'0406'0007'0406;

/// Memory types as the PAT, the MTRRs and EPT encode them. SDM 3A, "Memory Types".
enum class MemoryType : u8 { uc = 0, wc = 1, wt = 4, wp = 5, wb = 6, uc_minus = 7 };

/// True of what WRMSR lets into each byte of IA32_PAT.
constexpr bool is_valid_pat_type(u8 type) { return type < 8 && type != 2 && type != 3; }

constexpr bool is_valid_pat(u64 pat) {
    for (unsigned i = 0; i < 8; ++i)
        if (!is_valid_pat_type(static_cast<u8>(pat >> (8 * i)))) return false;
    return true;
}

/// IA32_SGXLEPUBKEYHASH0-3 after reset: the digest of Intel's launch-enclave key.
inline constexpr u64 sgxlepubkeyhash_reset[4] = {0xa605'3e05'1270'b7ac, 0x6cfb'e8ba'8b3b'413d,
                                                 0xc491'6d99'f2b3'735d, 0xd4f8'c059'09f9'bb3b};

}  // namespace postern
