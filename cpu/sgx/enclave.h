// SPDX-License-Identifier: Apache-2.0
// What a logical processor holds while it executes an enclave: everything AEX needs is cached at
// entry, because AEX must not fault.
#pragma once

#include "arch/regs/segment.h"
#include "base/types.h"

namespace postern::cpu {

struct Enclave {
    bool active;
    bool debug_opt_in;  // TCS.FLAGS.DBGOPTIN at entry
    bool outer_tf;      // saved by an opt-out entry
    bool mode64;
    u32 secs_page;  // index into the EPC
    u32 tcs_page;
    u64 base;  // ELRANGE
    u64 size;
    u64 tcs_linear;
    u64 aep;
    u64 xfrm;
    u64 entry_epoch;  // of the enclave's Tracking
    u32 misc_select;
    u32 ssa_frame_pages;
    /// Byte offsets into the EPC of the current SSA frame's parts, pages cached at entry.
    u64 ssa_gpr;       // of GPRSGX
    u64 ssa_misc;      // of EXINFO (below GPRSGX), when misc_select asks for it
    u64 ssa_xsave[4];  // of each page of the XSAVE area
    u64 outer_xcr0;
    Segment outer_fs, outer_gs;

    [[nodiscard]] bool covers(u64 linear) const { return linear - base < size; }
};

}  // namespace postern::cpu
