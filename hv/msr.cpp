// SPDX-License-Identifier: Apache-2.0
// The table of MSRs. SDM 4, "Architectural MSRs".
#include "hv/msr.h"

#include <array>

#include "arch/msr.h"
#include "arch/regs/cr0.h"
#include "arch/regs/efer.h"
#include "base/table.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

using ReadMsr = bool (*)(MsrAccess&, u64&);
using WriteMsr = bool (*)(MsrAccess&, u64);

struct MsrRow {
    Msr msr;
    const char* name;
    ReadMsr read;
    WriteMsr write;
};

using M = MsrAccess;
constexpr std::array msr_rows{
    MsrRow{Msr::tsc, "IA32_TIME_STAMP_COUNTER", M::read_tsc, M::refuse},
    MsrRow{Msr::apic_base, "IA32_APIC_BASE", M::read_apic_base, M::refuse},
    MsrRow{Msr::feature_control, "IA32_FEATURE_CONTROL", M::read_feature_control, M::refuse},
    MsrRow{Msr::bios_sign_id, "IA32_BIOS_SIGN_ID", M::read_zero, M::ignore},
    MsrRow{Msr::sgxlepubkeyhash0, "IA32_SGXLEPUBKEYHASH0", M::read_launch_key, M::write_launch_key},
    MsrRow{Msr::sgxlepubkeyhash1, "IA32_SGXLEPUBKEYHASH1", M::read_launch_key, M::write_launch_key},
    MsrRow{Msr::sgxlepubkeyhash2, "IA32_SGXLEPUBKEYHASH2", M::read_launch_key, M::write_launch_key},
    MsrRow{Msr::sgxlepubkeyhash3, "IA32_SGXLEPUBKEYHASH3", M::read_launch_key, M::write_launch_key},
    MsrRow{Msr::sysenter_cs, "IA32_SYSENTER_CS", M::from_processor, M::to_processor},
    MsrRow{Msr::misc_enable, "IA32_MISC_ENABLE", M::read_misc_enable, M::refuse},
    MsrRow{Msr::pat, "IA32_PAT", M::read_pat, M::write_pat},
    MsrRow{Msr::efer, "IA32_EFER", M::read_efer, M::write_efer},
    MsrRow{Msr::star, "IA32_STAR", M::from_processor, M::to_processor},
    MsrRow{Msr::lstar, "IA32_LSTAR", M::from_processor, M::to_processor},
    MsrRow{Msr::cstar, "IA32_CSTAR", M::from_processor, M::to_processor},
    MsrRow{Msr::fmask, "IA32_FMASK", M::from_processor, M::to_processor},
    MsrRow{Msr::kernel_gs_base, "IA32_KERNEL_GS_BASE", M::from_processor, M::to_processor},
    MsrRow{Msr::tsc_aux, "IA32_TSC_AUX", M::from_processor, M::to_processor},
};
static_assert(is_strictly_sorted(msr_rows, [](const MsrRow& row) { return row.msr; }));

/// Held in the VMCS, or switched by nobody because nobody else uses them.
constexpr std::array passed_through{Msr::sysenter_cs,    Msr::sysenter_esp, Msr::sysenter_eip,
                                    Msr::star,           Msr::lstar,        Msr::cstar,
                                    Msr::fmask,          Msr::fs_base,      Msr::gs_base,
                                    Msr::kernel_gs_base, Msr::tsc_aux,      Msr::tsc};
static_assert(passed_through.size() == passed_through_msr_count);

const MsrRow* find_row(u32 msr) {
    for (const MsrRow& row : msr_rows)
        if (static_cast<u32>(row.msr) == msr) return &row;
    return nullptr;
}

}  // namespace

u32 passed_through_msr(u32 index) { return static_cast<u32>(passed_through[index]); }

bool MsrAccess::read(u64& value) {
    const MsrRow* const row = find_row(msr);
    return row != nullptr && row->read(*this, value);
}

