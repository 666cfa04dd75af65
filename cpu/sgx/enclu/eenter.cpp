// SPDX-License-Identifier: Apache-2.0
// ENCLU[EENTER].
#include "cpu/exec/address.h"
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/operand.h"
#include "cpu/sgx/thread.h"

namespace postern::cpu::sgx {

/// Enters an enclave at its entry point. SDM 3D, "EENTER", Operation.
/// In: RBX = TCS, RCX = AEP. Out: RAX = TCS.CSSA, RCX = the address after the instruction.
Result<> eenter(Cpu& c) {
    Thread thread;
    TRY(find_thread(c, thread));
    Epc& epc = *c.system->epc;
    const Tcs& tcs = epc.tcs(thread.tcs_page);
    const u64 base = epc.secs(thread.secs_page).baseaddr;
    Start start{base + tcs.oentry, base + tcs.ofsbase, base + tcs.ogsbase,
                !tcs.flags.has(TcsFlag::dbgoptin)};
    if (!is_canonical(c, start.fs_base) || !is_canonical(c, start.gs_base))
        return general_protection(c);
    TRY(check_enclave(c, thread));
    if (tcs.cssa >= tcs.nssa) return general_protection(c);
    TRY(cache_frame(c, thread, tcs.cssa));
    if (!is_canonical(c, start.target)) return general_protection(c);
    if (tcs.state == TcsState::active) return general_protection(c);

    // From here on nothing can fault.
    about_to_write_page(c, thread.ssa_gpr / page_size);
    auto& gprsgx = epc.at<Gprsgx>(thread.ssa_gpr);
    gprsgx.ursp = c.gpr[rsp];
    gprsgx.urbp = c.gpr[rbp];
    const u64 return_address = c.next_rip;
    enter(c, thread, start);
    c.gpr[rax] = tcs.cssa;
    c.gpr[rcx] = return_address;
    return Done{};
}

}  // namespace postern::cpu::sgx
