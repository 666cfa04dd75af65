// SPDX-License-Identifier: Apache-2.0
// Structs as bytes and back: only types without padding, so that equal states give equal bytes.
#pragma once

#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "base/types.h"

namespace postern::platform::snapshot {

using Bytes = std::vector<u8>;
using View = std::span<const u8>;

/// Whose value is its bytes: no padding, no floating point. (A pointer would pass; states have
/// none.)
template <class T>
concept Plain = std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T> &&
                std::has_unique_object_representations_v<T>;

template <Plain T>
View bytes_of(const T& value) {
    return {reinterpret_cast<const u8*>(&value), sizeof value};
}

/// A bool that came from a file may hold any byte.
inline bool is_truth(const bool& value) { return reinterpret_cast<const u8&>(value) <= 1; }

inline void append(Bytes& to, View bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }

/// Takes from the front of what another program may have written; never past its end.
class Cursor {
public:
    explicit Cursor(View bytes) : left_{bytes} {}

    [[nodiscard]] u64 left() const { return left_.size(); }

    /// False: there are fewer bytes left, and `value` is as it was.
    template <Plain T>
    [[nodiscard]] bool take(T& value) {
        View bytes;
        if (!take(sizeof value, bytes)) return false;
        std::memcpy(&value, bytes.data(), sizeof value);
        return true;
    }
    [[nodiscard]] bool take(u64 count, View& bytes) {
        if (count > left_.size()) return false;
        bytes = left_.first(count);
        left_ = left_.subspan(count);
        return true;
    }

private:
    View left_;
};

}  // namespace postern::platform::snapshot
