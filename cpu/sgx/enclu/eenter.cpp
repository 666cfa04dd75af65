// SPDX-License-Identifier: Apache-2.0
// ENCLU[EENTER].
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/operand.h"
#include "cpu/sgx/thread.h"

namespace postern::cpu::sgx {

/// Enters an enclave at its entry point. SDM 3D, "EENTER", Operation.
/// In: RBX = TCS, RCX = AEP. Out: RAX = TCS.CSSA, RCX = the address after the instruction.
Result<> eenter(Cpu& c) {
    Thread thread;
    TRY(find_thread(c, EncluLeaf::eenter, thread));
    const Tcs& tcs = c.system->epc->tcs(thread.tcs_page);
    const Start start = entry_point(c, thread);
    TRY(check_segments(c, thread, start));
    TRY(check_enclave(c, thread));
    if (tcs.cssa >= tcs.nssa) return general_protection(c);
    TRY(cache_frame(c, thread, tcs.cssa));
    TRY(check_target(c, start.target));
    TRY(check_idle(c, thread));

    // From here on nothing can fault.
    enter_at_entry_point(c, thread, start);
    return Done{};
}

}  // namespace postern::cpu::sgx
