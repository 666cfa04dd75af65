// SPDX-License-Identifier: Apache-2.0
// `postern exec`'s own statuses, those of env(1), and an error that knows which of them it is.
#pragma once

#include <expected>
#include <utility>

#include "platform/error.h"

namespace postern::app::exec {

inline constexpr int status_limit = 124;
inline constexpr int status_failed = 125;  // Postern's own failure, bad options included
inline constexpr int status_not_executable = 126;
inline constexpr int status_not_found = 127;
inline constexpr int status_signal = 128;  // plus the signal's number

struct Refusal {
    int status;
    platform::Error error;
};

template <class T>
using Prepared = std::expected<T, Refusal>;

inline std::unexpected<Refusal> refusal(int status, std::string what, std::string where,
                                        std::string right) {
    return std::unexpected{Refusal{status, {std::move(what), std::move(where), std::move(right)}}};
}
inline std::unexpected<Refusal> failed(platform::Error error) {
    return std::unexpected{Refusal{status_failed, std::move(error)}};
}

}  // namespace postern::app::exec
