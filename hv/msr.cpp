// SPDX-License-Identifier: Apache-2.0
// The table of MSRs. SDM 4, "Architectural MSRs".
#include "hv/msr.h"

#include <cstring>

#include "arch/cpuid.h"
#include "arch/msr.h"
#include "arch/regs/cr0.h"
#include "arch/regs/efer.h"
#include "arch/vmx/msr_bitmap.h"
#include "base/table.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

/// The bit of the processor's CPUID without which an MSR does not exist, and the policies that
/// take it away from the guest.
struct Needs {
    CpuidLeaf leaf = CpuidLeaf::vendor;
    u32 subleaf = 0;
    u32 CpuidResult::* word = nullptr;  // null: nothing is needed
    unsigned bit = 0;
    HiddenFeatures unless;
};

template <class Bit>
constexpr Needs needs(CpuidLeaf leaf, u32 CpuidResult::* word, Bit bit) {
    return {leaf, 0, word, static_cast<unsigned>(bit), {}};
}
constexpr Needs needs(Cpuid1Edx bit) {
    return needs(CpuidLeaf::version_and_features, &CpuidResult::edx, bit);
}
constexpr Needs needs(Cpuid7Ebx bit) {
    return needs(CpuidLeaf::extended_features, &CpuidResult::ebx, bit);
}
constexpr Needs needs(Cpuid7Edx bit) {
    return needs(CpuidLeaf::extended_features, &CpuidResult::edx, bit);
}

constexpr Needs always{};
constexpr Needs mtrrs = needs(Cpuid1Edx::mtrr);
constexpr Needs mca = needs(Cpuid1Edx::mca);
constexpr Needs ibrs = needs(Cpuid7Edx::ibrs_ibpb);
constexpr Needs l1d_flush = needs(Cpuid7Edx::l1d_flush);
constexpr Needs capabilities = needs(Cpuid7Edx::arch_capabilities);
constexpr Needs adjust = needs(Cpuid7Ebx::tsc_adjust);
constexpr Needs waitpkg{CpuidLeaf::extended_features,
                        0,
                        &CpuidResult::ecx,
                        static_cast<unsigned>(Cpuid7Ecx::waitpkg),
                        {HiddenFeature::waitpkg}};
constexpr Needs xsaves{CpuidLeaf::xsave,
                       1,
                       &CpuidResult::eax,
                       static_cast<unsigned>(CpuidXsaveEax::xsaves),
                       {HiddenFeature::xsaves}};
constexpr Needs rdtscp{CpuidLeaf::extended_version_and_features,
                       0,
                       &CpuidResult::edx,
                       static_cast<unsigned>(CpuidExtEdx::rdtscp),
                       {HiddenFeature::rdtscp}};

/// What of an MSR is the guest's own in its processor: the VMCS switches it, or nobody else uses
/// it, and the processor checks what is written.
enum class Passes : u8 { never, reads, writes, both };

struct MsrRow {
    Msr first, last;
    Needs needs;
    Passes passes;
    u64 reserved;  // bits that WRMSR must leave 0
    bool (*read)(MsrAccess&, u64&);
    bool (*write)(MsrAccess&, u64);
};

using M = MsrAccess;
using V = VirtualMsrs;

constexpr MsrRow row(Msr msr, const Needs& needs, decltype(MsrRow::read) read,
                     decltype(MsrRow::write) write, u64 reserved = 0) {
    return {msr, msr, needs, Passes::never, reserved, read, write};
}
constexpr MsrRow rows(Msr first, Msr last, const Needs& needs, decltype(MsrRow::read) read,
                      decltype(MsrRow::write) write, u64 reserved = 0) {
    return {first, last, needs, Passes::never, reserved, read, write};
}
constexpr MsrRow passes(Passes what, MsrRow row) {
    row.passes = what;
    return row;
}
constexpr MsrRow own(MsrRow row) { return passes(Passes::both, row); }

