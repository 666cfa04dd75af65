// SPDX-License-Identifier: Apache-2.0
// ENCLS[ELDB] and ENCLS[ELDU].
#include <cstring>

#include "arch/sgx/pageinfo.h"
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/operand.h"
#include "cpu/sgx/seal.h"

namespace postern::cpu::sgx {
namespace {

/// Everything that the registers lead to, checked as far as it stands without the key.
struct Operands {
    Pageinfo info;
    Pcmd pcmd;
    PageBytes sealed;
    u64 page;  // in the EPC
    u64 slot;  // as a byte offset in the EPC
    u64 secs;  // of a page that has one
    Gpa context;

    [[nodiscard]] PageType type() const { return page_type(pcmd.secinfo.flags); }
};

Result<> find_places(Cpu& c, Operands& o) {
    TRY(require_alignment(c, sizeof(Pageinfo), c.gpr[rbx]));
    TRY(require_alignment(c, page_size, c.gpr[rcx]));
    o.page = TRY(epc_operand(c, c.gpr[rcx], Access::write, &o.context)) / page_size;
    TRY(require_alignment(c, sizeof(u64), c.gpr[rdx]));
    o.slot = TRY(epc_operand(c, c.gpr[rdx], Access::write));
    TRY(load_operand(c, c.gpr[rbx], o.info));
    TRY(require_alignment(c, sizeof(Pcmd), o.info.secinfo));
    return require_alignment(c, page_size, o.info.srcpge);
}

/// The manual asks no more of PAGEINFO.SECS than to lie in the EPC; that it is a SECS must be
/// meant.
Result<> find_secs(Cpu& c, Operands& o) {
    TRY(require_alignment(c, page_size, o.info.secs));
    const Epc& epc = *c.system->epc;
    o.secs = TRY(epc_operand(c, o.info.secs, Access::write)) / page_size;
    const EpcmEntry& owner = epc.entries[o.secs];
    if (!owner.valid || owner.page_type != PageType::secs)
        return raise_epc_fault(c, o.info.secs, Access::write);
    return Done{};
}

Result<> load_operands(Cpu& c, EnclsLeaf leaf, Operands& o) {
    TRY(find_places(c, o));
    if (meets_conflict(c, leaf)) return general_protection(c);
    const Epc& epc = *c.system->epc;
    if (epc.entries[o.page].valid) return raise_epc_fault(c, c.gpr[rcx], Access::write);
    const EpcmEntry& array = epc.entries[o.slot / page_size];
    if (!array.valid || array.page_type != PageType::va)
        return raise_epc_fault(c, c.gpr[rdx], Access::write);
    TRY(load_operand(c, o.info.secinfo, o.pcmd));
    if (is_child(o.type())) TRY(find_secs(c, o));
    return load_operand(c, o.info.srcpge, o.sealed);
}

/// An empty slot gives version 0, with which no page was sealed.
bool unseal(const Cpu& c, const Operands& o, PageBytes& page) {
    const Epc& epc = *c.system->epc;
    const u64 eid = is_child(o.type()) ? epc.hidden(o.secs).enclave_id : 0;
    const MacHeader header{o.pcmd.secinfo, eid, o.info.linaddr, o.pcmd.reserved_72, 0};
    return unseal_page(root_key(*c.system, KeyDomain::paging), epc.at<u64>(o.slot), header,
                       o.sealed, o.pcmd.mac, page);
}

/// Tracking is over, as EWB found: epoch 0 lies before the ETRACK that EWB asked for.
EpcmEntry entry_of(const Cpu& c, const Operands& o, bool blocked) {
    const SecinfoFlags flags = o.pcmd.secinfo.flags;
    EpcmEntry entry{};
    entry.page_type = o.type();
    entry.valid = true;
    entry.r = flags.has(SecinfoFlag::r);
    entry.w = flags.has(SecinfoFlag::w);
    entry.x = flags.has(SecinfoFlag::x);
    entry.pending = flags.has(SecinfoFlag::pending);
    entry.modified = flags.has(SecinfoFlag::modified);
    entry.pr = flags.has(SecinfoFlag::pr);
    if (!is_child(o.type())) return entry;
    entry.enclave_address = o.info.linaddr;
    entry.enclave_secs = static_cast<u32>(o.secs);
    entry.blocked = blocked;
    if (blocked && c.system->choices.ewb_after_eldb_wants_etrack)
        entry.tracking_epoch = c.system->epc->hidden(o.secs).tracking.epoch;
    return entry;
}

/// SDM 3D, "ELDB/ELDU/ELDBC/ELBUC", Operation. What its last lines on the slot say cannot be
/// meant: the slot holds the page's version and is empty afterwards, or a page could be loaded
/// twice.
Result<> eld(Cpu& c, EnclsLeaf leaf) {
    Operands o;
    TRY(load_operands(c, leaf, o));
    PageBytes page;
    if (!unseal(c, o, page)) return complete(c, SgxError::mac_compare_fail);

    // From here on nothing can fail.
    Epc& epc = *c.system->epc;
    about_to_write_page(c, o.page);
    std::memcpy(epc.page(o.page), page.data(), page_size);
    epc.at<u64>(o.slot) = 0;
    epc.entries[o.page] = entry_of(c, o, leaf == EnclsLeaf::eldb);
    if (is_child(o.type())) ++epc.hidden(o.secs).children;
    if (o.type() == PageType::secs) epc.hidden(o.page).enclave_context = o.context.raw();
    return complete(c, SgxError::success);
}

}  // namespace

/// Loads a page that EWB wrote out; ELDB blocks it, if it is of a kind that can be blocked.
/// In: RBX = PAGEINFO, RCX = the page, RDX = the slot in a version array. Out: RAX.
Result<> eldb(Cpu& c) { return eld(c, EnclsLeaf::eldb); }
Result<> eldu(Cpu& c) { return eld(c, EnclsLeaf::eldu); }

}  // namespace postern::cpu::sgx
