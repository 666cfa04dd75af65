// SPDX-License-Identifier: Apache-2.0
// The enclave's SHA-256, run in ring 3. Apart, because it alone of the runtime uses SSE2.
#include "guests/enclave_layout.h"
#include "guests/runtime/selftest.h"
#include "guests/runtime/system.h"
#include "guests/sha256.h"

namespace postern::guests {
namespace {

u8 data_page[layout::page];

}  // namespace

void print_selftest_digest() {
    layout::fill_page(layout::data, 0, nullptr, 0, data_page);
    u8 digest[32];
    Sha256 sha;
    sha.add(data_page, sizeof data_page);
    sha.finish(digest);
    print((Line{} << "@selftest.digest=").bytes(digest, sizeof digest));
}

}  // namespace postern::guests