constexpr u64 high_half = ~u64{0xffff'ffff};
constexpr u64 misc_enable_reserved =
    ~MiscEnableWord{MiscEnable::fast_strings,           MiscEnable::automatic_thermal_control,
                    MiscEnable::performance_monitoring, MiscEnable::bts_unavailable,
                    MiscEnable::pebs_unavailable,       MiscEnable::enhanced_speedstep,
                    MiscEnable::monitor_enable,         MiscEnable::limit_cpuid_maxval,
                    MiscEnable::xtpr_disable,           MiscEnable::xd_disable}
         .to_raw();
constexpr u64 mtrr_def_type_reserved = ~u64{0xcff};

// clang-format off
constexpr std::array msr_rows{
    row(Msr::p5_mc_addr, needs(Cpuid1Edx::mce), M::read_zero, M::ignore),
    row(Msr::p5_mc_type, needs(Cpuid1Edx::mce), M::read_zero, M::ignore),
    passes(Passes::reads, row(Msr::tsc, always, M::read_tsc, M::write_tsc)),
    row(Msr::platform_id, always, M::from_processor, M::refuse),
    row(Msr::smi_count, always, M::from_processor, M::refuse),
    row(Msr::feature_control, always, M::read_feature_control, M::write_feature_control),
    row(Msr::tsc_adjust, adjust, M::get<&V::tsc_adjust>, M::write_tsc_adjust),
    own(row(Msr::spec_ctrl, ibrs, M::from_processor, M::to_processor)),
    passes(Passes::writes, row(Msr::pred_cmd, ibrs, M::refuse_read, M::to_processor)),
    row(Msr::bios_sign_id, always, M::from_processor, M::ignore),
    row(Msr::sgxlepubkeyhash0, always, M::read_launch_key, M::write_launch_key),
    row(Msr::sgxlepubkeyhash1, always, M::read_launch_key, M::write_launch_key),
    row(Msr::sgxlepubkeyhash2, always, M::read_launch_key, M::write_launch_key),
    row(Msr::sgxlepubkeyhash3, always, M::read_launch_key, M::write_launch_key),
    row(Msr::platform_info, always, M::from_processor, M::refuse),
    own(row(Msr::umwait_control, waitpkg, M::from_processor, M::to_processor)),
    row(Msr::mtrrcap, mtrrs, M::from_processor, M::refuse),
    row(Msr::arch_capabilities, capabilities, M::from_processor, M::refuse),
    passes(Passes::writes, row(Msr::flush_cmd, l1d_flush, M::refuse_read, M::to_processor)),
    own(row(Msr::sysenter_cs, always, M::from_vmcs, M::to_vmcs, high_half)),
    own(row(Msr::sysenter_esp, always, M::from_vmcs, M::canonical_to_vmcs)),
    own(row(Msr::sysenter_eip, always, M::from_vmcs, M::canonical_to_vmcs)),
    row(Msr::mcg_cap, mca, M::read_zero, M::refuse),
    row(Msr::mcg_status, mca, M::read_zero, M::ignore, ~u64{0}),
    row(Msr::misc_enable, always, M::get<&V::misc_enable>, M::set<&V::misc_enable>, misc_enable_reserved),
    row(Msr::debugctl, always, M::from_vmcs, M::to_vmcs, debugctl_reserved),
    row(Msr::power_ctl, always, M::get<&V::power_ctl>, M::set<&V::power_ctl>, high_half),
    rows(Msr::mtrr_physbase0, Msr::mtrr_physmask9, mtrrs, M::read_mtrr_variable, M::write_mtrr_variable),
    row(Msr::mtrr_fix64k_00000, mtrrs, M::read_mtrr_fixed, M::write_mtrr_fixed),
    rows(Msr::mtrr_fix16k_80000, Msr::mtrr_fix16k_a0000, mtrrs, M::read_mtrr_fixed, M::write_mtrr_fixed),
    rows(Msr::mtrr_fix4k_c0000, Msr::mtrr_fix4k_f8000, mtrrs, M::read_mtrr_fixed, M::write_mtrr_fixed),
    row(Msr::pat, needs(Cpuid1Edx::pat), M::from_vmcs, M::write_pat),
    row(Msr::mtrr_def_type, mtrrs, M::get<&V::mtrr_def_type>, M::write_mtrr_def_type, mtrr_def_type_reserved),
    rows(Msr::vmx_basic, Msr::vmx_exit_ctls2, always, M::read_vmx, M::refuse),
    row(Msr::xss, xsaves, M::from_processor, M::to_processor),
    row(Msr::efer, always, M::from_vmcs, M::write_efer, ~efer_defined_mask),
    own(row(Msr::star, always, M::from_processor, M::to_processor)),
    own(row(Msr::lstar, always, M::from_processor, M::to_processor)),
    own(row(Msr::cstar, always, M::from_processor, M::to_processor)),
    own(row(Msr::fmask, always, M::from_processor, M::to_processor)),
    own(row(Msr::fs_base, always, M::from_vmcs, M::canonical_to_vmcs)),
    own(row(Msr::gs_base, always, M::from_vmcs, M::canonical_to_vmcs)),
    own(row(Msr::kernel_gs_base, always, M::from_processor, M::to_processor)),
    own(row(Msr::tsc_aux, rdtscp, M::from_processor, M::to_processor)),
};
// clang-format on
static_assert(is_strictly_sorted(msr_rows, [](const MsrRow& row) { return row.first; }));
static_assert([] {
    for (size_t i = 1; i < msr_rows.size(); ++i)
        if (msr_rows[i - 1].last >= msr_rows[i].first) return false;
    return true;
}());

constexpr bool is_local_apics(u32 msr) {
    return static_cast<Msr>(msr) == Msr::apic_base || static_cast<Msr>(msr) == Msr::tsc_deadline ||
           (msr >= x2apic_msr_first && msr <= x2apic_msr_last);
}

const MsrRow* find_row(u32 msr) {
    for (const MsrRow& row : msr_rows)
        if (static_cast<u32>(row.first) <= msr && msr <= static_cast<u32>(row.last)) return &row;
    return nullptr;
}

constexpr bool is_mtrr_type(u64 type) { return type == 0 || type == 1 || (type >= 4 && type <= 6); }

/// IA32_MTRR_FIX64K_00000, two of 16K, eight of 4K: rows of VirtualMsrs::mtrr_fixed.
constexpr u32 fixed_index(u32 msr) {
    if (msr == static_cast<u32>(Msr::mtrr_fix64k_00000)) return 0;
    if (msr <= static_cast<u32>(Msr::mtrr_fix16k_a0000))
        return 1 + (msr - static_cast<u32>(Msr::mtrr_fix16k_80000));
    return 3 + (msr - static_cast<u32>(Msr::mtrr_fix4k_c0000));
}
constexpr u32 fixed_msr(u32 index) {
    if (index == 0) return static_cast<u32>(Msr::mtrr_fix64k_00000);
    if (index < 3) return static_cast<u32>(Msr::mtrr_fix16k_80000) + index - 1;
    return static_cast<u32>(Msr::mtrr_fix4k_c0000) + index - 3;
}
static_assert([] {
    for (u32 i = 0; i < 11; ++i)
        if (fixed_index(fixed_msr(i)) != i) return false;
    return true;
}());

/// The guest's registers that VM entry loads and VM exit saves.
constexpr VmcsField vmcs_field_of(u32 msr) {
    switch (static_cast<Msr>(msr)) {
        case Msr::sysenter_cs: return VmcsField::guest_ia32_sysenter_cs;
        case Msr::sysenter_esp: return VmcsField::guest_ia32_sysenter_esp;
        case Msr::sysenter_eip: return VmcsField::guest_ia32_sysenter_eip;
        case Msr::debugctl: return VmcsField::guest_ia32_debugctl;
        case Msr::pat: return VmcsField::guest_ia32_pat;
        case Msr::fs_base: return VmcsField::guest_fs_base;
        case Msr::gs_base: return VmcsField::guest_gs_base;
        default: return VmcsField::guest_ia32_efer;
    }
}

bool exists(Port& port, const Config& config, const Needs& needs) {
    if (needs.word == nullptr) return true;
    if (config.hidden.has_any(needs.unless)) return false;
    const CpuidResult leaf = port.cpuid(static_cast<u32>(needs.leaf), needs.subleaf);
    return (leaf.*needs.word >> needs.bit & 1) != 0;
}

u32 variable_ranges(Port& port) {
    const u64 count = port.rdmsr(static_cast<u32>(Msr::mtrrcap)) & 0xff;
    return static_cast<u32>(count < mtrr_variable_limit ? count : mtrr_variable_limit);
}

void clear_bit(u8* bitmap, BitmapBit where) {
    bitmap[where.byte] = static_cast<u8>(bitmap[where.byte] & ~(1u << where.bit));
}

}  // namespace

