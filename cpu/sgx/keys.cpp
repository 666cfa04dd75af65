// SPDX-License-Identifier: Apache-2.0
// Roots by SHA-256 of a label, the seed and the domain; everything else by AES-CMAC.
#include "cpu/sgx/keys.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "cpu/sgx/measure.h"

namespace postern::cpu::sgx {
namespace {

struct MacDeleter {
    void operator()(EVP_MAC* mac) const { EVP_MAC_free(mac); }
    void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};

Digest secret(const System& system, KeyDomain domain) {
    constexpr std::string_view label = "Postern SGX root";
    std::array<u8, 32> message{};
    std::ranges::copy(label, message.begin());
    for (unsigned n = 0; n < 8; ++n)
        message[label.size() + n] = static_cast<u8>(system.sgx_seed >> 8 * n);
    message[label.size() + 8] = static_cast<u8>(domain);
    return digest_of(message.data(), message.size());
}

/// HARDCODED_PKCS1_5_PADDING: what precedes a SHA-256 digest in a message of 384 bytes. SDM 3D,
/// "EGETKEY".
constexpr std::array<u8, 352> pkcs_padding() {
    constexpr std::array<u8, 20> tail{0x00, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48,
                                      0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
    std::array<u8, 352> padding{};
    padding.fill(0xff);
    padding[0] = 0x00;
    padding[1] = 0x01;
    std::ranges::copy(tail, padding.end() - tail.size());
    return padding;
}

}  // namespace

Key root_key(const System& system, KeyDomain domain) {
    const Digest digest = secret(system, domain);
    Key key;
    std::copy_n(digest.begin(), key.size(), key.begin());
    return key;
}

KeyId report_keyid(const System& system) { return secret(system, KeyDomain::report_keyid); }

KeyDependencies start_dependencies(const System& system, KeyName name) {
    KeyDependencies d{};
    d.keyname = name;
    d.seal_key_fuses = root_key(system, KeyDomain::seal_fuses);
    d.padding = pkcs_padding();
    return d;
}

KeyDependencies report_dependencies(const System& system, const Targetinfo& target,
                                    const KeyId& keyid) {
    KeyDependencies d = start_dependencies(system, KeyName::report_key);
    d.attributes = target.attributes;
    d.mrenclave = target.measurement;
    d.keyid = keyid;
    d.cpusvn = cpusvn;
    d.miscselect = target.miscselect;
    d.configid = target.configid;
    d.configsvn = target.configsvn;
    return d;
}

KeyDependencies launch_dependencies(const System& system, const LaunchIdentity& identity) {
    KeyDependencies d = start_dependencies(system, KeyName::einittoken_key);
    d.isvprodid = identity.isvprodid;
    d.isvsvn = identity.isvsvn;
    d.attributes = identity.attributes;
    d.mrsigner = identity.mrsigner;
    d.keyid = identity.keyid;
    d.cpusvn = identity.cpusvn;
    d.miscselect = identity.miscselect;
    return d;
}

Key derive_key(const System& system, const KeyDependencies& dependencies) {
    return cmac(root_key(system, KeyDomain::derivation), &dependencies, sizeof dependencies);
}

Key cmac(const Key& key, const void* message, size_t size) {
    const std::unique_ptr<EVP_MAC, MacDeleter> mac{EVP_MAC_fetch(nullptr, "CMAC", nullptr)};
    const std::unique_ptr<EVP_MAC_CTX, MacDeleter> context{EVP_MAC_CTX_new(mac.get())};
    char cipher[] = "AES-128-CBC";
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher, 0),
        OSSL_PARAM_construct_end()};
    Key code;
    size_t length = 0;
    const bool made = EVP_MAC_init(context.get(), key.data(), key.size(), parameters) == 1 &&
                      EVP_MAC_update(context.get(), static_cast<const u8*>(message), size) == 1 &&
                      EVP_MAC_final(context.get(), code.data(), &length, code.size()) == 1;
    // A libcrypto without AES: no key is better than one that everybody can guess.
    if (!made || length != code.size()) std::abort();
    return code;
}

}  // namespace postern::cpu::sgx
