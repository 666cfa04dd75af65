// SPDX-License-Identifier: Apache-2.0
// ENCLS[EMODT].
#include "arch/sgx/secinfo.h"
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/own_page.h"

namespace postern::cpu::sgx {
namespace {

/// A regular page can become anything that EMODT makes; a TCS can only be trimmed.
bool can_become(PageType from, PageType to) {
    return from == PageType::reg || (from == PageType::tcs && to == PageType::trim);
}

void change_type(EpcmEntry& entry, PageType type) {
    entry.page_type = type;
    entry.pr = false;
    entry.modified = true;
    entry.r = false;
    entry.w = false;
    entry.x = false;
}

}  // namespace

/// Makes an enclave's page a TCS, or one that is on its way out; the enclave must accept that.
/// SDM 3D, "EMODT", Operation. In: RBX = SECINFO, RCX = the page. Out: RAX.
Result<> emodt(Cpu& c) {
    TRY(require_alignment(c, secinfo_alignment, c.gpr[rbx]));
    TRY(require_alignment(c, page_size, c.gpr[rcx]));
    const u64 page = TRY(epc_page_operand(c, c.gpr[rcx], Access::write));
    Secinfo secinfo;
    TRY(load_operand(c, c.gpr[rbx], secinfo));
    const PageType type = page_type(secinfo.flags);
    if (!secinfo.reserved_is_zero() || (type != PageType::tcs && type != PageType::trim))
        return general_protection(c);
    const Epc& epc = *c.system->epc;
    EpcmEntry& entry = c.system->epc->entries[page];
    if (!entry.valid) return raise_epc_fault(c, c.gpr[rcx], Access::write);
    if (meets_conflict(c, EnclsLeaf::emodt)) return complete(c, SgxError::epc_page_conflict);
    if (!can_become(entry.page_type, type)) return raise_epc_fault(c, c.gpr[rcx], Access::write);
    if (entry.pending || entry.modified) return complete(c, SgxError::page_not_modifiable);
    if (!epc.secs(entry.enclave_secs).attributes.flags.has(SgxAttribute::init))
        return general_protection(c);

    // From here on nothing can fault.
    change_type(entry, type);
    entry.tracking_epoch = epc.hidden(entry.enclave_secs).tracking.epoch;
    return complete(c, SgxError::success);
}

}  // namespace postern::cpu::sgx