bool MsrAccess::read(u64& value) {
    if (is_local_apics(msr)) return vcpu.apic_.read_msr(msr, value);
    const MsrRow* const row = find_row(msr);
    if (row == nullptr || !exists(vcpu.port_, vcpu.vm_.config(), row->needs)) return false;
    return row->read(*this, value);
}

bool MsrAccess::write(u64 value) {
    if (static_cast<Msr>(msr) == Msr::apic_base) return vcpu.write_apic_base(value);
    if (is_local_apics(msr)) return vcpu.apic_.write_msr(msr, value);
    const MsrRow* const row = find_row(msr);
    if (row == nullptr || !exists(vcpu.port_, vcpu.vm_.config(), row->needs)) return false;
    return (value & row->reserved) == 0 && row->write(*this, value);
}

bool Vcpu::write_msr_bitmap() {
    const Result<Hpa> page = vm_.pages().take();
    if (!page.ok()) return false;
    u8* const bitmap = port_.page(page.value());
    std::memset(bitmap, 0xff, page_size);
    for (const MsrRow& row : msr_rows) {
        if (row.passes == Passes::never || !exists(port_, vm_.config(), row.needs)) continue;
        const auto msr = static_cast<u32>(row.first);
        if (row.passes != Passes::writes) clear_bit(bitmap, msr_bitmap_bit(msr, false));
        if (row.passes != Passes::reads) clear_bit(bitmap, msr_bitmap_bit(msr, true));
    }
    port_.vmwrite(VmcsField::msr_bitmap, page.value().raw());
    return true;
}

