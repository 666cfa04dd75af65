// SPDX-License-Identifier: Apache-2.0
// An enclave's ATTRIBUTES, MISCSELECT and CET attributes.
#pragma once

#include "arch/regs/xcr0.h"
#include "base/flag_word.h"

namespace postern {

/// SDM 3D, "ATTRIBUTES".
enum class SgxAttribute : u8 {
    init = 0,
    debug = 1,
    mode64bit = 2,
    provisionkey = 4,
    einittoken_key = 5,
    cet = 6,
    kss = 7,
    aexnotify = 10,
};
using SgxAttributeFlags = FlagWord<SgxAttribute>;

inline constexpr u64 sgx_attribute_reserved =
    ~SgxAttributeFlags{
        SgxAttribute::init,         SgxAttribute::debug,          SgxAttribute::mode64bit,
        SgxAttribute::provisionkey, SgxAttribute::einittoken_key, SgxAttribute::cet,
        SgxAttribute::kss,          SgxAttribute::aexnotify}
         .to_raw();

/// What EINIT gives only to enclaves of the signer in IA32_SGXLEPUBKEYHASH. SDM 3D, "EINIT".
inline constexpr SgxAttributeFlags controlled_attributes{SgxAttribute::einittoken_key};

/// As SECS, SIGSTRUCT, REPORT, TARGETINFO and KEYREQUEST hold it.
struct SgxAttributes {
    SgxAttributeFlags flags;
    Xcr0Word xfrm;

    friend constexpr bool operator==(const SgxAttributes&, const SgxAttributes&) = default;
};
static_assert(sizeof(SgxAttributes) == 16);
static_assert(offsetof(SgxAttributes, flags) == 0 && offsetof(SgxAttributes, xfrm) == 8);

/// SDM 3D, "MISCSELECT".
enum class SgxMiscselect : u8 { exinfo = 0, cpinfo = 1 };
using SgxMiscselectWord = FlagWord<SgxMiscselect, u32>;

/// SDM 3D, "CET_ATTRIBUTES". Beyond sh_stk_en not verified against the manual.
enum class SgxCetAttribute : u8 {
    sh_stk_en = 0,
    wr_shstk_en = 1,
    endbr_en = 2,
    leg_iw_en = 3,
    no_track_en = 4,
    suppress_dis = 5,
};
using SgxCetAttributes = FlagWord<SgxCetAttribute, u8>;

}  // namespace postern
