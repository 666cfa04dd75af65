// SPDX-License-Identifier: Apache-2.0
// What every enclave of ours begins with: its entry, and what it sees of an interrupted call.
#pragma once

#include "guests/abi.h"
#include "guests/enclave_layout.h"

namespace postern::guests {

/// The part of an SSA frame's GPRSGX that the handler uses; it ends with the frame.
/// SDM 3D, "GPRSGX Region".
struct InterruptedRegisters {
    u64 rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi;
    u64 r8_to_r15[8];
    u64 rflags, rip, ursp, urbp;
    u32 exit_information;
    u8 reserved[3];
    u8 aex_notify;
    u64 fs_base, gs_base;
};
static_assert(sizeof(InterruptedRegisters) == 184);

/// The SSA frame of the call that was interrupted, of the thread whose frames `ssa` holds.
inline InterruptedRegisters& interrupted_call(const layout::Region& ssa) {
    const u64 end = layout::start_of(ssa) + layout::ssa_frame_pages * layout::page;
    return *reinterpret_cast<InterruptedRegisters*>(end - sizeof(InterruptedRegisters));
}

/// What the entry calls: the caller's RDI and RSI, CSSA, and the TCS's address.
extern "C" EnclaveStatus enclave_main(u64 function, u64 call, u64 cssa, u64 tcs);

}  // namespace postern::guests
