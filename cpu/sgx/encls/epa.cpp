// SPDX-License-Identifier: Apache-2.0
// ENCLS[EPA].
#include <cstring>

#include "cpu/sgx/leaf.h"
#include "cpu/sgx/operand.h"

namespace postern::cpu::sgx {

/// Makes a free page an empty version array. SDM 3D, "EPA", Operation.
/// In: RBX = PT_VA, RCX = the page.
Result<> epa(Cpu& c) {
    Epc& epc = *c.system->epc;
    if (c.gpr[rbx] != static_cast<u64>(PageType::va)) return general_protection(c);
    TRY(require_alignment(c, page_size, c.gpr[rcx]));
    const u64 page = TRY(epc_operand(c, c.gpr[rcx], Access::write)) / page_size;
    if (meets_conflict(c, EnclsLeaf::epa)) return general_protection(c);
    if (epc.entries[page].valid) return raise_epc_fault(c, c.gpr[rcx], Access::write);

    // From here on nothing can fault.
    about_to_write_page(c, page);
    std::memset(epc.page(page), 0, page_size);
    epc.entries[page] = {};
    epc.entries[page].page_type = PageType::va;
    epc.entries[page].valid = true;
    return Done{};
}

}  // namespace postern::cpu::sgx
