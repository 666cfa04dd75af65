// SPDX-License-Identifier: Apache-2.0
// A value, or the fact that there is none. What went wrong is kept by whoever failed (the
// processor: its pending fault), so that a Result travels in two registers.
#pragma once

#include <type_traits>

#include "base/types.h"

namespace postern {

struct Done {};

/// "A fault is pending": converts into any Result.
struct Failed {};

template <class T = Done>
class [[nodiscard]] Result {
public:
    constexpr Result(T value) : value_{value}, ok_{true} {}  // NOLINT: implicit by design
    constexpr Result(Failed) : value_{}, ok_{false} {}       // NOLINT: implicit by design

    [[nodiscard]] constexpr bool ok() const { return ok_; }
    explicit constexpr operator bool() const { return ok_; }
    /// Meaningful only when ok().
    constexpr T value() const { return value_; }

private:
    T value_;
    bool ok_;
};

static_assert(std::is_trivially_copyable_v<Result<u64>> && sizeof(Result<u64>) <= 16);
static_assert(std::is_trivially_copyable_v<Result<>> && sizeof(Result<>) <= 8);

}  // namespace postern

/// Unwrap, or return the failure. Do not nest one in another's argument (it would shadow).
#define TRY(expr)                       \
    __extension__({                     \
        const auto try_ = (expr);       \
        if (!try_.ok()) [[unlikely]]    \
            return ::postern::Failed{}; \
        try_.value();                   \
    })
