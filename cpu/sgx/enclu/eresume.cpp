// SPDX-License-Identifier: Apache-2.0
// ENCLU[ERESUME].
#include "cpu/exec/address.h"
#include "cpu/flags.h"
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

}  // namespace

/// Goes on with an enclave that an AEX interrupted. SDM 3D, "ERESUME", Operation.
/// In: RBX = TCS, RCX = AEP. Out: everything from the SSA frame.
Result<> eresume(Cpu& c) {
    Thread thread;
    TRY(find_thread(c, thread));
    TRY(check_enclave(c, thread));
    Epc& epc = *c.system->epc;
    Tcs& tcs = epc.tcs(thread.tcs_page);
    if (tcs.cssa == 0) return general_protection(c);
    TRY(cache_frame(c, thread, tcs.cssa - 1));
    const auto saved = epc.at<Gprsgx>(thread.ssa_gpr);
    if (!is_canonical(c, saved.rip)) return general_protection(c);
    if (!is_canonical(c, saved.fsbase) || !is_canonical(c, saved.gsbase))
        return general_protection(c);
    if (tcs.state == TcsState::active) return general_protection(c);
    const Xcr0Word xfrm = epc.secs(thread.secs_page).attributes.xfrm;
    const u8* const area = epc.bytes + thread.ssa_xsave[0];
    if (!is_loadable(c, xfrm, area)) return general_protection(c);

    // From here on nothing can fault. TF as it is now is what enter() keeps for the way out.
    enter(c, thread, {saved.rip, saved.fsbase, saved.gsbase, true});
    --tcs.cssa;
    load_extended_state(c, xfrm, area);
    for (unsigned n = 0; n < gpr_count; ++n) c.gpr[n] = saved.*saved_gpr[n];
    set_rflags(c, resumed_flags(c, saved.rflags));
    c.event.resume_loaded = true;
    return Done{};
}

}  // namespace postern::cpu::sgx
