// SPDX-License-Identifier: Apache-2.0
// Hands out the pages of the configured pool, zeroed, one after the other. None comes back:
// the tables of a guest live as long as the guest.
#pragma once

#include "base/address.h"
#include "base/result.h"
#include "hv/config.h"
#include "hv/port.h"

namespace postern::hv {

class PageAllocator {
public:
    PageAllocator(Port& port, PagePool pool) : port_{&port}, pool_{pool} {}

    [[nodiscard]] Result<Hpa> take();
    [[nodiscard]] u32 left() const { return pool_.pages - used_; }

private:
    Port* port_;
    PagePool pool_;
    u32 used_ = 0;
};

}  // namespace postern::hv
