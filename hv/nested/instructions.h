// SPDX-License-Identifier: Apache-2.0
// The VMX instructions of an L1, carried out as the processor would have: operands from the exit's
// instruction information, the checks in the manual's order, VMsucceed and VMfail. SDM 3C, "VMX
// Instruction Reference".
#pragma once

#include "arch/vmx/instruction_error.h"
#include "base/result.h"
#include "hv/exit/exit.h"

namespace postern::hv {

class VmxInstruction {
public:
    /// The exit is a VMX instruction's, outside enclaves, of a guest that is not L2.
    VmxInstruction(Vcpu& vcpu, const Capture& exit) : vcpu_{vcpu}, exit_{exit} {}

    [[nodiscard]] Next run();

private:
    Vcpu& vcpu_;
    const Capture& exit_;
};

}  // namespace postern::hv
