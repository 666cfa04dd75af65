// SPDX-License-Identifier: Apache-2.0
// One device's share of a snapshot: a name and its State as bytes.
#pragma once

#include <functional>
#include <string>

#include "platform/snapshot/bytes.h"

namespace postern::platform::snapshot {

struct Part {
    std::string name;
    u64 size = 0;
    std::function<Bytes()> save;
    /// Could `size` bytes be this device's state? Asked before anything is restored.
    std::function<bool(View)> plausible;
    std::function<void(View)> restore;
};

namespace detail {

template <class State>
State state_from(View bytes) {
    State state;
    std::memcpy(&state, bytes.data(), sizeof state);
    return state;
}

}  // namespace detail

/// Of a device with a State, state() and restore(State). A device whose state can be wrong in a
/// way that would hurt us (an index into an array of its own) says so:
/// `bool plausible(const State&)`, static or not.
template <class D>
Part part(std::string name, D& device) {
    using State = typename D::State;
    static_assert(Plain<State>, "a State has no padding: give it reserved members");
    Part p;
    p.name = std::move(name);
    p.size = sizeof(State);
    p.save = [&device] {
        const State state = device.state();
        const View bytes = bytes_of(state);
        return Bytes{bytes.begin(), bytes.end()};
    };
    p.plausible = [&device](View bytes) {
        static_cast<void>(device);
        if constexpr (requires(const State& s) { device.plausible(s); })
            return device.plausible(detail::state_from<State>(bytes));
        else
            return !bytes.empty();
    };
    p.restore = [&device](View bytes) { device.restore(detail::state_from<State>(bytes)); };
    return p;
}

}  // namespace postern::platform::snapshot
