// SPDX-License-Identifier: Apache-2.0
// The leaves of ENCLS and ENCLU. Each runs with the instruction's own checks done, sets what the
// manual lists and, where execution goes on elsewhere, Cpu::next_rip.
#pragma once

#include "arch/sgx/leaf.h"
#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/model.h"

namespace postern::cpu::sgx {

using LeafHandler = Result<> (*)(Cpu&);

Result<> ecreate(Cpu& c);
Result<> eadd(Cpu& c);
Result<> eextend(Cpu& c);
Result<> einit(Cpu& c);
Result<> eremove(Cpu& c);
Result<> edbgrd(Cpu& c);
Result<> edbgwr(Cpu& c);
Result<> eldb(Cpu& c);
Result<> eldu(Cpu& c);
Result<> eblock(Cpu& c);
Result<> epa(Cpu& c);
Result<> ewb(Cpu& c);
Result<> etrack(Cpu& c);
Result<> eaug(Cpu& c);
Result<> emodpr(Cpu& c);
Result<> emodt(Cpu& c);

Result<> eenter(Cpu& c);
Result<> eresume(Cpu& c);
Result<> eexit(Cpu& c);
Result<> ereport(Cpu& c);
Result<> egetkey(Cpu& c);
Result<> eaccept(Cpu& c);
Result<> emodpe(Cpu& c);
Result<> eacceptcopy(Cpu& c);
Result<> edeccssa(Cpu& c);

inline bool has(const Cpu& c, Feature feature) { return has_feature(*c.system->model, feature); }

/// CPUID.(12H,0):EAX.SGX1, and an EPC to use it with.
inline bool has_sgx(const Cpu& c) { return c.system->epc != nullptr && has(c, Feature::sgx1); }

/// Outside 64-bit mode operands have 32 bits; what the upper halves of the registers hold there is
/// undefined. SDM 1, "General-Purpose Registers in 64-Bit Mode".
void narrow_operands(Cpu& c);

/// IA32_FEATURE_CONTROL is locked with SGX enabled.
bool sgx_is_enabled(const Cpu& c);

}  // namespace postern::cpu::sgx
