// SPDX-License-Identifier: Apache-2.0
// VMsucceed and VMfail, and the tests of an operand that several instructions and VM entry share.
#pragma once

#include "arch/vmx/ept.h"
#include "cpu/vmx/vmx.h"

namespace postern::cpu::vmx {

/// SDM 3C, "Conventions" of "VMX Instruction Reference".
Status succeed();
/// VMfail(error): VMfailInvalid without a current VMCS; else the error goes into it.
Status fail(Cpu& c, VmInstructionError error);

/// No bit beyond the physical-address width.
inline bool is_physical(const Cpu& c, u64 address) {
    return address >> c.system->physical_bits == 0;
}

/// Of the processor, not of the current paging mode: linear addresses have 48 bits.
constexpr bool is_canonical_48(u64 linear) {
    return static_cast<u64>(static_cast<i64>(linear << 16) >> 16) == linear;
}

/// CPUID.(7,0):EBX.SGX: a machine without an enclave page cache has no SGX, whatever its model.
bool has_sgx(const Cpu& c);

/// IA32_VMX_CR4_FIXED1: what VM entry and VM exit may set in CR4.
u64 allowed_cr4(const Cpu& c);

// SDM 3C, "VM-Execution Control Fields", what VM entry asks of EPTP; INVEPT asks the same.

constexpr bool has_valid_type(Eptp eptp) {
    return eptp.memory_type() == MemoryType::wb || eptp.memory_type() == MemoryType::uc;
}
constexpr bool has_valid_length(Eptp eptp) { return eptp.levels() == 4; }

inline bool is_valid_ept_pointer(const Cpu& c, u64 raw) {
    const auto eptp = Eptp::from_raw(raw);
    return has_valid_type(eptp) && has_valid_length(eptp) &&
           !eptp.supervisor_shadow_stack_control() &&
           !eptp.has_reserved_bits(c.system->physical_bits);
}

}  // namespace postern::cpu::vmx
