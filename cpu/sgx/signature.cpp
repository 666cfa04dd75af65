// SPDX-License-Identifier: Apache-2.0
// SIGSTRUCT's checks, on libcrypto's big numbers and RSA.
#include "cpu/sgx/signature.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "cpu/sgx/reserved.h"

namespace postern::cpu::sgx {
namespace {

template <auto release>
struct Releaser {
    template <class T>
    void operator()(T* object) const {
        release(object);
    }
};

using Number = std::unique_ptr<BIGNUM, Releaser<BN_free>>;
using NumberContext = std::unique_ptr<BN_CTX, Releaser<BN_CTX_free>>;
using Key = std::unique_ptr<EVP_PKEY, Releaser<EVP_PKEY_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Releaser<EVP_PKEY_CTX_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Releaser<EVP_MD_CTX_free>>;
using ParameterBuilder = std::unique_ptr<OSSL_PARAM_BLD, Releaser<OSSL_PARAM_BLD_free>>;
using Parameters = std::unique_ptr<OSSL_PARAM, Releaser<OSSL_PARAM_free>>;

using BigNumber = std::array<u8, 384>;

Number number_of(const BigNumber& little_endian) {
    constexpr int size = sizeof(BigNumber);
    return Number{BN_lebin2bn(little_endian.data(), size, nullptr)};
}

/// Q1 = floor(S^2 / M), Q2 = floor((S^3 - Q1*S*M) / M). With Q1 so, the second dividend is
/// S * (S^2 mod M).
bool has_right_quotients(const Sigstruct& sigstruct) {
    const NumberContext context{BN_CTX_new()};
    const Number modulus = number_of(sigstruct.modulus);
    const Number signature = number_of(sigstruct.signature);
    const Number product{BN_new()}, quotient{BN_new()}, remainder{BN_new()};
    const auto divide = [&](const BIGNUM* factor) {
        return BN_mul(product.get(), signature.get(), factor, context.get()) == 1 &&
               BN_div(quotient.get(), remainder.get(), product.get(), modulus.get(),
                      context.get()) == 1;
    };
    if (!divide(signature.get())) return false;
    if (BN_cmp(quotient.get(), number_of(sigstruct.q1).get()) != 0) return false;
    const Number square_modulo{BN_dup(remainder.get())};
    return divide(square_modulo.get()) &&
           BN_cmp(quotient.get(), number_of(sigstruct.q2).get()) == 0;
}

Key public_key_of(const Sigstruct& sigstruct) {
    const Number modulus = number_of(sigstruct.modulus);
    const ParameterBuilder builder{OSSL_PARAM_BLD_new()};
    OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
    OSSL_PARAM_BLD_push_uint(builder.get(), OSSL_PKEY_PARAM_RSA_E, sigstruct_exponent);
    const Parameters parameters{OSSL_PARAM_BLD_to_param(builder.get())};
    const KeyContext context{EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr)};
    EVP_PKEY* key = nullptr;
    if (EVP_PKEY_fromdata_init(context.get()) != 1 ||
        EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1)
        return nullptr;
    return Key{key};
}

std::array<u8, 256> signed_message(const Sigstruct& sigstruct) {
    static_assert(sigstruct_signed[0].size + sigstruct_signed[1].size == 256);
    std::array<u8, 256> message;
    const auto* const bytes = reinterpret_cast<const u8*>(&sigstruct);
    u8* to = message.data();
    for (const ByteRange range : sigstruct_signed) {
        std::memcpy(to, bytes + range.offset, range.size);
        to += range.size;
    }
    return message;
}

bool rsa_verifies(const Sigstruct& sigstruct) {
    const Key key = public_key_of(sigstruct);
    if (key == nullptr) return false;
    const DigestContext context{EVP_MD_CTX_new()};
    if (EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1)
        return false;
    BigNumber signature = sigstruct.signature;
    std::ranges::reverse(signature);
    const auto message = signed_message(sigstruct);
    return EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(),
                            message.size()) == 1;
}

}  // namespace

bool is_well_formed(const Sigstruct& s) {
    return s.header == sigstruct_header && (s.vendor == 0 || s.vendor == sigstruct_intel_vendor) &&
           s.header2 == sigstruct_header2 && s.exponent == sigstruct_exponent &&
           s.cet_attributes.to_raw() == 0 && s.cet_attributes_mask.to_raw() == 0 &&
           is_zero(s.reserved_44) && is_zero(s.reserved_910) && is_zero(s.reserved_992) &&
           is_zero(s.reserved_1028);
}

bool is_signed(const Sigstruct& sigstruct) {
    const bool verified = has_right_quotients(sigstruct) && rsa_verifies(sigstruct);
    ERR_clear_error();
    return verified;
}

Digest mrsigner_of(const Sigstruct& sigstruct) {
    return digest_of(sigstruct.modulus.data(), sigstruct.modulus.size());
}

}  // namespace postern::cpu::sgx
