// SPDX-License-Identifier: Apache-2.0
// The exit reason: a basic number and flags, two types that cannot be confused.
#pragma once

#include <array>
#include <string_view>

#include "base/types.h"

namespace postern {

/// Basic exit reasons. SDM 3D, appendix "VMX Basic Exit Reasons".
enum class BasicReason : u16 {
#define EXIT_REASON(number, name) name = number,
#include "arch/vmx/exit_reasons.def"
#undef EXIT_REASON
};

namespace detail {
inline constexpr std::array exit_reason_names{
#define EXIT_REASON(number, name) std::string_view{#name},
#include "arch/vmx/exit_reasons.def"
#undef EXIT_REASON
};

inline constexpr std::array exit_reason_numbers{
#define EXIT_REASON(number, name) u16{number},
#include "arch/vmx/exit_reasons.def"
#undef EXIT_REASON
};
}  // namespace detail

/// One above the highest basic exit reason.
inline constexpr size_t reason_limit = 86;

static_assert(detail::exit_reason_names.size() == reason_limit);
static_assert([] {
    for (size_t i = 0; i < reason_limit; ++i)
        if (detail::exit_reason_numbers[i] != i) return false;
    return true;
}());

constexpr std::string_view name_of(BasicReason reason) {
    const auto number = static_cast<size_t>(reason);
    return number < reason_limit ? detail::exit_reason_names[number] : "unknown";
}

/// Stands in records where there was no exit: VMLAUNCH or VMRESUME itself failed.
inline constexpr u32 no_exit_reason = 0xdead;

/// The exit-reason VMCS field. SDM 3C, "Basic VM-Exit Information", table "Format of Exit
/// Reason". The flag bits never mix with the number: a comparison with an integer does not
/// compile, and a switch sees only basic().
class ExitReason {
public:
    explicit constexpr ExitReason(BasicReason basic) : raw_{static_cast<u16>(basic)} {}
    static constexpr ExitReason from_vmcs(u32 raw) { return ExitReason{raw}; }
    [[nodiscard]] constexpr u32 to_vmcs() const { return raw_; }

    [[nodiscard]] constexpr BasicReason basic() const {
        return static_cast<BasicReason>(raw_ & 0xffff);
    }
    [[nodiscard]] constexpr bool busy_shadow_stack() const { return has(busy_shadow_stack_bit); }
    [[nodiscard]] constexpr bool bus_lock() const { return has(bus_lock_bit); }
    /// The exit is incident to enclave mode.
    [[nodiscard]] constexpr bool from_enclave() const { return has(enclave_bit); }
    [[nodiscard]] constexpr bool pending_mtf() const { return has(pending_mtf_bit); }
    /// From VMX root operation (an SMM VM exit).
    [[nodiscard]] constexpr bool from_root() const { return has(root_bit); }
    [[nodiscard]] constexpr bool entry_failed() const { return has(entry_failure_bit); }

    [[nodiscard]] constexpr ExitReason with_busy_shadow_stack() const {
        return with(busy_shadow_stack_bit);
    }
    [[nodiscard]] constexpr ExitReason with_bus_lock() const { return with(bus_lock_bit); }
    [[nodiscard]] constexpr ExitReason in_enclave() const { return with(enclave_bit); }
    [[nodiscard]] constexpr ExitReason with_pending_mtf() const { return with(pending_mtf_bit); }
    [[nodiscard]] constexpr ExitReason in_root() const { return with(root_bit); }
    [[nodiscard]] constexpr ExitReason with_entry_failure() const {
        return with(entry_failure_bit);
    }

    friend constexpr bool operator==(ExitReason, ExitReason) = default;

private:
    static constexpr unsigned busy_shadow_stack_bit = 25;
    static constexpr unsigned bus_lock_bit = 26;
    static constexpr unsigned enclave_bit = 27;
    static constexpr unsigned pending_mtf_bit = 28;
    static constexpr unsigned root_bit = 29;
    static constexpr unsigned entry_failure_bit = 31;

    explicit constexpr ExitReason(u32 raw) : raw_{raw} {}

    [[nodiscard]] constexpr bool has(unsigned position) const {
        return (raw_ >> position & 1) != 0;
    }
    [[nodiscard]] constexpr ExitReason with(unsigned position) const {
        return ExitReason{raw_ | 1u << position};
    }

    u32 raw_;
};

}  // namespace postern
