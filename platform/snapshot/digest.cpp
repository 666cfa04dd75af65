// SPDX-License-Identifier: Apache-2.0
// SHA-256 is OpenSSL's, which fails only for want of memory.
#include "platform/snapshot/digest.h"

#include <array>

#include <fmt/format.h>

#include "base/address.h"
#include "platform/snapshot/pages.h"

namespace postern::platform::snapshot {

Digest::Digest() : context_{EVP_MD_CTX_new()} {
    EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
}

void Digest::add(View bytes) { EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }

void Digest::add_sized(View bytes) {
    const u64 size = bytes.size();
    add(bytes_of(size));
    add(bytes);
}

void Digest::add_text(std::string_view text) {
    add_sized({reinterpret_cast<const u8*>(text.data()), text.size()});
}

void Digest::add_memory(const u8* memory, u64 size) {
    for (u64 at = 0; at < size; at += page_size) {
        if (is_zero_page(memory + at)) continue;
        add(bytes_of(at));
        add({memory + at, page_size});
    }
    add(bytes_of(size));
}

std::string Digest::finish() {
    std::array<u8, EVP_MAX_MD_SIZE> sum{};
    unsigned size = 0;
    EVP_DigestFinal_ex(context_.get(), sum.data(), &size);
    std::string text;
    for (unsigned n = 0; n < size; ++n) text += fmt::format("{:02x}", sum[n]);
    return text;
}

}  // namespace postern::platform::snapshot
