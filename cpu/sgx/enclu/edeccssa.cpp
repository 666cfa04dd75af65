// SPDX-License-Identifier: Apache-2.0
// ENCLU[EDECCSSA].
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/operand.h"
#include "cpu/sgx/thread.h"

namespace postern::cpu::sgx {

/// Makes the SSA frame below the current one the current one, as an enclave does that has restored
/// what the lower frame holds by itself. SDM 3D, "EDECCSSA", Operation. No operands.
Result<> edeccssa(Cpu& c) {
    if (meets_conflict(c, EncluLeaf::edeccssa)) return general_protection(c);
    Tcs& tcs = c.system->epc->tcs(c.enclave.tcs_page);
    if (tcs.cssa == 0) return general_protection(c);
    Thread thread{.tcs_page = c.enclave.tcs_page,
                  .secs_page = c.enclave.secs_page,
                  .ssa_gpr = 0,
                  .ssa_xsave = {}};
    TRY(cache_frame(c, thread, tcs.cssa - 1));

    // From here on nothing can fault.
    --tcs.cssa;
    use_frame(c.enclave, thread);
    return Done{};
}

}  // namespace postern::cpu::sgx
