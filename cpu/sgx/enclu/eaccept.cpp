// SPDX-License-Identifier: Apache-2.0
// ENCLU[EACCEPT].
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/own_page.h"
#include "cpu/sgx/tcs_content.h"

namespace postern::cpu::sgx {
namespace {

/// Is this something to accept: a page that was added or restricted, or one of a new type?
constexpr bool is_legal_request(SecinfoFlags flags) {
    using enum SecinfoFlag;
    switch (page_type(flags)) {
        case PageType::reg: return flags.has_any({pr, pending}) && !flags.has(modified);
        case PageType::tcs:
        case PageType::trim: return flags.has(modified) && !flags.has_any({pr, pending});
        default: return false;
    }
}

/// The enclave's, and of a type that can be accepted. At which address is compared later.
bool is_acceptable(const Enclave& enclave, const EpcmEntry& entry) {
    const bool type_fits = entry.page_type == PageType::reg || entry.page_type == PageType::tcs ||
                           entry.page_type == PageType::trim;
    return entry.valid && !entry.blocked && type_fits && entry.enclave_secs == enclave.secs_page;
}

/// PR is not compared.
bool matches(const EpcmEntry& entry, u64 linear, SecinfoFlags flags) {
    using enum SecinfoFlag;
    return entry.enclave_address == linear && entry.pending == flags.has(pending) &&
           entry.modified == flags.has(modified) && entry.r == flags.has(r) &&
           entry.w == flags.has(w) && entry.x == flags.has(x) &&
           entry.page_type == page_type(flags);
}

/// May some processor still hold a translation from before the change? Nobody ever had one of a
/// page that is new.
bool awaits_tracking(const Epc& epc, const EpcmEntry& entry) {
    return (entry.pr || entry.modified) &&
           !is_tracked(epc.hidden(entry.enclave_secs).tracking, entry.tracking_epoch);
}

/// A thread that nobody has used yet.
bool is_fresh_tcs(const Tcs& tcs, const Secs& secs) {
    return is_legal_tcs(tcs, secs) && !tcs.flags.has(TcsFlag::dbgoptin) && tcs.cssa < tcs.nssa &&
           tcs.aep == 0 && tcs.state == TcsState::inactive;
}

}  // namespace

/// The enclave agrees with what the operating system did to one of its pages. SDM 3D, "EACCEPT",
/// Operation. In: RBX = SECINFO, RCX = the page. Out: RAX.
Result<> eaccept(Cpu& c) {
    const u64 linear = operand_linear(c, c.gpr[rcx]);
    const u64 secinfo_linear = operand_linear(c, c.gpr[rbx]);
    TRY(require_own_address(c, secinfo_linear, secinfo_alignment));
    const u64 secinfo_offset = TRY(epc_operand(c, secinfo_linear, Access::read));
    Secinfo secinfo;
    TRY(load_own_secinfo(c, secinfo_linear, secinfo_offset, secinfo));
    TRY(require_own_address(c, linear, page_size));
    const u64 page = TRY(epc_page_operand(c, linear, Access::read));
    if (!is_legal_request(secinfo.flags)) return general_protection(c);
    const Epc& epc = *c.system->epc;
    EpcmEntry& entry = c.system->epc->entries[page];
    if (!is_acceptable(c.enclave, entry)) return raise_epc_fault(c, linear, Access::read);
    if (meets_conflict(c, EncluLeaf::eaccept)) return complete(c, SgxError::epc_page_conflict);
    if (!matches(entry, linear, secinfo.flags))
        return complete(c, SgxError::page_attributes_mismatch);
    if (awaits_tracking(epc, entry)) return complete(c, SgxError::not_tracked);
    if (entry.page_type == PageType::tcs &&
        !is_fresh_tcs(epc.tcs(page), epc.secs(entry.enclave_secs)))
        return general_protection(c);

    // From here on nothing can fault.
    entry.pending = false;
    entry.modified = false;
    entry.pr = false;
    return complete(c, SgxError::success);
}

}  // namespace postern::cpu::sgx
