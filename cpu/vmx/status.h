// SPDX-License-Identifier: Apache-2.0
// VMsucceed and VMfail, and the tests of an operand that several instructions and VM entry share.
#pragma once

#include "arch/paging.h"
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
constexpr bool is_canonical_48(u64 linear) { return postern::is_canonical(linear, 48); }

/// CPUID.(7,0):EBX.SGX: a machine without an enclave page cache has no SGX, whatever its model.
bool has_sgx(const Cpu& c);

/// IA32_VMX_CR4_FIXED1: what VM entry and VM exit may set in CR4.
u64 allowed_cr4(const Cpu& c);

}  // namespace postern::cpu::vmx
