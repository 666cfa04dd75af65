// SPDX-License-Identifier: Apache-2.0
// Taking pages of the pool and giving them back.
#include "hv/memory/page_allocator.h"

#include <cstring>

#include "base/bits.h"

namespace postern::hv {

Result<Hpa> PageAllocator::take() {
    const bool again = state_.given_back != 0;
    if (again ? !owns(state_.first) : state_.used == pool_.pages) return Failed{};
    const Hpa page = again ? Hpa{state_.first} : pool_.base + state_.used * page_size;
    u8* const bytes = port_->page(page);
    if (bytes == nullptr) return Failed{};
    if (again) {
        std::memcpy(&state_.first, bytes, sizeof state_.first);
        --state_.given_back;
    } else {
        ++state_.used;
    }
    std::memset(bytes, 0, page_size);
    return page;
}

void PageAllocator::give_back(Hpa page) {
    u8* const bytes = port_->page(page);
    if (bytes == nullptr) return;
    std::memcpy(bytes, &state_.first, sizeof state_.first);
    state_.first = page.raw();
    ++state_.given_back;
}

bool PageAllocator::owns(u64 page) const {
    return is_aligned(page, page_size) && page - pool_.base.raw() < state_.used * page_size;
}

bool PageAllocator::could_own(u64 page) const {
    return is_aligned(page, page_size) && page - pool_.base.raw() < pool_.pages * page_size;
}

bool PageAllocator::restore(const State& state) {
    if (state.used > pool_.pages || state.given_back > state.used) return false;
    const State before = state_;
    state_ = state;
    if (state.given_back == 0 ? state.first == 0 : owns(state.first)) return true;
    state_ = before;
    return false;
}

}  // namespace postern::hv
