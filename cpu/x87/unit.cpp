// SPDX-License-Identifier: Apache-2.0
// The host's x87 unit. No instruction here waits for exceptions: one that the guest left pending
// would be a SIGFPE of ours.
#include "cpu/x87/unit.h"

#include <xmmintrin.h>

#include <cstring>

#include "cpu/event/event.h"
#include "cpu/exec/fast.h"
#include "cpu/simd/operand_buffer.h"

namespace postern::cpu {
namespace {

// Offsets in FXSAVE's image. SDM 2A, "FXSAVE".
constexpr unsigned fcw_at = 0, fsw_at = 2, tag_at = 4, mxcsr_at = 24, st_at = 32;
constexpr size_t st_size = 10;

struct alignas(16) Image {
    std::array<u8, 512> bytes;
};

thread_local u16 host_fcw = fcw_init;

u16 unit_fcw() {
    u16 fcw = 0;
    asm volatile("fnstcw %0" : "=m"(fcw));
    return fcw;
}
u16 unit_fsw() {
    u16 fsw = 0;
    asm volatile("fnstsw %0" : "=a"(fsw));
    return fsw;
}

/// MXCSR comes back as it was; the XMM registers are the caller's to lose.
void load_unit(const X87State& state) {
    Image image{};
    u8* const at = image.bytes.data();
    const u32 mxcsr = _mm_getcsr();
    std::memcpy(at + fcw_at, &state.fcw, sizeof state.fcw);
    std::memcpy(at + fsw_at, &state.fsw, sizeof state.fsw);
    std::memcpy(at + tag_at, &state.tag, sizeof state.tag);
    std::memcpy(at + mxcsr_at, &mxcsr, sizeof mxcsr);
    for (size_t n = 0; n < 8; ++n) std::memcpy(at + st_at + 16 * n, state.st[n].data(), st_size);
    asm volatile("fxrstor64 %0"
                 :
                 : "m"(image)
                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                   "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

X87State read_unit() {
    Image image;
    asm volatile("fxsave64 %0" : "=m"(image));
    const u8* const at = image.bytes.data();
    X87State state{};
    std::memcpy(&state.fcw, at + fcw_at, sizeof state.fcw);
    std::memcpy(&state.fsw, at + fsw_at, sizeof state.fsw);
    std::memcpy(&state.tag, at + tag_at, sizeof state.tag);
    for (size_t n = 0; n < 8; ++n) std::memcpy(state.st[n].data(), at + st_at + 16 * n, st_size);
    return state;
}

/// As a function call of the host expects it.
void give_back_unit() { asm volatile("fninit\n\tfldcw %0" : : "m"(host_fcw)); }

X87Unit kind_of(u16 fcw) {
    return (fcw & x87_exceptions) == x87_exceptions ? X87Unit::masked : X87Unit::unmasked;
}

void bring_into_unit(Cpu& c) {
    host_fcw = unit_fcw();
    load_unit(c.vector.x87);
    c.x87_unit = kind_of(c.vector.x87.fcw);
}

}  // namespace

X87State guest_x87(const Cpu& c) {
    return c.x87_unit == X87Unit::absent ? c.vector.x87 : read_unit();
}

void set_guest_x87(Cpu& c, const X87State& state) {
    if (c.x87_unit != X87Unit::absent) give_back_unit();
    c.x87_unit = X87Unit::absent;
    c.vector.x87 = state;
}

void take_back_x87(Cpu& c) {
    if (c.x87_unit != X87Unit::absent) set_guest_x87(c, read_unit());
}

u16 guest_fsw(const Cpu& c) {
    return c.x87_unit == X87Unit::absent ? c.vector.x87.fsw : unit_fsw();
}

void set_guest_fcw(Cpu& c, u16 fcw) {
    c.vector.x87.fcw = fcw;
    if (c.x87_unit == X87Unit::absent) {
        c.vector.x87.fsw = usable_fsw(c.vector.x87.fsw, fcw);
        return;
    }
    asm volatile("fldcw %0" : : "m"(fcw));
    c.x87_unit = kind_of(fcw);
}

Result<> check_x87_exception(Cpu& c) {
    if (c.x87_unit == X87Unit::masked || (guest_fsw(c) & fsw_es) == 0) return Done{};
    // FERR# and the interrupt controller.
    if (!c.cr0.has(Cr0::ne)) return raise_unimplemented(c, "x87 exception with CR0.NE = 0");
    return raise(c, Vector::x87_floating_point);
}

Result<> prepare_x87(Cpu& c) {
    TRY(check_x87_exception(c));
    if (c.x87_unit == X87Unit::absent) bring_into_unit(c);
    return Done{};
}

void use_as_mmx() { asm volatile("movd %%mm0, %%eax" : : : "eax"); }

Step unit_not_ready(Cpu& c, const Insn* i) {
    if (!prepare_x87(c)) return fault_at(c, i);
    if (const Step step = run_apart(c, i, nullptr); step != Step::next) return step;
    NEXT(c, i);
}

}  // namespace postern::cpu