/// As the processor has them: its firmware has set the memory types. SDM 3A, "Memory Type Range
/// Registers (MTRRs)".
void Vcpu::take_over_msrs() {
    msrs_.misc_enable = port_.rdmsr(static_cast<u32>(Msr::misc_enable));
    msrs_.power_ctl = port_.rdmsr(static_cast<u32>(Msr::power_ctl));
    if (!exists(port_, vm_.config(), mtrrs)) return;
    msrs_.mtrr_def_type = port_.rdmsr(static_cast<u32>(Msr::mtrr_def_type));
    for (u32 i = 0; i < 2 * variable_ranges(port_); ++i)
        msrs_.mtrr_variable[i] = port_.rdmsr(static_cast<u32>(Msr::mtrr_physbase0) + i);
    for (u32 i = 0; i < msrs_.mtrr_fixed.size(); ++i)
        msrs_.mtrr_fixed[i] = port_.rdmsr(fixed_msr(i));
}

u64 Vcpu::beyond_physical() {
    const u32 bits = port_.cpuid(static_cast<u32>(CpuidLeaf::address_sizes), 0).eax & 0xff;
    return bits < 64 ? ~u64{0} << bits : 0;
}

bool MsrAccess::from_processor(MsrAccess& access, u64& value) {
    value = access.vcpu.port_.rdmsr(access.msr);
    return true;
}
bool MsrAccess::to_processor(MsrAccess& access, u64 value) {
    return access.vcpu.port_.wrmsr(access.msr, value);
}
bool MsrAccess::from_vmcs(MsrAccess& access, u64& value) {
    value = access.vcpu.port_.vmread(vmcs_field_of(access.msr));
    return true;
}
bool MsrAccess::to_vmcs(MsrAccess& access, u64 value) {
    access.vcpu.port_.vmwrite(vmcs_field_of(access.msr), value);
    return true;
}
bool MsrAccess::canonical_to_vmcs(MsrAccess& access, u64 value) {
    const u32 sizes = access.vcpu.port_.cpuid(static_cast<u32>(CpuidLeaf::address_sizes), 0).eax;
    const u32 linear_bits = sizes >> 8 & 0xff;
    if (linear_bits < 64 && linear_bits != 0) {
        const unsigned shift = 64 - linear_bits;
        if (static_cast<u64>(static_cast<i64>(value << shift) >> shift) != value) return false;
    }
    return to_vmcs(access, value);
}
bool MsrAccess::refuse_read(MsrAccess&, u64&) { return false; }
bool MsrAccess::refuse(MsrAccess&, u64) { return false; }
bool MsrAccess::ignore(MsrAccess&, u64) { return true; }

bool MsrAccess::read_zero(MsrAccess&, u64& value) {
    value = 0;
    return true;
}

template <u64 VirtualMsrs::* member>
bool MsrAccess::get(MsrAccess& access, u64& value) {
    value = access.vcpu.msrs_.*member;
    return true;
}
template <u64 VirtualMsrs::* member>
bool MsrAccess::set(MsrAccess& access, u64 value) {
    access.vcpu.msrs_.*member = value;
    return true;
}

u64 Vcpu::tsc_of_l1() { return port_.tsc() + msrs_.tsc_base + msrs_.tsc_adjust; }

