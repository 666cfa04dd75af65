// SPDX-License-Identifier: Apache-2.0
// The check that ends every address translation. SDM 3D, "Enclave Access Control and Data
// Structures".
#include "cpu/sgx/epc.h"
#include "cpu/sgx/own_page.h"
#include "cpu/sgx/sgx.h"

namespace postern::cpu::sgx {
namespace {

AccessCheck verdict(Verdict v) { return {v, nullptr, false, false, false}; }

bool allows(const EpcmEntry& entry, Access access) {
    switch (access) {
        case Access::read: return entry.r;
        case Access::write: return entry.w;
        case Access::execute: return entry.x;
    }
    return false;
}

}  // namespace

AccessCheck check_access(const Cpu& c, Gva linear, Hpa physical, Access access) {
    const bool direct = c.enclave.active && c.enclave.covers(linear.raw());
    if (!c.system->memory.is_epc(physical))
        return verdict(direct ? Verdict::page_fault : Verdict::ordinary);
    if (!direct) return verdict(Verdict::abort_page);
    const Epc& epc = *c.system->epc;
    const u64 page = epc.offset_of(physical) / page_size;
    const EpcmEntry& entry = epc.entries[page];
    if (!is_own_page(c.enclave.secs_page, entry, linear.raw()) || !allows(entry, access))
        return verdict(Verdict::page_fault);
    return {Verdict::enclave_page, epc.page(page), entry.r, entry.w, entry.x};
}

}  // namespace postern::cpu::sgx
