// SPDX-License-Identifier: Apache-2.0
// The access rule of ENCLU's memory operands. Unlike those of ENCLS leaves they meet data
// breakpoints. SDM 3D, "Breakpoint Suppression".
#include "cpu/sgx/enclave_operand.h"

#include <cstring>

#include "cpu/decode/block_cache.h"
#include "cpu/event/breakpoint.h"
#include "cpu/sgx/operand.h"

namespace postern::cpu::sgx {
namespace {

bool may_access(const Enclave& enclave, const EpcmEntry& entry, u64 linear, Access access) {
    return entry.valid && !entry.blocked && entry.page_type == PageType::reg &&
           entry.enclave_secs == enclave.secs_page && !entry.pending && !entry.modified &&
           entry.enclave_address == Gva{linear}.page().raw() &&
           (access == Access::write ? entry.w : entry.r);
}

}  // namespace

Result<u64> enclave_operand(Cpu& c, u64 linear, u64 alignment, Access access) {
    TRY(require_alignment(c, alignment, linear));
    if (!c.enclave.covers(linear)) return general_protection(c);
    const u64 offset = TRY(epc_operand(c, linear, access));
    if (!may_access(c.enclave, c.system->epc->entries[offset / page_size], linear, access))
        return raise_epc_fault(c, linear, access);
    return offset;
}

void load_found(Cpu& c, u64 linear, u64 offset, void* to, u64 size) {
    note_access(c, Gva{linear}, size, false);
    std::memcpy(to, c.system->epc->bytes + offset, size);
}

void store_found(Cpu& c, u64 linear, u64 offset, const void* from, u64 size) {
    note_access(c, Gva{linear}, size, true);
    u8* const to = c.system->epc->bytes + offset;
    if (c.blocks != nullptr) c.blocks->about_to_write(c, to, size);
    std::memcpy(to, from, size);
}

}  // namespace postern::cpu::sgx
