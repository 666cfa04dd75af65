// SPDX-License-Identifier: Apache-2.0
// Operands by which an enclave manages its own pages: the SECINFO, which it must be able to read,
// and pages that EACCEPT and its like judge one by one.
#pragma once

#include "arch/sgx/secinfo.h"
#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/sgx/epc.h"
#include "cpu/sgx/operand.h"

namespace postern::cpu::sgx {

inline constexpr u64 secinfo_alignment = alignof(Secinfo);

/// #GP(0) unless the operand is aligned and within ELRANGE.
Result<> require_own_address(Cpu& c, u64 linear, u64 alignment);

/// A regular page of the enclave whose SECS is the EPC's page `secs`, at its own address, that its
/// code could use: neither blocked nor waiting for EACCEPT. SDM 3D, "Access-Control",
/// "Segment-Based Access Control".
bool is_own_page(u64 secs, const EpcmEntry& entry, u64 linear);

/// A page that leads where paging says, as an index into the EPC; #PF with the SGX bit if
/// elsewhere.
Result<u64> epc_page_operand(Cpu& c, u64 linear, Access access);

/// The SECINFO at the address `linear`, which leads to `offset` within the EPC; #PF unless the page
/// is the enclave's own and readable, #GP(0) for reserved bits.
Result<> load_own_secinfo(Cpu& c, u64 linear, u64 offset, Secinfo& secinfo);

/// W without R, which no page may have.
constexpr bool is_write_only(SecinfoFlags flags) {
    return flags.has(SecinfoFlag::w) && !flags.has(SecinfoFlag::r);
}

}  // namespace postern::cpu::sgx
