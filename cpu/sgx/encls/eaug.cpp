// SPDX-License-Identifier: Apache-2.0
// ENCLS[EAUG].
#include <cstring>

#include "arch/sgx/pageinfo.h"
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/operand.h"

namespace postern::cpu::sgx {
namespace {

/// The operands, checked as far as they stand alone.
struct Augmentation {
    u64 linear;  // in the enclave
    u64 secs_operand;
    u64 page;  // in the EPC
    u64 secs;
};

/// Without CET the page can only be a regular one, and PAGEINFO names no SECINFO.
Result<> load_augmentation(Cpu& c, Augmentation& a) {
    TRY(require_alignment(c, sizeof(Pageinfo), c.gpr[rbx]));
    TRY(require_alignment(c, page_size, c.gpr[rcx]));
    a.page = TRY(epc_operand(c, c.gpr[rcx], Access::write)) / page_size;
    Pageinfo info;
    TRY(load_operand(c, c.gpr[rbx], info));
    TRY(require_alignment(c, page_size, info.secs));
    if (info.linaddr % page_size != 0 || info.srcpge != 0 || info.secinfo != 0)
        return general_protection(c);
    a.linear = info.linaddr;
    a.secs_operand = info.secs;
    a.secs = TRY(epc_operand(c, info.secs, Access::write)) / page_size;
    return Done{};
}

EpcmEntry entry_of(const Augmentation& a) {
    EpcmEntry entry{};
    entry.enclave_secs = static_cast<u32>(a.secs);
    entry.enclave_address = a.linear;
    entry.page_type = PageType::reg;
    entry.valid = true;
    entry.r = true;
    entry.w = true;
    entry.pending = true;
    return entry;
}

}  // namespace

/// Gives an enclave that runs already a page of zeros, which it must accept before it can use it.
/// SDM 3D, "EAUG", Operation. In: RBX = PAGEINFO, RCX = the page.
Result<> eaug(Cpu& c) {
    Augmentation a{};
    TRY(load_augmentation(c, a));
    if (meets_conflict(c, EnclsLeaf::eaug)) return general_protection(c);
    Epc& epc = *c.system->epc;
    if (epc.entries[a.page].valid) return raise_epc_fault(c, c.gpr[rcx], Access::write);
    const EpcmEntry& owner = epc.entries[a.secs];
    if (!owner.valid || owner.page_type != PageType::secs)
        return raise_epc_fault(c, a.secs_operand, Access::write);
    const Secs& secs = epc.secs(a.secs);
    if (!secs.attributes.flags.has(SgxAttribute::init)) return general_protection(c);
    if (a.linear - secs.baseaddr >= secs.size) return general_protection(c);

    // From here on nothing can fault.
    about_to_write_page(c, a.page);
    std::memset(epc.page(a.page), 0, page_size);
    ++epc.hidden(a.secs).children;
    epc.entries[a.page] = entry_of(a);
    return Done{};
}

}  // namespace postern::cpu::sgx
