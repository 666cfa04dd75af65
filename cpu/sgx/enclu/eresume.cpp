// SPDX-License-Identifier: Apache-2.0
// ENCLU[ERESUME].
#include "cpu/flags.h"
#include "cpu/mode.h"
#include "cpu/sgx/extended_state.h"
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/operand.h"
#include "cpu/sgx/thread.h"

namespace postern::cpu::sgx {
namespace {

/// Which flags come from the SSA; IF only where CPL 3 may change it. TF, IOPL, VIF and VIP stay.
u64 resumed_flags(const Cpu& c, u64 saved) {
    constexpr u64 always =
        rflags_status_mask | Rflags{Rflag::df, Rflag::nt, Rflag::rf, Rflag::ac, Rflag::id}.to_raw();
    const u64 mask = iopl(c.flags) == 3 ? always | Rflags{Rflag::if_}.to_raw() : always;
    return (rflags(c) & ~mask) | (saved & mask);
}

/// An AEX of 32-bit code writes, and ERESUME reads, the lower halves only, and neither has R8 to
/// R15.
unsigned saved_count(const Cpu& c) { return in_64_bit_mode(c) ? gpr_count : 8; }
u64 saved_word(const Cpu& c, u64 field) {
    return in_64_bit_mode(c) ? field : static_cast<u32>(field);
}

Result<> check_start(Cpu& c, const Thread& thread, const Start& start) {
    TRY(check_target(c, start.target));
    TRY(check_segments(c, thread, start));
    return check_idle(c, thread);
}

/// Where the AEX interrupted it. Outside 64-bit mode the segment bases are the TCS's.
Start interruption_point(const Cpu& c, const Thread& thread, const Gprsgx& saved) {
    Start start = entry_point(c, thread);
    start.target = saved_word(c, saved.rip);
    start.masks_traps = true;
    if (!in_64_bit_mode(c)) return start;
    start.fs_base = saved.fsbase;
    start.gs_base = saved.gsbase;
    return start;
}

/// The SSA frame of the AEX asks for the entry point instead of the interrupted instruction. SDM
/// 3D, "ERESUME", Operation; the enclave learns of it as of an EENTER, one frame higher.
Result<> notify(Cpu& c, Thread& thread) {
    const Tcs& tcs = c.system->epc->tcs(thread.tcs_page);
    if (tcs.cssa >= tcs.nssa) return general_protection(c);
    TRY(cache_frame(c, thread, tcs.cssa));
    const Start start = entry_point(c, thread);
    TRY(check_start(c, thread, start));

    // From here on nothing can fault.
    enter_at_entry_point(c, thread, start);
    if (c.system->choices.rcx_after_notify_is_entry) c.gpr[rcx] = start.target;
    return Done{};
}

Result<> go_on(Cpu& c, const Thread& thread) {
    Epc& epc = *c.system->epc;
    const auto saved = epc.at<Gprsgx>(thread.ssa_gpr);
    const Start start = interruption_point(c, thread, saved);
    TRY(check_start(c, thread, start));
    const Xcr0Word xfrm = epc.secs(thread.secs_page).attributes.xfrm;
    const u8* const area = epc.bytes + thread.ssa_xsave[0];
    if (!is_loadable(c, xfrm, area)) return general_protection(c);

    // From here on nothing can fault. TF as it is now is what enter() keeps for the way out.
    enter(c, thread, start);
    --epc.tcs(thread.tcs_page).cssa;
    load_extended_state(c, xfrm, area);
    for (unsigned n = 0; n < saved_count(c); ++n) c.gpr[n] = saved_word(c, saved.*saved_gpr[n]);
    set_rflags(c, resumed_flags(c, saved.rflags));
    c.event.resume_loaded = true;
    return Done{};
}

}  // namespace

/// Goes on with an enclave that an AEX interrupted. SDM 3D, "ERESUME", Operation.
/// In: RBX = TCS, RCX = AEP. Out: everything from the SSA frame; with AEX-Notify, as EENTER.
Result<> eresume(Cpu& c) {
    Thread thread;
    TRY(find_thread(c, EncluLeaf::eresume, thread));
    TRY(check_enclave(c, thread));
    const Epc& epc = *c.system->epc;
    const Tcs& tcs = epc.tcs(thread.tcs_page);
    if (tcs.cssa == 0) return general_protection(c);
    TRY(cache_frame(c, thread, tcs.cssa - 1));
    const bool asked = (epc.at<Gprsgx>(thread.ssa_gpr).aexnotify & 1) != 0;
    return asked && tcs.flags.has(TcsFlag::aexnotify) ? notify(c, thread) : go_on(c, thread);
}

}  // namespace postern::cpu::sgx
