// SPDX-License-Identifier: Apache-2.0
// AES-128-GCM, libcrypto's.
#include "cpu/sgx/seal.h"

#include <openssl/evp.h>

#include <cstdlib>
#include <memory>

namespace postern::cpu::sgx {
namespace {

struct ContextReleaser {
    void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, ContextReleaser>;

/// The 96 bits before GCM's own block counter: TMP_VER << 32 of the manual.
std::array<u8, 12> counter_of(u64 version) {
    std::array<u8, 12> counter{};
    for (unsigned n = 0; n < 8; ++n) counter[4 + n] = static_cast<u8>(version >> 8 * (7 - n));
    return counter;
}

/// libcrypto fails here only without memory or without the cipher.
void require(int done) {
    if (done != 1) std::abort();
}

Context begin(const Key& key, u64 version, const MacHeader& header, int encrypt) {
    Context context{EVP_CIPHER_CTX_new()};
    const auto counter = counter_of(version);
    require(EVP_CipherInit_ex(context.get(), EVP_aes_128_gcm(), nullptr, key.data(), counter.data(),
                              encrypt));
    int size = 0;
    require(EVP_CipherUpdate(context.get(), nullptr, &size, reinterpret_cast<const u8*>(&header),
                             sizeof header));
    return context;
}

}  // namespace

Mac seal_page(const Key& key, u64 version, const MacHeader& header, const u8* page,
              PageBytes& sealed) {
    const Context context = begin(key, version, header, 1);
    int size = 0;
    require(EVP_CipherUpdate(context.get(), sealed.data(), &size, page, page_size));
    require(EVP_CipherFinal_ex(context.get(), sealed.data() + size, &size));
    Mac mac;
    require(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, sizeof mac, mac.data()));
    return mac;
}

bool unseal_page(const Key& key, u64 version, const MacHeader& header, const PageBytes& sealed,
                 const Mac& mac, PageBytes& page) {
    const Context context = begin(key, version, header, 0);
    int size = 0;
    require(EVP_CipherUpdate(context.get(), page.data(), &size, sealed.data(), page_size));
    Mac expected = mac;
    require(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, sizeof expected,
                                expected.data()));
    return EVP_CipherFinal_ex(context.get(), page.data() + size, &size) == 1;
}

}  // namespace postern::cpu::sgx
