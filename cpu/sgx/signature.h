// SPDX-License-Identifier: Apache-2.0
// SIGSTRUCT: is it well formed, is it signed, and by whom.
#pragma once

#include "arch/sgx/sigstruct.h"
#include "cpu/sgx/measure.h"

namespace postern::cpu::sgx {

/// The fixed fields have their values and the reserved ones are zero; without CET its two bytes
/// are reserved.
bool is_well_formed(const Sigstruct& sigstruct);

/// RSA-3072 with exponent 3, PKCS #1 v1.5, SHA-256. Q1 and Q2 must be the quotients that the
/// manual defines: the processor takes them as inputs instead of dividing, so other values give
/// another result and the signature does not verify. SDM 3D, "Enclave Signature Structure
/// (SIGSTRUCT)".
bool is_signed(const Sigstruct& sigstruct);

/// SHA-256 of the modulus as it stands.
Digest mrsigner_of(const Sigstruct& sigstruct);

}  // namespace postern::cpu::sgx
