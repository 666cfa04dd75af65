// SPDX-License-Identifier: Apache-2.0
// The VMX instructions of exits outside enclaves. What they do is in hv/nested/instructions.cpp.
#include "hv/exit/handlers.h"

namespace postern::hv {

/// A guest that has no VMX, or has not turned it on, meets #UD. SDM 3C, "VMX Instruction
/// Reference".
Next on_vmx_instruction(NormalExit& exit) {
    if (!exit.offers_vmx()) return exit.fault(Vector::invalid_opcode);
    return exit.run_vmx_instruction();
}

}  // namespace postern::hv
