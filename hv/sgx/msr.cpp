// SPDX-License-Identifier: Apache-2.0
// SGX's rows of the table of MSRs. SDM 4, "Architectural MSRs".
#include "hv/msr.h"

#include "arch/msr.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

unsigned launch_key_word(u32 msr) { return msr - static_cast<u32>(Msr::sgxlepubkeyhash0); }

}  // namespace

/// The bits of what the guest has: SGX, launch control, VMX outside SMX.
bool MsrAccess::read_feature_control(MsrAccess& access, u64& value) {
    value = access.vcpu.vm_.sgx().feature_control();
    return true;
}

bool MsrAccess::write_feature_control(MsrAccess& access, u64 value) {
    return access.vcpu.vm_.sgx().write_feature_control(value);
}

bool MsrAccess::read_launch_key(MsrAccess& access, u64& value) {
    if (!access.vcpu.vm_.sgx().has_launch_key()) return false;
    value = access.vcpu.sgx_.launch_key[launch_key_word(access.msr)];
    return true;
}

/// The processor's own follow when EINIT is run for the guest.
bool MsrAccess::write_launch_key(MsrAccess& access, u64 value) {
    if (!access.vcpu.vm_.sgx().may_set_launch_key()) return false;
    access.vcpu.sgx_.launch_key[launch_key_word(access.msr)] = value;
    return true;
}

}  // namespace postern::hv
