// SPDX-License-Identifier: Apache-2.0
// Operands of ENCLU leaves that must lie in the memory of the enclave that runs.
#pragma once

#include "base/result.h"
#include "cpu/mmu/access.h"

namespace postern::cpu::sgx {

/// The byte offset within the EPC of an operand: #GP(0) unless it is aligned and within ELRANGE,
/// then #PF unless paging and the EPCM let the enclave read (or write) it. The EPCM itself is
/// asked: a translation that is out of date helps nobody. SDM 3D, "EREPORT", Operation.
Result<u64> enclave_operand(Cpu& c, u64 effective, u64 alignment, Access access);

/// Bytes that enclave_operand() found, of one page.
void load_found(Cpu& c, u64 effective, u64 offset, void* to, u64 size);
void store_found(Cpu& c, u64 effective, u64 offset, const void* from, u64 size);

template <class T>
Result<> load_enclave_operand(Cpu& c, u64 effective, u64 alignment, T& to) {
    static_assert(sizeof(T) <= page_size);
    const u64 offset = TRY(enclave_operand(c, effective, alignment, Access::read));
    load_found(c, effective, offset, &to, sizeof to);
    return Done{};
}

}  // namespace postern::cpu::sgx
