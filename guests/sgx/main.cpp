// SPDX-License-Identifier: Apache-2.0
// Our own program for Linux's SGX driver.
//
//   sgx walk STEP ...                    steps of an enclave's life (walk.cpp), each a line
//   sgx oversubscribe ENCLAVES ROUNDS    that many enclaves of 12 MiB, used in turns
//   sgx keys                             a report and keys
//
// Status: 0 all is well, 1 something failed, 2 bad usage.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guests/sgx/commands.h"

namespace {

int usage() {
    fputs("sgx: usage: sgx walk STEP ... | sgx oversubscribe ENCLAVES ROUNDS | sgx keys\n", stderr);
    return 2;
}

unsigned number(const char* word) { return static_cast<unsigned>(strtoul(word, nullptr, 10)); }

}  // namespace

int main(int count, char** words) {
    const char* const command = count >= 2 ? words[1] : "";
    if (strcmp(command, "walk") == 0) return sgx::walk(words + 2);
    if (strcmp(command, "oversubscribe") == 0 && count == 4)
        return sgx::oversubscribe(number(words[2]), number(words[3]));
    if (strcmp(command, "keys") == 0 && count == 2) return sgx::keys();
    return usage();
}
