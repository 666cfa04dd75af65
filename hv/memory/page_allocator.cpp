// SPDX-License-Identifier: Apache-2.0
// The pool's one operation.
#include "hv/memory/page_allocator.h"

#include <cstring>

namespace postern::hv {

Result<Hpa> PageAllocator::take() {
    if (used_ == pool_.pages) return Failed{};
    const Hpa page = pool_.base + used_ * page_size;
    u8* const bytes = port_->page(page);
    if (bytes == nullptr) return Failed{};
    std::memset(bytes, 0, page_size);
    ++used_;
    return page;
}

}  // namespace postern::hv
