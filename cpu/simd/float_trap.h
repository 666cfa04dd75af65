// SPDX-License-Identifier: Apache-2.0
// SIGFPE: an unmasked SIMD floating-point exception of the guest, met on the host's unit.
#pragma once

namespace postern::cpu {

/// Makes the calling thread ready to run thunks: the process's handler, the thread's alternate
/// stack. A SIGFPE within a thunk becomes a tail call of simd_exception() (cpu/simd/thunk.h);
/// any other is our own bug: reported, then left to the handler that was there before, or the end
/// of the process.
void prepare_float_trap();

}  // namespace postern::cpu
