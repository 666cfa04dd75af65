// SPDX-License-Identifier: Apache-2.0
// ENCLS[EADD].
#include <bit>
#include <cstring>

#include "arch/sgx/measurement.h"
#include "arch/sgx/pageinfo.h"
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/operand.h"
#include "cpu/sgx/tcs_content.h"

namespace postern::cpu::sgx {
namespace {

using Page = std::array<u8, page_size>;

/// Everything that PAGEINFO leads to, fetched and checked as far as it stands alone.
struct Addition {
    Pageinfo info;
    Secinfo secinfo;
    u64 page;  // in the EPC
    u64 secs;
};

Result<> load_addition(Cpu& c, Addition& a) {
    TRY(require_alignment(c, sizeof(Pageinfo), c.gpr[rbx]));
    TRY(require_alignment(c, page_size, c.gpr[rcx]));
    a.page = TRY(epc_operand(c, c.gpr[rcx], Access::write)) / page_size;
    TRY(load_operand(c, c.gpr[rbx], a.info));
    TRY(require_alignment(c, page_size, a.info.srcpge, a.info.secs));
    if (a.info.linaddr % page_size != 0) return general_protection(c);
    TRY(require_alignment(c, sizeof(Secinfo), a.info.secinfo));
    a.secs = TRY(epc_operand(c, a.info.secs, Access::write)) / page_size;
    TRY(load_operand(c, a.info.secinfo, a.secinfo));
    const PageType type = page_type(a.secinfo.flags);
    if (!a.secinfo.reserved_is_zero() || (type != PageType::reg && type != PageType::tcs))
        return general_protection(c);
    return Done{};
}

bool is_legal_page(const Addition& a, const Page& content, const Secs& secs) {
    if (page_type(a.secinfo.flags) == PageType::tcs)
        return is_legal_tcs(std::bit_cast<Tcs>(content), secs);
    return a.secinfo.flags.has(SecinfoFlag::r) || !a.secinfo.flags.has(SecinfoFlag::w);
}

/// What EADD makes of a TCS whatever the source says.
void fix_up_tcs(Secinfo& secinfo, Tcs& tcs) {
    secinfo.flags = secinfo.flags.without({SecinfoFlag::r, SecinfoFlag::w, SecinfoFlag::x});
    tcs.flags.set(TcsFlag::dbgoptin, false);
    tcs.cssa = 0;
    tcs.aep = 0;
    tcs.state = TcsState::inactive;
}

EpcmEntry entry_of(const Addition& a) {
    EpcmEntry entry{};
    entry.enclave_secs = static_cast<u32>(a.secs);
    entry.enclave_address = a.info.linaddr;
    entry.page_type = page_type(a.secinfo.flags);
    entry.valid = true;
    entry.r = a.secinfo.flags.has(SecinfoFlag::r);
    entry.w = a.secinfo.flags.has(SecinfoFlag::w);
    entry.x = a.secinfo.flags.has(SecinfoFlag::x);
    return entry;
}

}  // namespace

/// Adds a page to an enclave that is not initialised yet. SDM 3D, "EADD", Operation.
/// In: RBX = PAGEINFO, RCX = the page.
Result<> eadd(Cpu& c) {
    Addition a;
    TRY(load_addition(c, a));
    Epc& epc = *c.system->epc;
    if (meets_conflict(c, EnclsLeaf::eadd)) return general_protection(c);
    if (epc.entries[a.page].valid) return raise_epc_fault(c, c.gpr[rcx], Access::write);
    const EpcmEntry& owner = epc.entries[a.secs];
    if (!owner.valid || owner.page_type != PageType::secs)
        return raise_epc_fault(c, a.info.secs, Access::write);
    Page content;
    TRY(load_operand(c, a.info.srcpge, content));
    const Secs& secs = epc.secs(a.secs);
    if (!is_legal_page(a, content, secs)) return general_protection(c);
    if (a.info.linaddr - secs.baseaddr >= secs.size) return general_protection(c);
    if (secs.attributes.flags.has(SgxAttribute::init)) return general_protection(c);

    // From here on nothing can fault.
    about_to_write_page(c, a.page);
    std::memcpy(epc.page(a.page), content.data(), page_size);
    if (page_type(a.secinfo.flags) == PageType::tcs) fix_up_tcs(a.secinfo, epc.tcs(a.page));
    SecsHidden& hidden = epc.hidden(a.secs);
    add_block(hidden.measurement, eadd_block(a.info.linaddr - secs.baseaddr, a.secinfo).data());
    ++hidden.children;
    epc.entries[a.page] = entry_of(a);
    return Done{};
}

}  // namespace postern::cpu::sgx
