// SPDX-License-Identifier: Apache-2.0
// Hands out the pages of the configured pool, zeroed. What is given back is handed out again
// first; the pages given back are a list, each with the address of the next in its first bytes.
#pragma once

#include <type_traits>

#include "base/address.h"
#include "base/result.h"
#include "hv/config.h"
#include "hv/port.h"

namespace postern::hv {

class PageAllocator {
public:
    /// What a snapshot saves; the pages themselves are saved with the memory they lie in.
    struct State {
        u32 used = 0;  // pages handed out in order, from the base
        u32 given_back = 0;
        u64 first = 0;  // of those given back; 0: none
        friend constexpr bool operator==(const State&, const State&) = default;
    };
    static_assert(std::is_trivially_copyable_v<State> && std::is_standard_layout_v<State>);

    PageAllocator(Port& port, PagePool pool) : port_{&port}, pool_{pool} {}

    /// Fails if none is left, or if the list, which a snapshot brings with the memory, leads out of
    /// the pool.
    [[nodiscard]] Result<Hpa> take();
    /// `page` came from take(), and nothing points to it any more.
    void give_back(Hpa page);
    [[nodiscard]] u32 left() const { return pool_.pages - state_.used + state_.given_back; }

    [[nodiscard]] const State& state() const { return state_; }
    /// False: it is not of a pool like this one, and nothing is changed.
    [[nodiscard]] bool restore(const State& state);
    /// A page of the pool that was handed out once; it may have been given back.
    [[nodiscard]] bool owns(u64 page) const;
    /// The same of any state.
    [[nodiscard]] bool could_own(u64 page) const;

private:
    Port* port_;
    PagePool pool_;
    State state_;
};

}  // namespace postern::hv
