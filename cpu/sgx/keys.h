// SPDX-License-Identifier: Apache-2.0
// The secrets of this processor and the keys that follow from them. Silicon has its secrets in
// fuses or draws them at reset; here all follow from one number (System::sgx_seed), so that what
// was sealed can be unsealed by the next run. None of it is secret: whoever knows the seed knows
// every key.
#pragma once

#include <array>
#include <type_traits>

#include "arch/sgx/keyrequest.h"
#include "arch/sgx/targetinfo.h"
#include "base/types.h"
#include "cpu/system.h"

namespace postern::cpu::sgx {

using Key = std::array<u8, 16>;
using KeyId = std::array<u8, 32>;
using Cpusvn = std::array<u8, 16>;

/// What a root key is for. No two domains share a key.
enum class KeyDomain : u8 { paging, derivation, seal_fuses, report_keyid };

Key root_key(const System& system, KeyDomain domain);

/// CR_CPUSVN: the security version of what silicon calls its TCB, one number for each component.
/// Two components with an update each behind them, so that older versions can be asked for.
inline constexpr Cpusvn cpusvn{2, 2};

/// False: beyond the current configuration, in one component at least.
constexpr bool is_supported(const Cpusvn& requested) {
    for (size_t n = 0; n < requested.size(); ++n)
        if (requested[n] > cpusvn[n]) return false;
    return true;
}

/// CR_REPORT_KEYID. Silicon draws it at every boot, to wear no report key out.
KeyId report_keyid(const System& system);

/// Everything a key depends on. SDM 3D, "EGETKEY", "Key Derivation" and Operation. Without CET
/// there are no CET attributes among it.
struct KeyDependencies {
    KeyName keyname;
    KeyPolicyWord keypolicy;
    u16 isvprodid;
    u16 isvsvn;
    SgxMiscselectWord miscselect;
    SgxMiscselectWord miscmask;
    SgxAttributes attributes;
    SgxAttributes attributesmask;
    std::array<u8, 16> isvfamilyid;
    std::array<u8, 16> isvextprodid;
    std::array<u8, 16> sgxownerepoch;
    Key seal_key_fuses;
    Cpusvn cpusvn;
    std::array<u8, 32> mrenclave;
    std::array<u8, 32> mrsigner;
    KeyId keyid;
    std::array<u8, 64> configid;
    std::array<u8, 352> padding;
    u16 configsvn;
    std::array<u8, 6> zero;
};
static_assert(sizeof(KeyDependencies) == 648);
static_assert(std::has_unique_object_representations_v<KeyDependencies>);

/// What all keys of a processor share: its fuses, and the padding. With a signature that EINIT
/// took, SECS.PADDING is HARDCODED_PKCS1_5_PADDING, so there is one value for both.
KeyDependencies start_dependencies(const System& system, KeyName name);

/// The report key of the enclave that `target` describes. EREPORT and EGETKEY must agree on it.
KeyDependencies report_dependencies(const System& system, const Targetinfo& target,
                                    const KeyId& keyid);

/// What tells one launch key from another. EGETKEY and EINIT must agree on it.
struct LaunchIdentity {
    u16 isvprodid;
    u16 isvsvn;
    SgxMiscselectWord miscselect;
    SgxAttributes attributes;
    std::array<u8, 32> mrsigner;
    KeyId keyid;
    Cpusvn cpusvn;
};
KeyDependencies launch_dependencies(const System& system, const LaunchIdentity& identity);

/// derivekey(): AES-CMAC under the processor's root. The manual leaves the function open.
Key derive_key(const System& system, const KeyDependencies& dependencies);

/// AES-128-CMAC, as of REPORT and EINITTOKEN.
Key cmac(const Key& key, const void* message, size_t size);

}  // namespace postern::cpu::sgx