u64 Vcpu::guest_tsc() { return nested_.in_l2() ? nested_.tsc_of_l2(tsc_of_l1()) : tsc_of_l1(); }

void Vcpu::write_tsc_offset() {
    const u64 offset = msrs_.tsc_base + msrs_.tsc_adjust;
    apic_.set_tsc_offset(offset);
    port_.vmwrite(VmcsField::tsc_offset,
                  nested_.in_l2() ? nested_.tsc_offset_of_l2(offset) : offset);
}

bool MsrAccess::read_tsc(MsrAccess& access, u64& value) {
    value = access.vcpu.guest_tsc();
    return true;
}

/// A write moves IA32_TSC_ADJUST by as much. SDM 3B, "Time-Stamp Counter Adjustment".
bool MsrAccess::write_tsc(MsrAccess& access, u64 value) {
    const u64 adjusted = access.vcpu.msrs_.tsc_adjust;
    return write_tsc_adjust(access, adjusted + (value - access.vcpu.guest_tsc()));
}

bool MsrAccess::write_tsc_adjust(MsrAccess& access, u64 value) {
    access.vcpu.msrs_.tsc_adjust = value;
    access.vcpu.write_tsc_offset();
    return true;
}

bool MsrAccess::read_vmx(MsrAccess& access, u64& value) {
    return access.vcpu.nested_.capabilities().read(access.msr, value);
}

bool MsrAccess::read_mtrr_variable(MsrAccess& access, u64& value) {
    const u32 index = access.msr - static_cast<u32>(Msr::mtrr_physbase0);
    if (index / 2 >= variable_ranges(access.vcpu.port_)) return false;
    value = access.vcpu.msrs_.mtrr_variable[index];
    return true;
}

/// SDM 3A, "Variable Range MTRRs".
bool MsrAccess::write_mtrr_variable(MsrAccess& access, u64 value) {
    const u32 index = access.msr - static_cast<u32>(Msr::mtrr_physbase0);
    if (index / 2 >= variable_ranges(access.vcpu.port_)) return false;
    const bool is_base = index % 2 == 0;
    const u64 reserved = access.vcpu.beyond_physical() | (is_base ? 0xf00 : 0x7ff);
    if ((value & reserved) != 0 || (is_base && !is_mtrr_type(value & 0xff))) return false;
    access.vcpu.msrs_.mtrr_variable[index] = value;
    return true;
}

bool MsrAccess::read_mtrr_fixed(MsrAccess& access, u64& value) {
    value = access.vcpu.msrs_.mtrr_fixed[fixed_index(access.msr)];
    return true;
}

bool MsrAccess::write_mtrr_fixed(MsrAccess& access, u64 value) {
    for (unsigned byte = 0; byte < 8; ++byte)
        if (!is_mtrr_type(value >> (8 * byte) & 0xff)) return false;
    access.vcpu.msrs_.mtrr_fixed[fixed_index(access.msr)] = value;
    return true;
}

bool MsrAccess::write_mtrr_def_type(MsrAccess& access, u64 value) {
    return is_mtrr_type(value & 0xff) && set<&VirtualMsrs::mtrr_def_type>(access, value);
}

bool MsrAccess::write_pat(MsrAccess& access, u64 value) {
    return is_valid_pat(value) && to_vmcs(access, value);
}

/// LMA is the processor's, and LME does not change while paging is on. SDM 3A, "Extended
/// Feature Enable Register".
bool MsrAccess::write_efer(MsrAccess& access, u64 value) {
    Port& port = access.vcpu.port_;
    const auto old = EferWord::from_raw(port.vmread(VmcsField::guest_ia32_efer));
    const auto wanted = EferWord::from_raw(value).with(Efer::lma, old.has(Efer::lma));
    const bool paging = Cr0Word::from_raw(port.vmread(VmcsField::guest_cr0)).has(Cr0::pg);
    if (paging && wanted.has(Efer::lme) != old.has(Efer::lme)) return false;
    constexpr Needs nx = needs(CpuidLeaf::extended_version_and_features, &CpuidResult::edx,
                               CpuidExtEdx::execute_disable);
    if (wanted.has(Efer::nxe) && !exists(port, access.vcpu.vm_.config(), nx)) return false;
    port.vmwrite(VmcsField::guest_ia32_efer, wanted.to_raw());
    if (wanted.has(Efer::nxe) != old.has(Efer::nxe)) port.invvpid(access.vcpu.vpid());
    return true;
}

}  // namespace postern::hv
