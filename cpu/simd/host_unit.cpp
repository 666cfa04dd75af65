// SPDX-License-Identifier: Apache-2.0
// Who owns the host's MXCSR when.
#include "cpu/simd/host_unit.h"

#include <xmmintrin.h>

#include "cpu/simd/float_trap.h"
#include "cpu/x87/unit.h"

namespace postern::cpu {
namespace {

thread_local u32 host_mxcsr = mxcsr_reset;

}  // namespace

void enter_host_unit(Cpu& c) {
    if (c.host_unit) return;
    prepare_float_trap();
    host_mxcsr = _mm_getcsr();
    _mm_setcsr(c.vector.mxcsr);
    c.host_unit = true;
}

void leave_host_unit(Cpu& c) {
    take_back_x87(c);
    if (!c.host_unit) return;
    c.vector.mxcsr = _mm_getcsr();
    _mm_setcsr(host_mxcsr);
    c.host_unit = false;
}

u32 guest_mxcsr(const Cpu& c) { return c.host_unit ? _mm_getcsr() : c.vector.mxcsr; }

void set_guest_mxcsr(Cpu& c, u32 value) {
    c.vector.mxcsr = value;
    if (c.host_unit) _mm_setcsr(value);
}

void sync_from_host(Cpu& c) {
    c.vector.mxcsr = guest_mxcsr(c);
    take_back_x87(c);
}

void sync_to_host(Cpu& c) {
    if (c.host_unit) _mm_setcsr(c.vector.mxcsr);
}

}  // namespace postern::cpu
