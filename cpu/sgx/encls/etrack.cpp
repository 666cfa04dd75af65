// SPDX-License-Identifier: Apache-2.0
// ENCLS[ETRACK].
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/operand.h"

namespace postern::cpu::sgx {

/// Begins to watch the processors that are inside an enclave leave it. SDM 3D, "ETRACK",
/// Operation. In: RCX = the SECS. Out: RAX.
Result<> etrack(Cpu& c) {
    Epc& epc = *c.system->epc;
    TRY(require_alignment(c, page_size, c.gpr[rcx]));
    const u64 page = TRY(epc_operand(c, c.gpr[rcx], Access::write)) / page_size;
    const EpcmEntry& entry = epc.entries[page];
    if (!entry.valid || entry.page_type != PageType::secs)
        return raise_epc_fault(c, c.gpr[rcx], Access::write);
    if (meets_conflict(c, EnclsLeaf::etrack)) return complete(c, SgxError::prev_trk_incmpl);
    const bool begun = begin_epoch(epc.hidden(page).tracking);
    return complete(c, begun ? SgxError::success : SgxError::prev_trk_incmpl);
}

}  // namespace postern::cpu::sgx
