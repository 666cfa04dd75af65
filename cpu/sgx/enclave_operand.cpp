// SPDX-License-Identifier: Apache-2.0
// The access rule of ENCLU's memory operands. Unlike those of ENCLS leaves they meet data
// breakpoints. SDM 3D, "Breakpoint Suppression".
#include "cpu/sgx/enclave_operand.h"

#include <cstring>

#include "cpu/decode/block_cache.h"
#include "cpu/event/breakpoint.h"
#include "cpu/sgx/operand.h"
#include "cpu/sgx/own_page.h"

namespace postern::cpu::sgx {

Result<u64> enclave_operand(Cpu& c, u64 effective, u64 alignment, Access access) {
    const u64 linear = operand_linear(c, effective);
    TRY(require_own_address(c, linear, alignment));
    const u64 offset = TRY(epc_operand(c, effective, access));
    const EpcmEntry& entry = c.system->epc->entries[offset / page_size];
    const bool allowed = access == Access::write ? entry.w : entry.r;
    if (!is_own_page(c.enclave.secs_page, entry, linear) || !allowed)
        return raise_epc_fault(c, effective, access);
    return offset;
}

void load_found(Cpu& c, u64 effective, u64 offset, void* to, u64 size) {
    note_access(c, Gva{operand_linear(c, effective)}, size, false);
    std::memcpy(to, c.system->epc->bytes + offset, size);
}

void store_found(Cpu& c, u64 effective, u64 offset, const void* from, u64 size) {
    note_access(c, Gva{operand_linear(c, effective)}, size, true);
    u8* const to = c.system->epc->bytes + offset;
    if (c.blocks != nullptr) c.blocks->about_to_write(c, to, size);
    std::memcpy(to, from, size);
}

}  // namespace postern::cpu::sgx
