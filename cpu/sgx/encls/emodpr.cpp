// SPDX-License-Identifier: Apache-2.0
// ENCLS[EMODPR].
#include "arch/sgx/secinfo.h"
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/own_page.h"

namespace postern::cpu::sgx {

/// Takes permissions away from an enclave's page; the enclave accepts that once nobody can hold
/// an older translation. SDM 3D, "EMODPR", Operation.
/// In: RBX = SECINFO, RCX = the page. Out: RAX.
Result<> emodpr(Cpu& c) {
    TRY(require_alignment(c, secinfo_alignment, c.gpr[rbx]));
    TRY(require_alignment(c, page_size, c.gpr[rcx]));
    const u64 page = TRY(epc_page_operand(c, c.gpr[rcx], Access::write));
    Secinfo secinfo;
    TRY(load_operand(c, c.gpr[rbx], secinfo));
    if (!secinfo.reserved_is_zero() || is_write_only(secinfo.flags)) return general_protection(c);
    const Epc& epc = *c.system->epc;
    EpcmEntry& entry = c.system->epc->entries[page];
    if (!entry.valid) return raise_epc_fault(c, c.gpr[rcx], Access::write);
    if (meets_conflict(c, EnclsLeaf::emodpr)) return complete(c, SgxError::epc_page_conflict);
    if (entry.pending || entry.modified) return complete(c, SgxError::page_not_modifiable);
    if (entry.page_type != PageType::reg) return raise_epc_fault(c, c.gpr[rcx], Access::write);
    if (!epc.secs(entry.enclave_secs).attributes.flags.has(SgxAttribute::init))
        return general_protection(c);

    // From here on nothing can fault.
    entry.pr = true;
    entry.r = entry.r && secinfo.flags.has(SecinfoFlag::r);
    entry.w = entry.w && secinfo.flags.has(SecinfoFlag::w);
    entry.x = entry.x && secinfo.flags.has(SecinfoFlag::x);
    entry.tracking_epoch = epc.hidden(entry.enclave_secs).tracking.epoch;
    return complete(c, SgxError::success);
}

}  // namespace postern::cpu::sgx
