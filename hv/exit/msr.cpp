// SPDX-License-Identifier: Apache-2.0
// RDMSR and WRMSR of exits outside enclaves; what each MSR does is in hv/msr.cpp.
#include "hv/exit/handlers.h"

namespace postern::hv {

/// SDM 2B, "RDMSR".
Next on_rdmsr(NormalExit& exit) {
    u64 value = 0;
    if (!exit.read_msr(static_cast<u32>(exit.read(rcx)), value))
        return exit.fault(Vector::general_protection);
    exit.write(rax, value & 0xffff'ffff);
    exit.write(rdx, value >> 32);
    return exit.done();
}

/// SDM 2D, "WRMSR".
Next on_wrmsr(NormalExit& exit) {
    const u64 value = (exit.read(rdx) << 32) | (exit.read(rax) & 0xffff'ffff);
    if (!exit.write_msr(static_cast<u32>(exit.read(rcx)), value))
        return exit.fault(Vector::general_protection);
    return exit.done();
}

}  // namespace postern::hv
