// SPDX-License-Identifier: Apache-2.0
// ENCLS[EWB].
#include "arch/sgx/pageinfo.h"
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/operand.h"
#include "cpu/sgx/seal.h"

namespace postern::cpu::sgx {
namespace {

struct Operands {
    Pageinfo info;
    u64 page;  // in the EPC
    u64 slot;  // as a byte offset in the EPC
};

Result<> load_operands(Cpu& c, Operands& o) {
    TRY(require_alignment(c, sizeof(Pageinfo), c.gpr[rbx]));
    TRY(require_alignment(c, page_size, c.gpr[rcx]));
    o.page = TRY(epc_operand(c, c.gpr[rcx], Access::write)) / page_size;
    TRY(require_alignment(c, sizeof(u64), c.gpr[rdx]));
    o.slot = TRY(epc_operand(c, c.gpr[rdx], Access::write));
    if (o.slot / page_size == o.page) return general_protection(c);
    TRY(load_operand(c, c.gpr[rbx], o.info));
    if (o.info.linaddr != 0 || o.info.secs != 0) return general_protection(c);
    TRY(require_alignment(c, sizeof(Pcmd), o.info.secinfo));
    return require_alignment(c, page_size, o.info.srcpge);
}

/// Why the page cannot go, or success. A requested conflict is an ETRACK that races with this.
SgxError obstacle(Cpu& c, u64 page) {
    const Epc& epc = *c.system->epc;
    const EpcmEntry& entry = epc.entries[page];
    if (entry.page_type == PageType::secs && epc.hidden(page).children != 0)
        return SgxError::child_present;
    if (!is_child(entry.page_type)) return SgxError::success;
    if (!entry.blocked) return SgxError::page_not_blocked;
    const Tracking& tracking = epc.hidden(entry.enclave_secs).tracking;
    if (!is_tracked(tracking, entry.tracking_epoch) || meets_conflict(c, EnclsLeaf::ewb))
        return SgxError::not_tracked;
    return SgxError::success;
}

Secinfo secinfo_of(const EpcmEntry& entry) {
    Secinfo secinfo{};
    secinfo.flags = with_page_type({}, entry.page_type)
                        .with(SecinfoFlag::r, entry.r)
                        .with(SecinfoFlag::w, entry.w)
                        .with(SecinfoFlag::x, entry.x)
                        .with(SecinfoFlag::pending, entry.pending)
                        .with(SecinfoFlag::modified, entry.modified)
                        .with(SecinfoFlag::pr, entry.pr);
    return secinfo;
}

/// The EID that software is told: it has no part in the MAC.
u64 announced_eid(const Epc& epc, u64 page) {
    const EpcmEntry& entry = epc.entries[page];
    if (entry.page_type == PageType::va) return 0;
    return epc.hidden(entry.page_type == PageType::secs ? page : entry.enclave_secs).enclave_id;
}

/// The page's three parts in memory. All can be written before one is.
Result<> write_out(Cpu& c, const Operands& o, const PageBytes& sealed, const Pcmd& pcmd) {
    const u64 address = c.system->epc->entries[o.page].enclave_address;
    const Gva source = TRY(operand_address(c, o.info.srcpge, sizeof sealed));
    const Gva metadata = TRY(operand_address(c, o.info.secinfo, sizeof pcmd));
    static_assert(offsetof(Pageinfo, linaddr) == 0);
    const Gva linaddr = TRY(operand_address(c, c.gpr[rbx], sizeof address));
    TRY(probe_write(c, source, sizeof sealed));
    TRY(probe_write(c, metadata, sizeof pcmd));
    TRY(probe_write(c, linaddr, sizeof address));
    TRY(store_bytes(c, source, sealed.data(), sizeof sealed));
    TRY(store_bytes(c, metadata, &pcmd, sizeof pcmd));
    return store_bytes(c, linaddr, &address, sizeof address);
}

}  // namespace

/// Writes a page out to memory and frees it. SDM 3D, "EWB", Operation; its header is zeroed before
/// EID is put in, not after, and the version is a number that no other page ever had. The page's
/// bytes stay in the EPC, where no access and no leaf reaches a page that is not valid.
/// In: RBX = PAGEINFO, RCX = the page, RDX = the slot in a version array. Out: RAX.
Result<> ewb(Cpu& c) {
    Operands o;
    TRY(load_operands(c, o));
    Epc& epc = *c.system->epc;
    EpcmEntry& entry = epc.entries[o.page];
    if (!entry.valid) return raise_epc_fault(c, c.gpr[rcx], Access::write);
    const EpcmEntry& array = epc.entries[o.slot / page_size];
    if (!array.valid || array.page_type != PageType::va)
        return raise_epc_fault(c, c.gpr[rdx], Access::write);
    const SgxError status = obstacle(c, o.page);
    if (status != SgxError::success) return complete(c, status);

    const u64 version = epc.next_page_version;
    Pcmd pcmd{};
    pcmd.secinfo = secinfo_of(entry);
    pcmd.enclaveid = announced_eid(epc, o.page);
    const u64 eid = is_child(entry.page_type) ? pcmd.enclaveid : 0;
    const MacHeader header{pcmd.secinfo, eid, entry.enclave_address, {}, 0};
    PageBytes sealed;
    pcmd.mac = seal_page(root_key(*c.system, KeyDomain::paging), version, header, epc.page(o.page),
                         sealed);
    TRY(write_out(c, o, sealed, pcmd));

    // From here on nothing can fault.
    ++epc.next_page_version;
    u64& slot = epc.at<u64>(o.slot);
    const bool occupied = slot != 0;
    slot = version;
    if (is_child(entry.page_type)) --epc.hidden(entry.enclave_secs).children;
    entry.valid = false;
    return occupied ? complete_with_information(c, SgxError::va_slot_occupied)
                    : complete(c, SgxError::success);
}

}  // namespace postern::cpu::sgx
