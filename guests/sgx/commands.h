// SPDX-License-Identifier: Apache-2.0
// What the program does, each with its exit status: 0 all is well, 1 something failed, 2 bad usage.
#pragma once

namespace sgx {

/// Runs the steps, up to the first that fails. The end is a null pointer.
int walk(char** steps);
/// Fills so many enclaves of 12 MiB with patterns and reads them again, page by page in turns.
int oversubscribe(unsigned enclaves, unsigned rounds);
/// Prints a report that an enclave makes of itself, and its keys.
int keys();

}  // namespace sgx
