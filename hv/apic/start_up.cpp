// SPDX-License-Identifier: Apache-2.0
// INIT and the start-up message, as far as registers go: not there yet.
#include "hv/vcpu.h"

namespace postern::hv {

void Vcpu::reset_by_init() { stop(StopReason::not_implemented, "INIT of a virtual processor"); }
void Vcpu::start_up(u8 vector) {
    stop(StopReason::not_implemented, "the start of a further virtual processor", vector);
}

}  // namespace postern::hv
