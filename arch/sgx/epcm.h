// SPDX-License-Identifier: Apache-2.0
// The enclave page cache map: what the processor knows of each EPC page. Its layout is the
// processor's own; this is one for all of the project.
#pragma once

#include "arch/sgx/secinfo.h"
#include "base/address.h"

namespace postern {

/// SDM 3D, "Enclave Page Cache Map (EPCM)".
struct EpcmEntry {
    u64 enclave_address;  // linear
    /// SECS tracking epoch in which EBLOCK, EMODPR or EMODT last touched the page: see
    /// cpu/sgx/tracking.h.
    u64 tracking_epoch;
    u32 enclave_secs;  // the SECS, as the index of its EPC page
    PageType page_type;
    bool valid;
    bool r;
    bool w;
    bool x;
    bool blocked;
    bool pending;
    bool modified;
    bool pr;
    u8 reserved[3];
};
static_assert(sizeof(EpcmEntry) == 32);

}  // namespace postern
