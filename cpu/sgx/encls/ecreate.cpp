// SPDX-License-Identifier: Apache-2.0
// ENCLS[ECREATE].
#include <bit>

#include "arch/sgx/measurement.h"
#include "arch/sgx/pageinfo.h"
#include "arch/sgx/ssa.h"
#include "cpu/exec/address.h"
#include "cpu/sgx/capability.h"
#include "cpu/sgx/extended_state.h"
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/operand.h"
#include "cpu/sgx/reserved.h"

namespace postern::cpu::sgx {
namespace {

bool has_legal_xfrm(const Cpu& c, const Secs& secs) {
    constexpr Xcr0Word always{Xcr0::x87, Xcr0::sse};
    const Xcr0Word xfrm = secs.attributes.xfrm;
    const Xcr0Word supported = (supported_xcr0(*c.system->model) & supported_xfrm) | always;
    return xfrm.has_all(always) && is_legal_xcr0(xfrm, supported);
}

bool has_legal_frame(const Secs& secs) {
    return supported_miscselect.has_all(secs.miscselect) &&
           secs.ssaframesize * page_size >=
               ssa_frame_minimum(xsave_area_size(secs.attributes.xfrm), secs.miscselect);
}

bool has_legal_range(const Cpu& c, const Secs& secs) {
    const bool mode64 = secs.attributes.flags.has(SgxAttribute::mode64bit);
    if (mode64 ? !is_canonical(c, secs.baseaddr) : secs.baseaddr >> 32 != 0) return false;
    const unsigned size_bits = mode64 ? enclave_size_bits_64 : enclave_size_bits_32;
    return secs.size < u64{1} << size_bits && secs.size >= enclave_minimum_size &&
           std::has_single_bit(secs.size) && is_aligned(secs.baseaddr, secs.size);
}

bool has_legal_attributes(const Cpu& c, const Secs& secs) {
    if (!attributes_of(*c.system->model).has_all(secs.attributes.flags)) return false;
    // Without CET its fields are reserved, without KSS the configuration is.
    const bool kss = secs.attributes.flags.has(SgxAttribute::kss);
    return secs.cet_leg_bitmap_offset == 0 && secs.cet_attributes.to_raw() == 0 &&
           is_zero(secs.reserved_33) && is_zero(secs.reserved_96) && is_zero(secs.reserved_160) &&
           is_zero(secs.reserved_262) && (kss || (is_zero(secs.configid) && secs.configsvn == 0));
}

/// The checks of SDM 3D, "ECREATE", Operation, on the copy of the source page.
bool is_acceptable(const Cpu& c, const Secs& secs) {
    return has_legal_xfrm(c, secs) && has_legal_frame(secs) && has_legal_range(c, secs) &&
           has_legal_attributes(c, secs);
}

}  // namespace

/// Makes an EPC page the SECS of a new enclave. SDM 3D, "ECREATE", Operation.
/// In: RBX = PAGEINFO, RCX = the page.
Result<> ecreate(Cpu& c) {
    TRY(require_alignment(c, sizeof(Pageinfo), c.gpr[rbx]));
    TRY(require_alignment(c, page_size, c.gpr[rcx]));
    Gpa context;
    const u64 offset = TRY(epc_operand(c, c.gpr[rcx], Access::write, &context));
    Pageinfo info;
    TRY(load_operand(c, c.gpr[rbx], info));
    TRY(require_alignment(c, page_size, info.srcpge));
    TRY(require_alignment(c, sizeof(Secinfo), info.secinfo));
    if (info.linaddr != 0 || info.secs != 0) return general_protection(c);
    Secinfo secinfo;
    TRY(load_operand(c, info.secinfo, secinfo));
    if (!secinfo.reserved_is_zero() || page_type(secinfo.flags) != PageType::secs)
        return general_protection(c);
    Epc& epc = *c.system->epc;
    const u64 page = offset / page_size;
    if (meets_conflict(c, EnclsLeaf::ecreate)) return general_protection(c);
    if (epc.entries[page].valid) return raise_epc_fault(c, c.gpr[rcx], Access::write);
    Secs secs;
    TRY(load_operand(c, info.srcpge, secs));
    if (!is_acceptable(c, secs)) return general_protection(c);

    // From here on nothing can fault.
    about_to_write_page(c, page);
    secs.isvprodid = 0;
    secs.isvsvn = 0;
    epc.secs(page) = secs;
    SecsHidden& hidden = epc.hidden(page);
    hidden.enclave_id = epc.next_enclave_id++;
    hidden.enclave_context = context.raw();
    hidden.measurement = start_measurement();
    add_block(hidden.measurement, ecreate_block(secs.ssaframesize, secs.size).data());
    epc.entries[page] = {};
    epc.entries[page].page_type = PageType::secs;
    epc.entries[page].valid = true;
    return Done{};
}

}  // namespace postern::cpu::sgx
