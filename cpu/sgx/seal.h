// SPDX-License-Identifier: Apache-2.0
// A page outside the EPC: encrypted and authenticated with AES-GCM under a key that no software
// has. What the code must agree with itself about, and nobody else can tell, is chosen here: the
// header's layout and the use of the version as the counter.
#pragma once

#include <array>

#include "arch/sgx/secinfo.h"
#include "base/address.h"
#include "base/types.h"
#include "cpu/sgx/keys.h"

namespace postern::cpu::sgx {

using Mac = std::array<u8, 16>;
using PageBytes = std::array<u8, page_size>;

/// What the MAC covers besides the page. SDM 3D, "EWB", "ELDB/ELDU/ELDBC/ELBUC", Operation:
/// TMP_HEADER.
struct MacHeader {
    Secinfo secinfo;
    u64 eid;  // of the enclave that the page belongs to; 0 for a SECS and for a version array
    u64 linaddr;
    std::array<u8, 40> reserved;  // PCMD's
    u64 reserved_120;
};
static_assert(sizeof(MacHeader) == 128);

/// A version is used for one page only: under one key AES-GCM takes no counter twice.
Mac seal_page(const Key& key, u64 version, const MacHeader& header, const u8* page,
              PageBytes& sealed);

/// False: not what seal_page() made with this key, version and header. `page` is then not to be
/// used.
bool unseal_page(const Key& key, u64 version, const MacHeader& header, const PageBytes& sealed,
                 const Mac& mac, PageBytes& page);

}  // namespace postern::cpu::sgx
