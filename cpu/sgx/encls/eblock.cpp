// SPDX-License-Identifier: Apache-2.0
// ENCLS[EBLOCK].
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/operand.h"

namespace postern::cpu::sgx {

/// Lets no new translation lead to a page; those that processors hold stay until they leave the
/// enclave, which ETRACK and EWB find out. SDM 3D, "EBLOCK", Operation. Of the two conflicts that
/// the manual names, a requested one is the ETRACK that is under way.
/// In: RCX = the page. Out: RAX.
Result<> eblock(Cpu& c) {
    Epc& epc = *c.system->epc;
    TRY(require_alignment(c, page_size, c.gpr[rcx]));
    const u64 page = TRY(epc_operand(c, c.gpr[rcx], Access::write)) / page_size;
    EpcmEntry& entry = epc.entries[page];
    if (!entry.valid) return complete(c, SgxError::pg_invld);
    if (!is_child(entry.page_type))
        return complete_with_information(
            c, entry.page_type == PageType::secs ? SgxError::pg_is_secs : SgxError::notblockable);
    if (entry.blocked) return complete_with_information(c, SgxError::blkstate);
    if (meets_conflict(c, EnclsLeaf::eblock)) return complete(c, SgxError::entryepoch_locked);

    // From here on nothing can fail.
    entry.blocked = true;
    entry.tracking_epoch = epc.hidden(entry.enclave_secs).tracking.epoch;
    return complete(c, SgxError::success);
}

}  // namespace postern::cpu::sgx
