// SPDX-License-Identifier: Apache-2.0
// Which leaves of ENCLS exit, and what becomes of one that did. Pure functions of what the guest
// has. SDM 3D, "ENCLS", Operation.
#pragma once

#include <array>

#include "arch/exception.h"
#include "arch/msr.h"
#include "arch/sgx/leaf.h"
#include "hv/sgx/capability.h"

namespace postern::hv {

/// The leaves that some CPUID.(12H,0):EAX bit brings: a range each.
struct EnclsLeaves {
    CpuidSgxEax feature;
    EnclsLeaf first, last;
};
inline constexpr std::array encls_leaves{
    EnclsLeaves{CpuidSgxEax::sgx1, EnclsLeaf::ecreate, EnclsLeaf::etrack},
    EnclsLeaves{CpuidSgxEax::sgx2, EnclsLeaf::eaug, EnclsLeaf::emodt},
    EnclsLeaves{CpuidSgxEax::oversub, EnclsLeaf::erdinfo, EnclsLeaf::elduc},
    EnclsLeaves{CpuidSgxEax::eupdatesvn, EnclsLeaf::eupdatesvn, EnclsLeaf::eupdatesvn},
};

constexpr bool has_leaf(const SgxCapability& guest, u32 leaf) {
    for (const EnclsLeaves& row : encls_leaves)
        if (leaf >= static_cast<u32>(row.first) && leaf <= static_cast<u32>(row.last))
            return guest.features.has(row.feature);
    return false;
}

/// IA32_FEATURE_CONTROL lets SGX be used.
constexpr bool enables_sgx(u64 feature_control) {
    return FeatureControlWord::from_raw(feature_control)
        .has_all({FeatureControl::lock, FeatureControl::sgx_enable});
}

/// The two leaves with a policy. They exit for every guest, whatever its CPUID shares with the
/// processor's: no comparison of the two has to be complete for the policy to hold.
constexpr bool is_enforced(u32 leaf) {
    return leaf == static_cast<u32>(EnclsLeaf::ecreate) ||
           leaf == static_cast<u32>(EnclsLeaf::einit);
}

/// Bit n: leaf n exits; bit 63: leaf 63 and all above. SDM 3C, "ENCLS-Exiting Bitmap".
constexpr u64 encls_exiting_bitmap(const SgxCapability& guest, u64 feature_control) {
    u64 bitmap = ~u64{0};
    if (!guest.present() || !enables_sgx(feature_control)) return bitmap;
    for (u32 leaf = 0; leaf < 63; ++leaf)
        if (has_leaf(guest, leaf) && !is_enforced(leaf)) bitmap &= ~(u64{1} << leaf);
    return bitmap;
}

/// What a leaf that exited meets first.
enum class EnclsAnswer : u8 {
    invalid_opcode,
    general_protection,
    enforce,  // ECREATE, EINIT: the hypervisor runs it
    run,      // the guest may run it itself: it should not have exited
};

/// The checks that come after the VM exit, in the manual's order. SGX1 may be off in a processor
/// that enumerates SGX (firmware switched a machine-check bank off): #UD then too.
constexpr EnclsAnswer answer_encls(const SgxCapability& guest, u64 feature_control, bool paging,
                                   u32 leaf) {
    if (!guest.present()) return EnclsAnswer::invalid_opcode;
    if (!enables_sgx(feature_control)) return EnclsAnswer::general_protection;
    if (!has_leaf(guest, leaf)) return EnclsAnswer::general_protection;
    if (!paging) return EnclsAnswer::general_protection;
    return is_enforced(leaf) ? EnclsAnswer::enforce : EnclsAnswer::run;
}

}  // namespace postern::hv
