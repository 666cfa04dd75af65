// SPDX-License-Identifier: Apache-2.0
// A report and keys, in hexadecimal. Of an enclave that may be debugged, for tests: no program that
// has a secret does this.
#include <stdio.h>
#include <string.h>

#include "guests/sgx/commands.h"
#include "guests/sgx/enclave.h"

namespace sgx {
namespace {

constexpr u64 report_size = 432, keyid_at = 384, key_size = 16;

// SDM 3D, "KEY REQUEST (KEYREQUEST)".
constexpr u64 report_key = 3, seal_key = 4;
constexpr u64 by_enclave = 1, by_signer = 2;

void print(const char* name, const u8* bytes, u64 count) {
    printf("%s: ", name);
    for (u64 i = 0; i < count; ++i) printf("%02x", bytes[i]);
    printf("\n");
}

bool print_key(const Enclave& enclave, const char* name, Call call) {
    const Outcome outcome = enclave.ask(call);
    if (!outcome.fine()) outcome.print(name);
    if (outcome.fine() && call.value != 0) printf("%s: EGETKEY says %lu\n", name, call.value);
    if (!outcome.fine() || call.value != 0) return false;
    print(name, call.bytes, key_size);
    return true;
}

}  // namespace

int keys() {
    Enclave enclave{layout::small};
    Outcome outcome = enclave.build();
    Call report{.ask = Ask::report};
    if (outcome.fine()) outcome = enclave.ask(report);
    if (!outcome.fine()) {
        outcome.print("report");
        return 1;
    }
    print("report", report.bytes, report_size);
    Call of_report{.ask = Ask::get_key, .value = report_key};
    memcpy(of_report.bytes, report.bytes + keyid_at, 32);
    const bool right = print_key(enclave, "report key", of_report) &&
                       print_key(enclave, "seal key of the enclave",
                                 {.ask = Ask::get_key, .count = by_enclave, .value = seal_key}) &&
                       print_key(enclave, "seal key of the signer",
                                 {.ask = Ask::get_key, .count = by_signer, .value = seal_key});
    return right ? 0 : 1;
}

}  // namespace sgx