bool MsrAccess::write(u64 value) {
    const MsrRow* const row = find_row(msr);
    return row != nullptr && row->write(*this, value);
}

bool MsrAccess::from_processor(MsrAccess& access, u64& value) {
    value = access.vcpu.port_.rdmsr(access.msr);
    return true;
}
bool MsrAccess::to_processor(MsrAccess& access, u64 value) {
    return access.vcpu.port_.wrmsr(access.msr, value);
}
bool MsrAccess::refuse(MsrAccess&, u64) { return false; }
bool MsrAccess::ignore(MsrAccess&, u64) { return true; }

bool MsrAccess::read_zero(MsrAccess&, u64& value) {
    value = 0;
    return true;
}

bool MsrAccess::read_tsc(MsrAccess& access, u64& value) {
    value = access.vcpu.port_.tsc();
    return true;
}

bool MsrAccess::read_apic_base(MsrAccess&, u64& value) {
    value = apic_base_reset_address | ApicBaseWord{ApicBase::bsp, ApicBase::global_enable}.to_raw();
    return true;
}

/// As a BIOS leaves it, without VMX, which is hidden.
bool MsrAccess::read_feature_control(MsrAccess& access, u64& value) {
    FeatureControlWord word{FeatureControl::lock};
    if (access.vcpu.vm_.config().epc.size != 0)
        word = word | FeatureControlWord{FeatureControl::sgx_enable, FeatureControl::sgx_lc};
    value = word.to_raw();
    return true;
}

bool MsrAccess::read_launch_key(MsrAccess& access, u64& value) {
    if (access.vcpu.vm_.config().epc.size == 0) return false;
    value = access.vcpu.sgxlepubkeyhash_[access.msr - static_cast<u32>(Msr::sgxlepubkeyhash0)];
    return true;
}

/// EINIT is not intercepted, so it looks at the processor's registers: they follow the guest's.
bool MsrAccess::write_launch_key(MsrAccess& access, u64 value) {
    if (access.vcpu.vm_.config().epc.size == 0) return false;
    if (!access.vcpu.port_.wrmsr(access.msr, value)) return false;
    access.vcpu.sgxlepubkeyhash_[access.msr - static_cast<u32>(Msr::sgxlepubkeyhash0)] = value;
    return true;
}

bool MsrAccess::read_pat(MsrAccess& access, u64& value) {
    value = access.vcpu.port_.vmread(VmcsField::guest_ia32_pat);
    return true;
}

bool MsrAccess::write_pat(MsrAccess& access, u64 value) {
    if (!is_valid_pat(value)) return false;
    access.vcpu.port_.vmwrite(VmcsField::guest_ia32_pat, value);
    return true;
}

bool MsrAccess::read_efer(MsrAccess& access, u64& value) {
    value = access.vcpu.port_.vmread(VmcsField::guest_ia32_efer);
    return true;
}

/// LMA is the processor's, and LME does not change while paging is on. SDM 3A, "Extended
/// Feature Enable Register".
bool MsrAccess::write_efer(MsrAccess& access, u64 value) {
    const auto old = EferWord::from_raw(access.vcpu.port_.vmread(VmcsField::guest_ia32_efer));
    const auto wanted = EferWord::from_raw(value);
    if ((value & ~efer_defined_mask) != 0) return false;
    const bool paging =
        Cr0Word::from_raw(access.vcpu.port_.vmread(VmcsField::guest_cr0)).has(Cr0::pg);
    if (paging && wanted.has(Efer::lme) != old.has(Efer::lme)) return false;
    access.vcpu.port_.vmwrite(VmcsField::guest_ia32_efer,
                              wanted.with(Efer::lma, old.has(Efer::lma)).to_raw());
    return true;
}

bool MsrAccess::read_misc_enable(MsrAccess&, u64& value) {
    value = MiscEnableWord{MiscEnable::fast_strings, MiscEnable::bts_unavailable,
                           MiscEnable::pebs_unavailable}
                .to_raw();
    return true;
}

}  // namespace postern::hv
