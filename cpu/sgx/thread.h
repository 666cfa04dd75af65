// SPDX-License-Identifier: Apache-2.0
// What EENTER and ERESUME share: finding the thread, checking the enclave, caching an SSA frame,
// going in; and what EEXIT and AEX share: coming out.
#pragma once

#include "arch/sgx/leaf.h"
#include "arch/sgx/ssa.h"
#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/sgx/epc.h"

namespace postern::cpu::sgx {

/// In the order of Gpr, as GPRSGX lies in memory.
inline constexpr u64 Gprsgx::* saved_gpr[gpr_count] = {
    &Gprsgx::rax, &Gprsgx::rcx, &Gprsgx::rdx, &Gprsgx::rbx, &Gprsgx::rsp, &Gprsgx::rbp,
    &Gprsgx::rsi, &Gprsgx::rdi, &Gprsgx::r8,  &Gprsgx::r9,  &Gprsgx::r10, &Gprsgx::r11,
    &Gprsgx::r12, &Gprsgx::r13, &Gprsgx::r14, &Gprsgx::r15};

/// What the checks have found. Nothing of it is the processor's yet.
struct Thread {
    u64 tcs_page;
    u64 secs_page;
    u64 ssa_gpr;            // byte offsets into the EPC
    u64 ssa_xsave[4] = {};  // 0 behind the area
};

/// The TCS at RBX: in the EPC, a TCS of some enclave at that address, not blocked, pending or
/// modified, its addresses aligned; and the AEP in RCX canonical. Outside 64-bit mode the segments
/// are flat. `leaf`: who asks.
Result<> find_thread(Cpu& c, EncluLeaf leaf, Thread& thread);

/// TCS.FLAGS; the enclave initialised, of this mode, its XFRM usable, AEX-Notify as the TCS has it.
Result<> check_enclave(Cpu& c, const Thread& thread);

/// The pages of SSA frame `index`: writable by paging, and the enclave's own regular pages.
Result<> cache_frame(Cpu& c, Thread& thread, u32 index);

/// The next AEX goes to the frame that was cached.
void use_frame(Enclave& e, const Thread& thread);

/// Where and with which segment bases the enclave begins.
struct Start {
    u64 target;
    u64 fs_base;
    u64 gs_base;
    /// The entry swallows the single-step trap and the MTF exit that would follow it.
    bool masks_traps;
};

/// As the TCS has it.
Start entry_point(const Cpu& c, const Thread& thread);

/// #GP(0) unless its FS and GS are canonical; outside 64-bit mode, unless they lie within DS.
Result<> check_segments(Cpu& c, const Thread& thread, const Start& start);

/// #GP(0) unless execution may go on there: canonical, or within CS.
Result<> check_target(Cpu& c, u64 target);

/// #GP(0) if a logical processor is inside by this TCS.
Result<> check_idle(Cpu& c, const Thread& thread);

/// EENTER from the point where nothing can fault, which is also how ERESUME notifies: records RSP
/// and RBP in the frame, and sets RAX and RCX.
void enter_at_entry_point(Cpu& c, const Thread& thread, const Start& start);

/// All that entries change alike. Cannot fail.
void enter(Cpu& c, const Thread& thread, const Start& start);

/// All that leaving changes alike: the TCS, FS, GS, XCR0, TF, enclave mode, translations.
/// Cpu::enclave is empty afterwards.
void leave(Cpu& c);

/// FS and GS with their bases in Cpu::gpr.
void load_segments(Cpu& c, const Segment& new_fs, const Segment& new_gs);

}  // namespace postern::cpu::sgx
