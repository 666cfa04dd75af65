// SPDX-License-Identifier: Apache-2.0
// Signs a guest's enclave: replays the measurement that ECREATE, EADD and EEXTEND will make of
// enclave_layout.h, and writes the SIGSTRUCT for it and the signer's hash (MRSIGNER). The same
// input gives the same bytes. Offsets and constants are its own, not arch/'s, on purpose: the
// guest is what the processor is judged by, and a mistake must not agree with itself.
//
//   sign_enclave PLAN KEY.pem ENCLAVE.bin OUT.sigstruct OUT.signer
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "guests/enclave_layout.h"

namespace {

using namespace postern;
using namespace postern::guests;

template <auto release>
struct Release {
    template <class T>
    void operator()(T* object) const {
        release(object);
    }
};
using Digest = std::unique_ptr<EVP_MD_CTX, Release<EVP_MD_CTX_free>>;
using Key = std::unique_ptr<EVP_PKEY, Release<EVP_PKEY_free>>;
using Number = std::unique_ptr<BIGNUM, Release<BN_free>>;
using Scratch = std::unique_ptr<BN_CTX, Release<BN_CTX_free>>;
using File = std::unique_ptr<std::FILE, Release<std::fclose>>;

using Bytes = std::vector<u8>;
using Hash = std::array<u8, 32>;

constexpr size_t modulus_size = 384;

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "sign_enclave: %s\n", what.c_str());
    std::exit(2);
}

void expect(bool right, std::string_view what) {
    if (!right) fail("OpenSSL failed: " + std::string{what});
}

Bytes read_file(const std::string& name) {
    std::ifstream file{name, std::ios::binary};
    if (!file) fail(name + ": cannot be read");
    return {std::istreambuf_iterator<char>{file}, {}};
}

void write_file(const std::string& name, std::span<const u8> bytes) {
    std::ofstream file{name, std::ios::binary};
    for (const u8 byte : bytes) file.put(static_cast<char>(byte));
    if (!file.flush()) fail(name + ": cannot be written");
}

/// A message that grows by fields in little-endian order.
class Message {
public:
    Message& text(std::string_view from) {
        bytes_.insert(bytes_.end(), from.begin(), from.end());
        return *this;
    }
    Message& number(u64 value, size_t size) {
        for (size_t i = 0; i < size; ++i) bytes_.push_back(static_cast<u8>(value >> (8 * i)));
        return *this;
    }
    Message& append(std::span<const u8> from) {
        bytes_.insert(bytes_.end(), from.begin(), from.end());
        return *this;
    }
    Message& zeros_to(size_t size) {
        if (bytes_.size() > size) fail("a field stands too far back");
        bytes_.resize(size);
        return *this;
    }
    [[nodiscard]] const Bytes& bytes() const { return bytes_; }

private:
    Bytes bytes_;
};

Hash sha256(std::span<const u8> bytes) {
    Hash hash;
    expect(EVP_Digest(bytes.data(), bytes.size(), hash.data(), nullptr, EVP_sha256(), nullptr) == 1,
           "EVP_Digest");
    return hash;
}

/// MRENCLAVE as it grows. SDM 3D, "ECREATE", "EADD", "EEXTEND", Operation.
class Measurement {
public:
    explicit Measurement(u64 size) {
        expect(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1, "EVP_DigestInit_ex");
        Message message;
        message.text("ECREATE").zeros_to(8).number(layout::ssa_frame_pages, 4);
        update(message.number(size, 8).zeros_to(64).bytes());
    }
    void add(u64 offset, u64 secinfo_flags) {
        Message message;
        message.text("EADD").zeros_to(8).number(offset, 8).number(secinfo_flags, 8);
        update(message.zeros_to(64).bytes());
    }
    void extend(u64 offset, std::span<const u8> content) {
        Message message;
        update(message.text("EEXTEND").zeros_to(8).number(offset, 8).zeros_to(64).bytes());
        update(content);
    }
    Hash finish() {
        Hash hash;
        expect(EVP_DigestFinal_ex(context_.get(), hash.data(), nullptr) == 1, "EVP_DigestFinal_ex");
        return hash;
    }

private:
    void update(std::span<const u8> bytes) {
        expect(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1,
               "EVP_DigestUpdate");
    }

    Digest context_{EVP_MD_CTX_new()};
};

void measure_page(Measurement& measurement, const layout::Region& region, u64 index,
                  const Bytes& image) {
    constexpr size_t chunk = 256;
    std::array<u8, layout::page> content;
    layout::fill_page(region, index, image.data(), image.size(), content.data());
    const u64 offset = region.offset + index * layout::page;
    measurement.add(offset, region.secinfo);
    if (!region.measured) return;
    for (size_t at = 0; at < content.size(); at += chunk)
        measurement.extend(offset + at, std::span{content}.subspan(at, chunk));
}

Hash measure(const layout::Plan& plan, const Bytes& image) {
    if (image.size() > layout::code.pages * layout::page)
        fail("the enclave's image is larger than its region");
    Measurement measurement{plan.size};
    for (const layout::Region& region : std::span{plan.regions}.first(plan.region_count))
        for (u64 i = 0; i < region.pages; ++i) measure_page(measurement, region, i, image);
    return measurement.finish();
}

