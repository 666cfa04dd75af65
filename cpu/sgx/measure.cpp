// SPDX-License-Identifier: Apache-2.0
// The running measurement, on libcrypto's compression function.
//
// EVP hides its state behind a pointer into the heap, which no snapshot and no EWB of an
// uninitialised enclave's SECS can carry. The only EVP-only way would be to keep every measured
// block (1.3 bytes for each byte of the enclave) until EINIT. SHA256_CTX is plain data, and its
// functions are declared without a deprecation mark for the API level named here.
#define OPENSSL_API_COMPAT 0x10101000L

#include "cpu/sgx/measure.h"

#include <openssl/sha.h>

#include <cstring>

namespace postern::cpu::sgx {
namespace {

static_assert(SHA256_DIGEST_LENGTH == sizeof(Digest));
static_assert(SHA256_CBLOCK == sizeof(MeasurementBlock));
static_assert(sizeof(SHA256_CTX::h) == sizeof(Measurement::h));

SHA256_CTX context_of(const Measurement& measurement) {
    SHA256_CTX context;
    SHA256_Init(&context);
    std::memcpy(context.h, measurement.h.data(), sizeof context.h);
    const u64 bits = measurement.blocks * 8 * sizeof(MeasurementBlock);
    context.Nl = static_cast<u32>(bits);
    context.Nh = static_cast<u32>(bits >> 32);
    return context;
}

}  // namespace

Measurement start_measurement() {
    SHA256_CTX context;
    SHA256_Init(&context);
    Measurement measurement{};
    std::memcpy(measurement.h.data(), context.h, sizeof context.h);
    return measurement;
}

void add_block(Measurement& measurement, const u8* block) {
    SHA256_CTX context = context_of(measurement);
    SHA256_Transform(&context, block);
    std::memcpy(measurement.h.data(), context.h, sizeof context.h);
    ++measurement.blocks;
}

Digest finish_measurement(const Measurement& measurement) {
    SHA256_CTX context = context_of(measurement);
    Digest digest;
    SHA256_Final(digest.data(), &context);
    return digest;
}

Digest digest_of(const u8* message, size_t size) {
    Digest digest;
    SHA256(message, size, digest.data());
    return digest;
}

}  // namespace postern::cpu::sgx
