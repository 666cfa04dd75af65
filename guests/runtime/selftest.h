// SPDX-License-Identifier: Apache-2.0
// The self-test: what the rows rest on, on a processor without SGX.
#pragma once

namespace postern::guests {

[[noreturn]] void run_selftest();

/// SHA-256 of the page that the enclave's data page would be.
void print_selftest_digest();

}  // namespace postern::guests
