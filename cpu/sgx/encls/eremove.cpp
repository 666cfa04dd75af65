// SPDX-License-Identifier: Apache-2.0
// ENCLS[EREMOVE].
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/operand.h"

namespace postern::cpu::sgx {
namespace {

bool outlives_its_threads(const EpcmEntry& entry) {
    return entry.page_type == PageType::va ||
           (entry.page_type == PageType::trim && !entry.modified);
}

/// Why a valid page cannot go, or success.
SgxError obstacle(Epc& epc, u64 page) {
    const EpcmEntry& entry = epc.entries[page];
    if (outlives_its_threads(entry)) return SgxError::success;
    if (entry.page_type == PageType::secs)
        return epc.hidden(page).children != 0 ? SgxError::child_present : SgxError::success;
    return epc.hidden(entry.enclave_secs).active_threads != 0 ? SgxError::enclave_act
                                                              : SgxError::success;
}

}  // namespace

/// Takes a page out of its enclave; its content stays until the page is used again. SDM 3D,
/// "EREMOVE", Operation. (The pseudo-code's first test would leave a trimmed page valid.)
/// In: RCX = the page. Out: RAX.
Result<> eremove(Cpu& c) {
    Epc& epc = *c.system->epc;
    TRY(require_alignment(c, page_size, c.gpr[rcx]));
    const u64 page = TRY(epc_operand(c, c.gpr[rcx], Access::write)) / page_size;
    if (meets_conflict(c, EnclsLeaf::eremove)) return general_protection(c);
    EpcmEntry& entry = epc.entries[page];
    if (!entry.valid) return complete(c, SgxError::success);
    const SgxError status = obstacle(epc, page);
    if (status != SgxError::success) return complete(c, status);

    // From here on nothing can fail.
    if (is_child(entry.page_type)) --epc.hidden(entry.enclave_secs).children;
    entry.valid = false;
    return complete(c, SgxError::success);
}

}  // namespace postern::cpu::sgx
