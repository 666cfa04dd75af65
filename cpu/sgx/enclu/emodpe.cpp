// SPDX-License-Identifier: Apache-2.0
// ENCLU[EMODPE].
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/own_page.h"

namespace postern::cpu::sgx {

/// The enclave gives itself more permissions to one of its pages. A translation with fewer may
/// outlive that. SDM 3D, "EMODPE", Operation. In: RBX = SECINFO, RCX = the page.
Result<> emodpe(Cpu& c) {
    const u64 linear = operand_linear(c, c.gpr[rcx]);
    const u64 secinfo_linear = operand_linear(c, c.gpr[rbx]);
    TRY(require_own_address(c, secinfo_linear, secinfo_alignment));
    TRY(require_own_address(c, linear, page_size));
    const u64 secinfo_offset = TRY(epc_operand(c, secinfo_linear, Access::read));
    const u64 page = TRY(epc_page_operand(c, linear, Access::read));
    Secinfo secinfo;
    TRY(load_own_secinfo(c, secinfo_linear, secinfo_offset, secinfo));
    EpcmEntry& entry = c.system->epc->entries[page];
    if (!is_own_page(c.enclave.secs_page, entry, linear))
        return raise_epc_fault(c, linear, Access::read);
    if (meets_conflict(c, EncluLeaf::emodpe)) return general_protection(c);
    if (!entry.r && is_write_only(secinfo.flags)) return general_protection(c);

    // From here on nothing can fault.
    entry.r = entry.r || secinfo.flags.has(SecinfoFlag::r);
    entry.w = entry.w || secinfo.flags.has(SecinfoFlag::w);
    entry.x = entry.x || secinfo.flags.has(SecinfoFlag::x);
    return Done{};
}

}  // namespace postern::cpu::sgx
