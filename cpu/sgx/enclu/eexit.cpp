// SPDX-License-Identifier: Apache-2.0
// ENCLU[EEXIT].
#include "cpu/event/event.h"
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/thread.h"

namespace postern::cpu::sgx {

/// Leaves the enclave by choice. SDM 3D, "EEXIT", Operation. In: RBX = target. Out: RCX = AEP.
/// The other registers keep their values: clearing secrets is the enclave's duty, not the
/// processor's.
Result<> eexit(Cpu& c) {
    const u64 target = c.gpr[rbx];
    TRY(check_target(c, target));

    // From here on nothing can fault.
    c.next_rip = target;
    c.gpr[rcx] = c.enclave.aep;
    const bool trap = !c.enclave.debug_opt_in && c.enclave.outer_tf;
    leave(c);
    if (trap) c.event.trap_pending = true;
    return Done{};
}

}  // namespace postern::cpu::sgx
