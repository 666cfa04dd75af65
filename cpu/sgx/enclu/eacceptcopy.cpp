// SPDX-License-Identifier: Apache-2.0
// ENCLU[EACCEPTCOPY].
#include <cstring>

#include "cpu/event/breakpoint.h"
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/own_page.h"

namespace postern::cpu::sgx {
namespace {

/// A regular page of the enclave's that waits to be accepted.
bool is_waiting(const Enclave& enclave, const EpcmEntry& entry) {
    return entry.valid && entry.pending && !entry.modified && !entry.blocked &&
           entry.page_type == PageType::reg && entry.enclave_secs == enclave.secs_page;
}

/// As EAUG left it.
bool is_as_added(const EpcmEntry& entry, u64 linear) {
    return entry.r && entry.w && !entry.x && entry.enclave_address == linear;
}

/// Where the three operands lead, as byte offsets into the EPC.
struct Places {
    u64 secinfo;
    u64 target;
    u64 source;
};

Result<> find_places(Cpu& c, Places& places) {
    TRY(require_own_address(c, c.gpr[rbx], secinfo_alignment));
    TRY(require_own_address(c, c.gpr[rcx], page_size));
    TRY(require_own_address(c, c.gpr[rdx], page_size));
    places.secinfo = TRY(epc_operand(c, c.gpr[rbx], Access::read));
    places.target = TRY(epc_operand(c, c.gpr[rcx], Access::write));
    places.source = TRY(epc_operand(c, c.gpr[rdx], Access::read));
    return Done{};
}

void copy_page(Cpu& c, const Places& places) {
    const Epc& epc = *c.system->epc;
    about_to_write_page(c, places.target / page_size);
    std::memcpy(epc.bytes + places.target, epc.bytes + places.source, page_size);
    note_access(c, Gva{c.gpr[rdx]}, page_size, false);
    note_access(c, Gva{c.gpr[rcx]}, page_size, true);
}

}  // namespace

/// The enclave accepts a page that was added, with the content and the permissions that it wants.
/// SDM 3D, "EACCEPTCOPY", Operation. In: RBX = SECINFO, RCX = the page, RDX = what to copy.
/// Out: RAX.
Result<> eacceptcopy(Cpu& c) {
    Places places{};
    TRY(find_places(c, places));
    Secinfo secinfo;
    TRY(load_own_secinfo(c, c.gpr[rbx], places.secinfo, secinfo));
    if (is_write_only(secinfo.flags) || page_type(secinfo.flags) != PageType::reg)
        return general_protection(c);
    Epc& epc = *c.system->epc;
    const EpcmEntry& source = epc.entries[places.source / page_size];
    if (!is_own_page(c.enclave, source, c.gpr[rdx]) || !source.r)
        return raise_epc_fault(c, c.gpr[rdx], Access::read);
    EpcmEntry& target = epc.entries[places.target / page_size];
    if (!is_waiting(c.enclave, target)) return complete(c, SgxError::page_attributes_mismatch);
    if (meets_conflict(c, EncluLeaf::eacceptcopy)) return complete(c, SgxError::epc_page_conflict);
    if (!is_as_added(target, c.gpr[rcx])) return complete(c, SgxError::page_attributes_mismatch);

    // From here on nothing can fault.
    copy_page(c, places);
    target.r = secinfo.flags.has(SecinfoFlag::r);
    target.w = secinfo.flags.has(SecinfoFlag::w);
    target.x = secinfo.flags.has(SecinfoFlag::x);
    target.pending = false;
    return complete(c, SgxError::success);
}

}  // namespace postern::cpu::sgx
