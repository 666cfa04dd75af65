// SPDX-License-Identifier: Apache-2.0
// The MSR table.
#include "cpu/msr.h"

#include <array>

#include "arch/msr.h"
#include "base/bits.h"
#include "base/table.h"
#include "cpu/event/event.h"
#include "cpu/exec/address.h"
#include "cpu/exec/system/descriptor.h"
#include "cpu/mmu/access.h"
#include "cpu/vmx/vmx.h"

namespace postern::cpu {

namespace {

// The common kinds.

template <auto member>
Result<u64> get(Cpu& c, u32) {
    return c.msr.*member;
}
template <auto member>
Result<> set(Cpu& c, u32, u64 value) {
    c.msr.*member = value;
    return Done{};
}
template <auto member>
Result<> set_canonical(Cpu& c, u32, u64 value) {
    if (!is_canonical(c, value)) return general_protection(c);
    c.msr.*member = value;
    return Done{};
}
template <u64 value>
Result<u64> constant(Cpu&, u32) {
    return value;
}
Result<> ignore(Cpu&, u32, u64) { return Done{}; }

// Time.

__extension__ typedef unsigned __int128 u128;  // NOLINT: __extension__ takes no alias

/// Bits of a TSC multiplier behind the point. SDM 3C, "Time-Stamp Counter Multiplier".
constexpr unsigned multiplier_fraction = 48;

bool is_scaled(const Cpu& c) { return c.vmx.non_root && c.vmx.tsc_multiplier != 0; }

Result<u64> get_tsc(Cpu& c, u32) { return read_tsc(c); }

/// A write moves IA32_TSC_ADJUST by as much. SDM 3B, "Time-Stamp Counter Adjustment".
Result<> set_tsc(Cpu& c, u32, u64 value) {
    c.msr.tsc_adjust = value - now(c);
    return Done{};
}

// The interrupt controller's.

/// Local APIC on and in x2APIC mode. SDM 3A, "x2APIC Register Address Space".
bool has_x2apic(const Cpu& c) {
    return c.interrupts != nullptr &&
           ApicBaseWord::from_raw(c.msr.apic_base).has(ApicBase::x2apic_enable);
}

Result<u64> get_from_controller(Cpu& c, u32 number) {
    if (c.interrupts == nullptr) return general_protection(c);
    bool fault = false;
    const u64 value = c.interrupts->read_msr(number, now(c), fault);
    if (fault) return general_protection(c);
    return value;
}
Result<> set_in_controller(Cpu& c, u32 number, u64 value) {
    if (c.interrupts == nullptr || !c.interrupts->write_msr(number, value, now(c)))
        return general_protection(c);
    return Done{};
}
Result<u64> get_x2apic(Cpu& c, u32 number) {
    if (!has_x2apic(c)) return general_protection(c);
    return get_from_controller(c, number);
}
Result<> set_x2apic(Cpu& c, u32 number, u64 value) {
    if (!has_x2apic(c)) return general_protection(c);
    return set_in_controller(c, number, value);
}

/// SDM 3A, "Relocating the Local APIC Registers". Over memory they are not implemented.
bool can_show_apic_at(const Cpu& c, u64 page) {
    if (page == apic_base_reset_address) return true;
    if (c.interrupts == nullptr || !c.interrupts->can_be_moved()) return false;
    const PhysicalMemory& memory = c.system->memory;
    return memory.pointer(Hpa{page}) == nullptr && !memory.is_epc(Hpa{page});
}

/// SDM 3A, "x2APIC State Transitions": off, xAPIC, x2APIC, off; nothing else.
Result<> set_apic_base(Cpu& c, u32, u64 value) {
    const auto before = ApicBaseWord::from_raw(c.msr.apic_base);
    const auto after = ApicBaseWord::from_raw(value);
    const bool enabled = after.has(ApicBase::global_enable);
    const bool extended = after.has(ApicBase::x2apic_enable);
    const u64 beyond = ~u64{0} << c.system->physical_bits;
    if ((value & beyond) != 0 || (extended && !enabled)) return general_protection(c);
    if (extended && !has_feature(*c.system->model, Feature::x2apic)) return general_protection(c);
    if (before.has(ApicBase::x2apic_enable) && enabled && !extended) return general_protection(c);
    if (!before.has(ApicBase::global_enable) && extended) return general_protection(c);
    if (enabled && !can_show_apic_at(c, align_down(value, page_size)))
        return raise_unimplemented(c, "a local APIC that is moved over memory");
    c.msr.apic_base = value;
    if (c.interrupts != nullptr) c.interrupts->base_written(before.to_raw());
    return Done{};
}

// SGX and VMX.

bool locked(const Cpu& c) {
    return FeatureControlWord::from_raw(c.msr.feature_control).has(FeatureControl::lock);
}

Result<> set_feature_control(Cpu& c, u32, u64 value) {
    if (locked(c)) return general_protection(c);
    c.msr.feature_control = value;
    return Done{};
}

Result<u64> get_key_hash(Cpu& c, u32 number) {
    return c.msr.sgx_le_pubkey_hash[number - static_cast<u32>(Msr::sgxlepubkeyhash0)];
}

/// SDM 3D, "Intel SGX Launch Control Configuration".
Result<> set_key_hash(Cpu& c, u32 number, u64 value) {
    const auto control = FeatureControlWord::from_raw(c.msr.feature_control);
    if (!control.has_all({FeatureControl::lock, FeatureControl::sgx_lc}))
        return general_protection(c);
    c.msr.sgx_le_pubkey_hash[number - static_cast<u32>(Msr::sgxlepubkeyhash0)] = value;
    return Done{};
}

Result<u64> get_vmx_capability(Cpu& c, u32 number) {
    u64 value = 0;
    if (!vmx::read_capability(c, number, value)) return general_protection(c);
    return value;
}

// Memory types.

constexpr u32 variable_ranges = 10;

/// VCNT, and: fixed ranges, write-combining.
constexpr u64 mtrr_capabilities = variable_ranges | 1u << 8 | 1u << 10;

constexpr bool is_mtrr_type(u64 type) {
    return type == 0 || type == 1 || type == 4 || type == 5 || type == 6;
}

Result<u64> get_variable_range(Cpu& c, u32 number) {
    return c.msr.mtrr_variable[number - static_cast<u32>(Msr::mtrr_physbase0)];
}
Result<> set_variable_range(Cpu& c, u32 number, u64 value) {
    const u32 index = number - static_cast<u32>(Msr::mtrr_physbase0);
    const bool is_base = index % 2 == 0;
    const u64 beyond = ~u64{0} << c.system->physical_bits;
    const u64 reserved = beyond | (is_base ? 0xf00 : 0x7ff);
    if ((value & reserved) != 0) return general_protection(c);
    if (is_base && !is_mtrr_type(value & 0xff)) return general_protection(c);
    c.msr.mtrr_variable[index] = value;
    return Done{};
}

/// IA32_MTRR_FIX64K_00000, two of 16K, eight of 4K: rows of MsrState::mtrr_fixed.
constexpr u32 fixed_index(u32 number) {
    if (number == static_cast<u32>(Msr::mtrr_fix64k_00000)) return 0;
    if (number <= static_cast<u32>(Msr::mtrr_fix16k_a0000))
        return 1 + (number - static_cast<u32>(Msr::mtrr_fix16k_80000));
    return 3 + (number - static_cast<u32>(Msr::mtrr_fix4k_c0000));
}

Result<u64> get_fixed_range(Cpu& c, u32 number) { return c.msr.mtrr_fixed[fixed_index(number)]; }
Result<> set_fixed_range(Cpu& c, u32 number, u64 value) {
    for (unsigned byte = 0; byte < 8; ++byte)
        if (!is_mtrr_type(value >> (8 * byte) & 0xff)) return general_protection(c);
    c.msr.mtrr_fixed[fixed_index(number)] = value;
    return Done{};
}
Result<> set_default_type(Cpu& c, u32, u64 value) {
    if (!is_mtrr_type(value & 0xff)) return general_protection(c);
    c.msr.mtrr_def_type = value;
    return Done{};
}
Result<> set_pat(Cpu& c, u32, u64 value) {
    if (!is_valid_pat(value)) return general_protection(c);
    c.msr.pat = value;
    return Done{};
}

// Registers with a home of their own.

Result<u64> get_efer(Cpu& c, u32) { return c.efer.to_raw(); }

/// LMA is the processor's; LME may change only without paging. SDM 3A, "Extended Feature Enable
/// Register".
Result<> set_efer(Cpu& c, u32, u64 value) {
    const EferWord wanted = EferWord::from_raw(value).with(Efer::lma, c.efer.has(Efer::lma));
    const bool long_mode_changes = wanted.has(Efer::lme) != c.efer.has(Efer::lme);
    if (long_mode_changes && c.cr0.has(Cr0::pg)) return general_protection(c);
    if (wanted.has(Efer::nxe) && !has_feature(*c.system->model, Feature::nx))
        return general_protection(c);
    const bool decides = ((wanted.to_raw() ^ c.efer.to_raw()) & space_efer) != 0;
    c.efer = wanted;
    if (decides) flush_vpid(c);
    return Done{};
}

template <SegmentIndex index>
Result<u64> get_base(Cpu& c, u32) {
    return c.segment[index].base;
}
template <SegmentIndex index>
Result<> set_base(Cpu& c, u32, u64 value) {
    if (!is_canonical(c, value)) return general_protection(c);
    set_segment_base(c, index, value);
    return Done{};
}

/// IA32_PRED_CMD and IA32_FLUSH_CMD: there is nothing to predict with and nothing to flush.
Result<u64> no_read(Cpu& c, u32) { return general_protection(c); }

// IA32_ARCH_CAPABILITIES: RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, PSCHANGE_MC_NO,
// TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO, ITS_NO. SDM 4,
// "Architectural MSRs".
constexpr u64 arch_capabilities = 1u << 0 | 1u << 1 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 |
                                  1u << 8 | 1u << 13 | 1u << 14 | 1u << 15 | 1u << 20 | 1u << 24 |
                                  1u << 26 | 1u << 27 | u64{1} << 62;

/// Bus ratio 10 times 100 MHz, in the places of maximum non-turbo and maximum efficiency.
constexpr u64 platform_information = u64{10} << 8 | u64{10} << 40;

constexpr u64 microcode_revision = u64{0x0d00'03f0} << 32;

constexpr u64 high_half = ~u64{0xffff'ffff};
constexpr u64 feature_control_defined =
    FeatureControlWord{FeatureControl::lock, FeatureControl::vmx_in_smx,
                       FeatureControl::vmx_outside_smx, FeatureControl::sgx_lc,
                       FeatureControl::sgx_enable}
        .to_raw();
constexpr u64 apic_base_low =
    0xfff & ~ApicBaseWord{ApicBase::bsp, ApicBase::x2apic_enable, ApicBase::global_enable}.to_raw();
constexpr u64 misc_enable_defined =
    MiscEnableWord{MiscEnable::fast_strings,           MiscEnable::automatic_thermal_control,
                   MiscEnable::performance_monitoring, MiscEnable::bts_unavailable,
                   MiscEnable::pebs_unavailable,       MiscEnable::enhanced_speedstep,
                   MiscEnable::monitor_enable,         MiscEnable::limit_cpuid_maxval,
                   MiscEnable::xtpr_disable,           MiscEnable::xd_disable}
        .to_raw();

constexpr MsrRow one(Msr msr, std::string_view name, Feature feature, u64 reserved,
                     Result<u64> (*read)(Cpu&, u32), Result<> (*write)(Cpu&, u32, u64)) {
    return {static_cast<u32>(msr), static_cast<u32>(msr), name, feature, reserved, read, write};
}
constexpr MsrRow many(Msr first, Msr last, std::string_view name, Feature feature, u64 reserved,
                      Result<u64> (*read)(Cpu&, u32), Result<> (*write)(Cpu&, u32, u64)) {
    return {static_cast<u32>(first), static_cast<u32>(last), name, feature, reserved, read, write};
}

using F = Feature;
using M = MsrState;

constexpr std::array rows{
    one(Msr::p5_mc_addr, "P5_MC_ADDR", F::mce, 0, constant<0>, ignore),
    one(Msr::p5_mc_type, "P5_MC_TYPE", F::mce, 0, constant<0>, ignore),
    one(Msr::tsc, "IA32_TIME_STAMP_COUNTER", F::tsc, 0, get_tsc, set_tsc),
    one(Msr::platform_id, "IA32_PLATFORM_ID", F::msr, 0, constant<0>, nullptr),
    one(Msr::apic_base, "IA32_APIC_BASE", F::apic, apic_base_low, get<&M::apic_base>,
        set_apic_base),
    one(Msr::smi_count, "SMI_COUNT", F::msr, 0, constant<0>, nullptr),
    one(Msr::feature_control, "IA32_FEATURE_CONTROL", F::vmx, ~feature_control_defined,
        get<&M::feature_control>, set_feature_control),
    one(Msr::tsc_adjust, "IA32_TSC_ADJUST", F::tsc_adjust, 0, get<&M::tsc_adjust>,
        set<&M::tsc_adjust>),
    one(Msr::spec_ctrl, "IA32_SPEC_CTRL", F::ibrs, ~u64{7}, get<&M::spec_ctrl>, set<&M::spec_ctrl>),
    one(Msr::pred_cmd, "IA32_PRED_CMD", F::ibrs, ~u64{1}, no_read, ignore),
    one(Msr::bios_sign_id, "IA32_BIOS_SIGN_ID", F::msr, 0, constant<microcode_revision>, ignore),
    many(Msr::sgxlepubkeyhash0, Msr::sgxlepubkeyhash3, "IA32_SGXLEPUBKEYHASH", F::sgx_lc, 0,
         get_key_hash, set_key_hash),
    one(Msr::platform_info, "PLATFORM_INFO", F::msr, 0, constant<platform_information>, nullptr),
    one(Msr::umwait_control, "IA32_UMWAIT_CONTROL", F::waitpkg, high_half | 2,
        get<&M::umwait_control>, set<&M::umwait_control>),
    one(Msr::mtrrcap, "IA32_MTRRCAP", F::mtrr, 0, constant<mtrr_capabilities>, nullptr),
    one(Msr::arch_capabilities, "IA32_ARCH_CAPABILITIES", F::arch_capabilities, 0,
        constant<arch_capabilities>, nullptr),
    one(Msr::flush_cmd, "IA32_FLUSH_CMD", F::l1d_flush, ~u64{1}, no_read, ignore),
    one(Msr::sysenter_cs, "IA32_SYSENTER_CS", F::sep, high_half, get<&M::sysenter_cs>,
        set<&M::sysenter_cs>),
    one(Msr::sysenter_esp, "IA32_SYSENTER_ESP", F::sep, 0, get<&M::sysenter_esp>,
        set_canonical<&M::sysenter_esp>),
    one(Msr::sysenter_eip, "IA32_SYSENTER_EIP", F::sep, 0, get<&M::sysenter_eip>,
        set_canonical<&M::sysenter_eip>),
    one(Msr::mcg_cap, "IA32_MCG_CAP", F::mca, 0, constant<0>, nullptr),
    one(Msr::mcg_status, "IA32_MCG_STATUS", F::mca, ~u64{0}, constant<0>, ignore),
    one(Msr::misc_enable, "IA32_MISC_ENABLE", F::msr, ~misc_enable_defined, get<&M::misc_enable>,
        set<&M::misc_enable>),
    one(Msr::debugctl, "IA32_DEBUGCTL", F::msr,
        ~DebugctlWord{Debugctl::lbr, Debugctl::btf}.to_raw(), get<&M::debugctl>, set<&M::debugctl>),
    // Of the model: C1E and its like are wishes that nothing follows from.
    one(Msr::power_ctl, "POWER_CTL", F::msr, high_half, get<&M::power_ctl>, set<&M::power_ctl>),
    many(Msr::mtrr_physbase0, Msr::mtrr_physmask9, "IA32_MTRR_PHYS", F::mtrr, 0, get_variable_range,
         set_variable_range),
    one(Msr::mtrr_fix64k_00000, "IA32_MTRR_FIX64K", F::mtrr, 0, get_fixed_range, set_fixed_range),
    many(Msr::mtrr_fix16k_80000, Msr::mtrr_fix16k_a0000, "IA32_MTRR_FIX16K", F::mtrr, 0,
         get_fixed_range, set_fixed_range),
    many(Msr::mtrr_fix4k_c0000, Msr::mtrr_fix4k_f8000, "IA32_MTRR_FIX4K", F::mtrr, 0,
         get_fixed_range, set_fixed_range),
    one(Msr::pat, "IA32_PAT", F::pat, 0, get<&M::pat>, set_pat),
    one(Msr::mtrr_def_type, "IA32_MTRR_DEF_TYPE", F::mtrr, ~u64{0xcff}, get<&M::mtrr_def_type>,
        set_default_type),
    many(Msr::vmx_basic, Msr::vmx_exit_ctls2, "IA32_VMX", F::vmx, 0, get_vmx_capability, nullptr),
    one(Msr::sgx_svn_status, "IA32_SGX_SVN_STATUS", F::sgx, 0, constant<0>, nullptr),
    one(Msr::tsc_deadline, "IA32_TSC_DEADLINE", F::tsc_deadline, 0, get_from_controller,
        set_in_controller),
    many(static_cast<Msr>(x2apic_msr_first), static_cast<Msr>(x2apic_msr_last), "IA32_X2APIC",
         F::x2apic, 0, get_x2apic, set_x2apic),
    one(Msr::xss, "IA32_XSS", F::xsaves, ~u64{0}, get<&M::xss>, set<&M::xss>),
    one(Msr::efer, "IA32_EFER", F::lm, ~efer_defined_mask, get_efer, set_efer),
    one(Msr::star, "IA32_STAR", F::syscall, 0, get<&M::star>, set<&M::star>),
    one(Msr::lstar, "IA32_LSTAR", F::syscall, 0, get<&M::lstar>, set_canonical<&M::lstar>),
    one(Msr::cstar, "IA32_CSTAR", F::syscall, 0, get<&M::cstar>, set_canonical<&M::cstar>),
    one(Msr::fmask, "IA32_FMASK", F::syscall, high_half, get<&M::fmask>, set<&M::fmask>),
    one(Msr::fs_base, "IA32_FS_BASE", F::lm, 0, get_base<fs>, set_base<fs>),
    one(Msr::gs_base, "IA32_GS_BASE", F::lm, 0, get_base<gs>, set_base<gs>),
    one(Msr::kernel_gs_base, "IA32_KERNEL_GS_BASE", F::lm, 0, get<&M::kernel_gs_base>,
        set_canonical<&M::kernel_gs_base>),
    one(Msr::tsc_aux, "IA32_TSC_AUX", F::rdtscp, high_half, get<&M::tsc_aux>, set<&M::tsc_aux>),
};

static_assert(is_strictly_sorted(rows, [](const MsrRow& row) { return row.first; }));
static_assert([] {
    for (size_t i = 1; i < rows.size(); ++i)
        if (rows[i - 1].last >= rows[i].first) return false;
    return true;
}());

}  // namespace

/// SDM 3C, "Changes to Instruction Behavior in VMX Non-Root Operation", RDTSC: scaled, then offset.
u64 read_tsc(const Cpu& c) {
    const u64 counter = now(c) + c.msr.tsc_adjust;
    if (!c.vmx.non_root) return counter;
    if (!is_scaled(c)) return counter + c.vmx.tsc_offset;
    const u128 product = u128{counter} * c.vmx.tsc_multiplier;
    return static_cast<u64>(product >> multiplier_fraction) + c.vmx.tsc_offset;
}

u64 ticks_to_time(const Cpu& c, u64 ticks) {
    if (!is_scaled(c)) return ticks;
    const u128 time = (u128{ticks} << multiplier_fraction) / c.vmx.tsc_multiplier;
    return time >> 64 != 0 ? ~u64{0} : static_cast<u64>(time);
}

const MsrRow* find_msr(const Cpu& c, u32 number) {
    for (const MsrRow& row : rows) {
        if (number < row.first) break;
        if (number > row.last) continue;
        return has_feature(*c.system->model, row.feature) ? &row : nullptr;
    }
    return nullptr;
}

/// SDM 2B, "RDMSR".
Result<u64> read_msr(Cpu& c, u32 number) {
    const MsrRow* row = find_msr(c, number);
    if (row == nullptr) return general_protection(c);
    return row->read(c, number);
}

/// SDM 2D, "WRMSR".
Result<> write_msr(Cpu& c, u32 number, u64 value) {
    const MsrRow* row = find_msr(c, number);
    if (row == nullptr || row->write == nullptr || (value & row->reserved) != 0)
        return general_protection(c);
    return row->write(c, number, value);
}

}  // namespace postern::cpu
