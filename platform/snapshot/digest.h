// SPDX-License-Identifier: Apache-2.0
// SHA-256 over pieces that say where they end.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <openssl/evp.h>

#include "platform/snapshot/bytes.h"

namespace postern::platform::snapshot {

class Digest {
public:
    Digest();

    void add_sized(View bytes);
    void add_text(std::string_view text);
    /// Pages that are not all zero, each with its number; `size` is a multiple of a page.
    void add_memory(const u8* memory, u64 size);
    /// In hexadecimal digits; the end of it.
    std::string finish();

private:
    struct Freed {
        void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
    };
    void add(View bytes);

    std::unique_ptr<EVP_MD_CTX, Freed> context_;
};

}  // namespace postern::platform::snapshot
