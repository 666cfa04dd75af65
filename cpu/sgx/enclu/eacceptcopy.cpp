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

/// Where an operand lies: its linear address, and its byte offset in the EPC.
struct Place {
    u64 linear;
    u64 offset;
};
struct Places {
    Place secinfo;
    Place target;
    Place source;
};

Result<> find_places(Cpu& c, Places& places) {
    places.secinfo.linear = operand_linear(c, c.gpr[rbx]);
    places.target.linear = operand_linear(c, c.gpr[rcx]);
    places.source.linear = operand_linear(c, c.gpr[rdx]);
    TRY(require_own_address(c, places.secinfo.linear, secinfo_alignment));
    TRY(require_own_address(c, places.target.linear, page_size));
    TRY(require_own_address(c, places.source.linear, page_size));
    places.secinfo.offset = TRY(epc_operand(c, places.secinfo.linear, Access::read));
    places.target.offset = TRY(epc_operand(c, places.target.linear, Access::write));
    places.source.offset = TRY(epc_operand(c, places.source.linear, Access::read));
    return Done{};
}

void copy_page(Cpu& c, const Place& from, const Place& to) {
    const Epc& epc = *c.system->epc;
    about_to_write_page(c, to.offset / page_size);
    std::memcpy(epc.bytes + to.offset, epc.bytes + from.offset, page_size);
    note_access(c, Gva{from.linear}, page_size, false);
    note_access(c, Gva{to.linear}, page_size, true);
}

}  // namespace

/// The enclave accepts a page that was added, with the content and the permissions that it wants.
/// SDM 3D, "EACCEPTCOPY", Operation. In: RBX = SECINFO, RCX = the page, RDX = what to copy.
/// Out: RAX.
Result<> eacceptcopy(Cpu& c) {
    Places places{};
    TRY(find_places(c, places));
    Secinfo secinfo;
    TRY(load_own_secinfo(c, places.secinfo.linear, places.secinfo.offset, secinfo));
    if (is_write_only(secinfo.flags) || page_type(secinfo.flags) != PageType::reg)
        return general_protection(c);
    Epc& epc = *c.system->epc;
    const EpcmEntry& source = epc.entries[places.source.offset / page_size];
    if (!is_own_page(c.enclave.secs_page, source, places.source.linear) || !source.r)
        return raise_epc_fault(c, places.source.linear, Access::read);
    EpcmEntry& target = epc.entries[places.target.offset / page_size];
    if (!is_waiting(c.enclave, target)) return complete(c, SgxError::page_attributes_mismatch);
    if (meets_conflict(c, EncluLeaf::eacceptcopy)) return complete(c, SgxError::epc_page_conflict);
    if (!is_as_added(target, places.target.linear))
        return complete(c, SgxError::page_attributes_mismatch);

    // From here on nothing can fault.
    copy_page(c, places.source, places.target);
    target.r = secinfo.flags.has(SecinfoFlag::r);
    target.w = secinfo.flags.has(SecinfoFlag::w);
    target.x = secinfo.flags.has(SecinfoFlag::x);
    target.pending = false;
    return complete(c, SgxError::success);
}

}  // namespace postern::cpu::sgx
