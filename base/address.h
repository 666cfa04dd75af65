// SPDX-License-Identifier: Apache-2.0
// One address type for each address space. None converts to another or to an integer by
// itself; a crossing is always spelled out (a walk, an EPT translation, raw()).
#pragma once

#include <compare>

#include "base/types.h"

namespace postern {

inline constexpr u64 page_size = 4096;

template <class Space>
class Address {
public:
    constexpr Address() = default;
    explicit constexpr Address(u64 raw) : raw_{raw} {}

    [[nodiscard]] constexpr u64 raw() const { return raw_; }
    [[nodiscard]] constexpr Address page() const { return Address{raw_ & ~(page_size - 1)}; }
    [[nodiscard]] constexpr u64 offset() const { return raw_ & (page_size - 1); }

    friend constexpr auto operator<=>(Address, Address) = default;
    friend constexpr Address operator+(Address a, u64 n) { return Address{a.raw_ + n}; }
    friend constexpr u64 operator-(Address a, Address b) { return a.raw_ - b.raw_; }

private:
    u64 raw_ = 0;
};

using Gva = Address<struct GuestLinear>;       // what software's instructions use
using Gpa = Address<struct GuestPhysical>;     // what software's page tables produce
using L2Gpa = Address<struct NestedPhysical>;  // what an L2's page tables produce
using Hpa = Address<struct HostPhysical>;      // what EPT produces, and what RAM is indexed by

}  // namespace postern
