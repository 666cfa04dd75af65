// SPDX-License-Identifier: Apache-2.0
// The breakpoints of DR0 to DR3, and with them the debugger's watched data. While any is enabled
// every instruction runs alone (must_step()), and pages with watched bytes stay out of the TLB, so
// that every access to them comes by the slow path and is seen. While none is, all of this costs a
// compare at each boundary.
#pragma once

#include "base/address.h"
#include "cpu/cpu.h"
#include "cpu/debugger.h"

namespace postern::cpu {

inline bool has_breakpoints(const Cpu& c) { return (c.dr7 & 0xff) != 0; }

/// Some access to data is to be seen.
bool watches_data(const Cpu& c);

/// Accesses to this page must be seen by note_access().
bool is_watched_page(const Cpu& c, Gva linear);

/// An instruction's own access to data has been made; it traps if the instruction completes.
/// SDM 3B, "Data Memory and I/O Breakpoint Exception Conditions".
void note_access_to_watched(Cpu& c, Gva linear, u64 size, bool write);
inline void note_access(Cpu& c, Gva linear, u64 size, bool write) {
    if (has_breakpoints(c)) [[unlikely]]
        note_access_to_watched(c, linear, size, write);
    if (has_watches(c)) [[unlikely]]
        note_access_for_debugger(c, linear, size, write);
}

/// Likewise IN, OUT, INS and OUTS.
void note_port_access(Cpu& c, u16 port, unsigned size);

/// B3 to B0 of the breakpoints at the instruction that would run next. SDM 3B,
/// "Instruction-Breakpoint Exception Condition".
u64 instruction_breakpoints(const Cpu& c);

}  // namespace postern::cpu
