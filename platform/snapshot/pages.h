// SPDX-License-Identifier: Apache-2.0
// Memory as a snapshot holds it: in pieces of 1 MiB, zero pages left out, each piece compressed.
#pragma once

#include "platform/snapshot/bytes.h"

namespace postern::platform::snapshot {

/// `size` is a multiple of a page.
Bytes pack_pages(const u8* memory, u64 size);

/// Could pack_pages() have packed this from `size` bytes?
bool plausible_pages(View packed, u64 size);

/// Makes `memory`, a mapping of its own, what was packed. The bytes are plausible.
void restore_pages(View packed, u8* memory, u64 size);

bool is_zero_page(const u8* page);

}  // namespace postern::platform::snapshot
