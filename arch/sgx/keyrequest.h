// SPDX-License-Identifier: Apache-2.0
// KEYREQUEST: which key EGETKEY derives.
#pragma once

#include <array>

#include "arch/sgx/attributes.h"

namespace postern {

/// SDM 3D, "KEY REQUEST KeyNames".
enum class KeyName : u16 {
    einittoken_key = 0,
    provision_key = 1,
    provision_seal_key = 2,
    report_key = 3,
    seal_key = 4,
};

/// SDM 3D, "Key Request Policy Structure". The order of bits 2 to 5 is that of the public headers
/// of Intel's SDK.
enum class KeyPolicy : u8 {
    mrenclave = 0,
    mrsigner = 1,
    noisvprodid = 2,
    configid = 3,
    isvfamilyid = 4,
    isvextprodid = 5,
};
using KeyPolicyWord = FlagWord<KeyPolicy, u16>;

/// Bits that need ATTRIBUTES.KSS.
inline constexpr u16 key_policy_needs_kss = 0x3c;

/// SDM 3D, "Key Request (KEYREQUEST)".
struct Keyrequest {
    KeyName keyname;
    KeyPolicyWord keypolicy;
    u16 isvsvn;
    SgxCetAttributes cet_attributes_mask;
    u8 reserved_7;
    std::array<u8, 16> cpusvn;
    SgxAttributes attributemask;
    std::array<u8, 32> keyid;
    SgxMiscselectWord miscmask;
    u16 configsvn;
    std::array<u8, 434> reserved_78;
};
static_assert(sizeof(Keyrequest) == 512);
static_assert(offsetof(Keyrequest, keyname) == 0);
static_assert(offsetof(Keyrequest, keypolicy) == 2);
static_assert(offsetof(Keyrequest, isvsvn) == 4);
static_assert(offsetof(Keyrequest, cet_attributes_mask) == 6);
static_assert(offsetof(Keyrequest, reserved_7) == 7);
static_assert(offsetof(Keyrequest, cpusvn) == 8);
static_assert(offsetof(Keyrequest, attributemask) == 24);
static_assert(offsetof(Keyrequest, keyid) == 40);
static_assert(offsetof(Keyrequest, miscmask) == 72);
static_assert(offsetof(Keyrequest, configsvn) == 76);
static_assert(offsetof(Keyrequest, reserved_78) == 78);

inline constexpr u64 keyrequest_alignment = 512;

}  // namespace postern
