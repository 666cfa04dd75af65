// SPDX-License-Identifier: Apache-2.0
// Roots by SHA-256 of a label, the seed and the domain.
#include "cpu/sgx/keys.h"

#include <algorithm>
#include <string_view>

#include "cpu/sgx/measure.h"

namespace postern::cpu::sgx {

Key root_key(const System& system, KeyDomain domain) {
    constexpr std::string_view label = "Postern SGX root";
    std::array<u8, 32> message{};
    std::ranges::copy(label, message.begin());
    for (unsigned n = 0; n < 8; ++n)
        message[label.size() + n] = static_cast<u8>(system.sgx_seed >> 8 * n);
    message[label.size() + 8] = static_cast<u8>(domain);
    const Digest digest = digest_of(message.data(), message.size());
    Key key;
    std::copy_n(digest.begin(), key.size(), key.begin());
    return key;
}

}  // namespace postern::cpu::sgx
