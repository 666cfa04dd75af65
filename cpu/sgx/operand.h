// SPDX-License-Identifier: Apache-2.0
// Operands of SGX leaves: those that must lie in the EPC, and those that are ordinary memory. What
// a register or a structure calls an effective address is one within DS: outside 64-bit mode, where
// addresses have 32 bits whatever CS.D says, it is checked against DS and DS.base is added.
#pragma once

#include "arch/sgx/error.h"
#include "base/address.h"
#include "base/bits.h"
#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/event/event.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"
#include "cpu/sgx/epc.h"

namespace postern::cpu::sgx {

/// The linear address that an effective address stands for.
inline u64 operand_linear(const Cpu& c, u64 effective) {
    if (in_64_bit_mode(c)) [[likely]]
        return effective;
    return static_cast<u32>(c.segment[ds].base + effective);
}

/// The same; #GP(0) unless `size` bytes there lie in DS.
Result<Gva> operand_address(Cpu& c, u64 effective, u64 size);

/// #PF with P and SGX set: paging let the access through, SGX does not. SDM 3A, "Interrupt 14:
/// Page-Fault Exception (#PF)".
Failed raise_epc_fault(Cpu& c, u64 effective, Access access);

/// The byte offset within the EPC that `effective` leads to; #PF with the SGX bit if elsewhere.
/// `physical`, if asked for, gets what paging alone made of it.
Result<u64> epc_operand(Cpu& c, u64 effective, Access access, Gpa* physical = nullptr);

/// #GP(0) unless what every effective address stands for is a multiple of `alignment`.
template <class... Effective>
Result<> require_alignment(Cpu& c, u64 alignment, Effective... effective) {
    if (((operand_linear(c, effective) % alignment != 0) || ...)) return general_protection(c);
    return Done{};
}

/// An operand outside the EPC (within, it reads as the abort page does).
template <class T>
Result<> load_operand(Cpu& c, u64 effective, T& to) {
    static_assert(sizeof(T) <= page_size);
    const Gva linear = TRY(operand_address(c, effective, sizeof to));
    return load_bytes(c, linear, &to, sizeof to);
}

/// For whoever writes to an EPC page by its host address: code cached from it is out of date.
void about_to_write_page(Cpu& c, u64 page);

/// What a leaf that reports through RAX leaves: RAX, ZF on an error, the other status flags 0.
Result<> complete(Cpu& c, SgxError status);

/// The same with an information code, which sets CF.
Result<> complete_with_information(Cpu& c, SgxError status);

}  // namespace postern::cpu::sgx
