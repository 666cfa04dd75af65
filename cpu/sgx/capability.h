// SPDX-License-Identifier: Apache-2.0
// What this processor's SGX offers: the numbers that CPUID leaf 12H reports and that ECREATE
// holds a SECS against.
#pragma once

#include "arch/sgx/attributes.h"
#include "base/types.h"
#include "cpu/model.h"

namespace postern::cpu::sgx {

/// SDM 3D, "Intel SGX Resource Enumeration Leaves". An enclave is smaller than 2 to this power.
inline constexpr unsigned enclave_size_bits_32 = 31;
inline constexpr unsigned enclave_size_bits_64 = 56;

/// What every model takes.
inline constexpr SgxAttributeFlags supported_attributes{
    SgxAttribute::debug, SgxAttribute::mode64bit, SgxAttribute::provisionkey,
    SgxAttribute::einittoken_key, SgxAttribute::kss};

/// ECREATE takes no other bits (INIT is EINIT's to set). AEX-Notify came with EDECCSSA.
constexpr SgxAttributeFlags attributes_of(const Model& model) {
    return supported_attributes.with(SgxAttribute::aexnotify,
                                     has_feature(model, Feature::sgx_edeccssa));
}

inline constexpr SgxMiscselectWord supported_miscselect{SgxMiscselect::exinfo};

/// State components that an AEX can save and ERESUME load.
inline constexpr Xcr0Word supported_xfrm{Xcr0::x87, Xcr0::sse, Xcr0::avx, Xcr0::pkru};

}  // namespace postern::cpu::sgx
