// SPDX-License-Identifier: Apache-2.0
// Instructions whose result is an event, and those that have a chapter of their own elsewhere.
#include "cpu/exec/system/common.h"
#include "cpu/flags.h"
#include "cpu/sgx/sgx.h"

namespace postern::cpu {

namespace {

Failed software(Cpu& c, Vector vector, InterruptionType type) {
    return raise_software(c, vector, static_cast<u32>(type), static_cast<u32>(c.next_rip - c.rip));
}

}  // namespace

/// SDM 2A, "INT n/INTO/INT3/INT1".
Result<> exec_int_n(Cpu& c, const Insn& i) {
    TRY(refuse_in_enclave(c));
    return software(c, static_cast<Vector>(static_cast<u8>(i.imm)),
                    InterruptionType::software_interrupt);
}

/// Inside an enclave INT3 and INT1 are #UD after an opt-out entry, else faults on the instruction
/// itself. SDM 3D, "INT3 Consideration".
Result<> exec_int3(Cpu& c, const Insn&) {
    if (!c.enclave.active)
        return software(c, Vector::breakpoint, InterruptionType::software_exception);
    if (!c.enclave.debug_opt_in) return invalid_opcode(c);
    return raise(c, Vector::breakpoint);
}

Result<> exec_int1(Cpu& c, const Insn&) {
    if (!c.enclave.active)
        return software(c, Vector::debug, InterruptionType::privileged_software_exception);
    if (!c.enclave.debug_opt_in) return invalid_opcode(c);
    (void)raise_debug(c, 0);
    if (!c.system->choices.int1_in_debug_enclave_is_type3)
        c.pending.type = InterruptionType::privileged_software_exception;
    return Failed{};
}

/// SDM 2A, "INT n/INTO/INT3/INT1": #OF if OF is set. Not in 64-bit mode.
Result<> exec_into(Cpu& c, const Insn&) {
    TRY(refuse_in_enclave(c));
    if (!of(c)) return Done{};
    return software(c, Vector::overflow, InterruptionType::software_exception);
}

/// SDM 2B, "UD".
Result<> exec_ud2(Cpu& c, const Insn&) { return invalid_opcode(c); }

/// Without SMX, CR4.SMXE is 0: #UD before any VM exit. SDM 2D, "GETSEC".
Result<> exec_getsec(Cpu& c, const Insn&) { return invalid_opcode(c); }

/// There is no system-management mode to resume from. SDM 2B, "RSM".
Result<> exec_rsm(Cpu& c, const Insn&) { return invalid_opcode(c); }

Result<> exec_encls(Cpu& c, const Insn&) { return sgx::encls(c); }
Result<> exec_enclu(Cpu& c, const Insn&) { return sgx::enclu(c); }

}  // namespace postern::cpu
