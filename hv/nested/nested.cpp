// SPDX-License-Identifier: Apache-2.0
#include "hv/nested/nested.h"

#include "hv/vcpu.h"

namespace postern::hv {

bool Nested::create() { return true; }

void Nested::reset() {
    if (in_l2()) switch_to_l1();
    state_.vmxon = state_.current = none;
    state_.vmcs12 = {};
    ept_.forget_all();
}

bool Nested::restore(const State& state) {
    const auto is_flag = [](u8 value) { return value <= 1; };
    if (!is_flag(state.in_l2) || !is_flag(state.entering) || !is_flag(state.launched01) ||
        !is_flag(state.launched02) || !is_flag(state.built) || state.vmcs12.launched > 1 ||
        (state.in_l2 != 0 && (state.built == 0 || state.current == none || state.vmxon == none)))
        return false;
    state_ = state;
    return true;
}

}  // namespace postern::hv
