// SPDX-License-Identifier: Apache-2.0
// What is wrong with something a user gave us, in the three parts of the one line that the
// program prints: what is wrong, where, and what would be right.
#pragma once

#include <expected>
#include <string>

namespace postern::platform {

struct Error {
    std::string what;
    std::string where;
    std::string right;
};

template <class T>
using Expected = std::expected<T, Error>;

inline std::unexpected<Error> error(std::string what, std::string where, std::string right) {
    return std::unexpected<Error>{Error{std::move(what), std::move(where), std::move(right)}};
}

}  // namespace postern::platform
