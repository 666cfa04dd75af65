// SPDX-License-Identifier: Apache-2.0
// What a page must hold to become a TCS, by EADD or by EACCEPT.
#pragma once

#include "arch/sgx/secs.h"
#include "arch/sgx/tcs.h"
#include "cpu/sgx/reserved.h"

namespace postern::cpu::sgx {

/// Reserved bytes 0; the limits of FS and GS of a 32-bit enclave whole pages. SDM 3D, "EADD",
/// "EACCEPT", Operation.
inline bool is_legal_tcs(const Tcs& tcs, const Secs& secs) {
    // The two words are reserved without CET.
    const bool reserved_is_zero = tcs.ocetssa == 0 && tcs.prevssp == 0 && is_zero(tcs.reserved_88);
    const auto is_page_limit = [](u32 limit) { return (limit & 0xfff) == 0xfff; };
    return reserved_is_zero && (secs.attributes.flags.has(SgxAttribute::mode64bit) ||
                                (is_page_limit(tcs.fslimit) && is_page_limit(tcs.gslimit)));
}

}  // namespace postern::cpu::sgx
