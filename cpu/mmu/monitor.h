// SPDX-License-Identifier: Apache-2.0
// Lines armed by MONITOR: while a processor waits on one, stores to its page come by the slow
// path, and the first that touches the line ends the wait. SDM 2B, "MONITOR", "MWAIT".
#pragma once

#include "cpu/cpu.h"

namespace postern::cpu {

inline constexpr u64 monitor_line = 64;  // bytes; CPUID.05H says so

/// Arms the line that holds `bytes`, RAM of the machine; the address is its physical one.
void arm_monitor(Cpu& c, Hpa address, const u8* bytes);
void disarm_monitor(Cpu& c);

/// Some processor watches a line of the page.
bool is_monitored_page(const System& system, const u8* bytes);

/// The bytes are about to be stored to, by processor `by` or (null) a device: whoever else monitors
/// one of them is woken. A processor's own stores do not trigger its own monitor.
void wake_monitors(System& system, const Cpu* by, const u8* bytes, u64 size);

}  // namespace postern::cpu
