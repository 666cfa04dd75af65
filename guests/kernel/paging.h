// SPDX-License-Identifier: Apache-2.0
// The kernel's one set of page tables. The first 4 GiB are identity-mapped for ring 0 from the
// start (boot/entry.S); everything else is mapped here, in 4 KiB pages.
#pragma once

#include "base/types.h"

namespace postern::guests {

/// Paging-structure entry bits. SDM 3A, "4-Level Paging".
enum PageFlags : u64 {
    page_kernel_data = 0x8000'0000'0000'0003,  // writable, no execution
    page_user_data = 0x8000'0000'0000'0007,
    page_user_code = 0x5,
    page_user_enclave = 0x7,                   // the EPCM holds the finer permissions
    page_user_device = 0x8000'0000'0000'001f,  // uncached
};

void map_page(u64 linear, u64 physical, PageFlags flags);

}  // namespace postern::guests
