// SPDX-License-Identifier: Apache-2.0
// Finding an enclave's own pages. Their EPCM entries are asked, not the TLB: a translation that is
// out of date helps nobody.
#include "cpu/sgx/own_page.h"

#include "cpu/event/breakpoint.h"

namespace postern::cpu::sgx {

Result<> require_own_address(Cpu& c, u64 linear, u64 alignment) {
    TRY(require_alignment(c, alignment, linear));
    if (!c.enclave.covers(linear)) return general_protection(c);
    return Done{};
}

bool is_own_page(u64 secs, const EpcmEntry& entry, u64 linear) {
    return entry.valid && entry.page_type == PageType::reg && entry.enclave_secs == secs &&
           entry.enclave_address == Gva{linear}.page().raw() && !entry.blocked && !entry.pending &&
           !entry.modified;
}

Result<u64> epc_page_operand(Cpu& c, u64 linear, Access access) {
    return TRY(epc_operand(c, linear, access)) / page_size;
}

Result<> load_own_secinfo(Cpu& c, u64 linear, u64 offset, Secinfo& secinfo) {
    const Epc& epc = *c.system->epc;
    const EpcmEntry& entry = epc.entries[offset / page_size];
    if (!is_own_page(c.enclave.secs_page, entry, linear) || !entry.r)
        return raise_epc_fault(c, linear, Access::read);
    secinfo = epc.at<Secinfo>(offset);
    note_access(c, Gva{linear}, sizeof secinfo, false);
    if (!secinfo.reserved_is_zero()) return general_protection(c);
    return Done{};
}

}  // namespace postern::cpu::sgx
