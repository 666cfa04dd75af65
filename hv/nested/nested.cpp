// SPDX-License-Identifier: Apache-2.0
#include "hv/nested/nested.h"

#include "hv/vcpu.h"

namespace postern::hv {

bool Nested::create() { return true; }

Nested::Entered Nested::enter(bool) {
    return {.next = vcpu_.stop(StopReason::not_implemented, "a nested guest")};
}

}  // namespace postern::hv