Key read_key(const std::string& name) {
    const File file{std::fopen(name.c_str(), "r")};
    if (!file) fail(name + ": cannot be read");
    Key key{PEM_read_PrivateKey(file.get(), nullptr, nullptr, nullptr)};
    if (!key || EVP_PKEY_get_bits(key.get()) != modulus_size * 8)
        fail(name + ": not a private RSA key of 3072 bits");
    return key;
}

Number key_number(const Key& key, const char* name) {
    BIGNUM* number = nullptr;
    expect(EVP_PKEY_get_bn_param(key.get(), name, &number) == 1, name);
    return Number{number};
}

Bytes little_endian(const Number& number) {
    Bytes bytes(modulus_size);
    expect(BN_bn2lebinpad(number.get(), bytes.data(), modulus_size) == modulus_size,
           "BN_bn2lebinpad");
    return bytes;
}

Number sign(const Key& key, const Bytes& message) {
    const Digest context{EVP_MD_CTX_new()};
    Bytes signature(modulus_size);
    size_t size = signature.size();
    expect(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
               EVP_DigestSign(context.get(), signature.data(), &size, message.data(),
                              message.size()) == 1 &&
               size == modulus_size,
           "EVP_DigestSign");
    return Number{BN_bin2bn(signature.data(), modulus_size, nullptr)};
}

struct Quotients {
    Number q1{BN_new()};
    Number q2{BN_new()};
};

/// Q1 = floor(S^2 / M), Q2 = floor((S^3 - Q1*S*M) / M), so that the processor need not divide.
/// SDM 3D, "Enclave Signature Structure (SIGSTRUCT)".
Quotients quotients(const Number& signature, const Number& modulus) {
    const Scratch scratch{BN_CTX_new()};
    const Number product{BN_new()}, remainder{BN_new()};
    Quotients result;
    expect(BN_sqr(product.get(), signature.get(), scratch.get()) == 1 &&
               BN_div(result.q1.get(), remainder.get(), product.get(), modulus.get(),
                      scratch.get()) == 1 &&
               BN_mul(product.get(), remainder.get(), signature.get(), scratch.get()) == 1 &&
               BN_div(result.q2.get(), nullptr, product.get(), modulus.get(), scratch.get()) == 1,
           "the signature's quotients");
    return result;
}

/// Bytes 0 to 127 of a SIGSTRUCT: the first part of what is signed.
Bytes signed_header() {
    constexpr u64 date = 0x2026'0101;
    Message message;
    message.number(0x6, 4).number(0xe1, 4).number(0x1'0000, 4).number(0, 4);
    message.number(0, 4).number(date, 4);
    message.number(0x101, 4).number(0x60, 4).number(0x60, 4).number(1, 4);
    return message.zeros_to(128).bytes();
}

/// Bytes 900 to 1027: the second part of what is signed. Every attribute has to match.
Bytes signed_body(const layout::Plan& plan, const Hash& mrenclave) {
    constexpr u64 all = ~u64{0};
    constexpr u64 all_but_init = all - 1;
    Message message;
    message.number(plan.miscselect, 4).number(all, 4);  // MISCSELECT, MISCMASK
    message.zeros_to(928 - 900);                        // CET_ATTRIBUTES, ISVFAMILYID
    message.number(plan.attributes, 8).number(layout::xfrm, 8);
    message.number(all_but_init, 8).number(all, 8);
    message.append(mrenclave).zeros_to(1024 - 900);
    return message.number(1, 2).number(1, 2).bytes();  // ISVPRODID, ISVSVN
}

Bytes make_sigstruct(const Key& key, const Number& modulus, const Bytes& body) {
    const Bytes header = signed_header();
    const Number signature = sign(key, Message{}.append(header).append(body).bytes());
    const Quotients q = quotients(signature, modulus);
    Message message;
    message.append(header).append(little_endian(modulus)).number(3, 4);
    message.append(little_endian(signature)).append(body).zeros_to(1040);
    return message.append(little_endian(q.q1)).append(little_endian(q.q2)).bytes();
}

const layout::Plan& find_plan(const std::string& name) {
    for (const layout::Plan* plan :
         {&layout::first_light, &layout::probe, &layout::small, &layout::large})
        if (name == plan->name) return *plan;
    fail("there is no plan of an enclave called " + name);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 6) fail("usage: sign_enclave PLAN KEY.pem ENCLAVE.bin OUT.sigstruct OUT.signer");
    const layout::Plan& plan = find_plan(argv[1]);
    const std::vector<std::string> arguments{argv + 2, argv + argc};
    const Key key = read_key(arguments[0]);
    if (!BN_is_word(key_number(key, OSSL_PKEY_PARAM_RSA_E).get(), 3))
        fail(arguments[0] + ": the public exponent is not 3");
    const Number modulus = key_number(key, OSSL_PKEY_PARAM_RSA_N);
    const Hash mrenclave = measure(plan, read_file(arguments[1]));
    const Bytes sigstruct = make_sigstruct(key, modulus, signed_body(plan, mrenclave));
    if (sigstruct.size() != 1808) fail("the SIGSTRUCT does not have 1808 bytes");
    write_file(arguments[2], sigstruct);
    write_file(arguments[3], sha256(little_endian(modulus)));
    return 0;
}
