// SPDX-License-Identifier: Apache-2.0
// One processor's registers in a snapshot: the bytes of cpu::Cpu up to `tlb`, in a form that says
// nothing of how the state came about (lazy flags, padding, scratch).
#pragma once

#include <memory>

#include "cpu/cpu.h"
#include "platform/snapshot/bytes.h"

namespace postern::platform::snapshot {

inline constexpr u64 processor_bytes = offsetof(cpu::Cpu, tlb);

/// Differs between two builds that lay out a processor's state differently.
u32 processor_layout();

/// The processor is between two instructions, and outside the run loop.
Bytes save_processor(const cpu::Cpu& c);

/// A processor that came from a file: only what save_processor() writes is meaningful. Null: no
/// program of ours wrote these bytes for processor `number` of this machine.
std::unique_ptr<cpu::Cpu> plausible_processor(View bytes, u32 number, const cpu::System& system);

/// Takes over the registers of `from`. Translations and cached code are the caller's affair.
void restore_processor(cpu::Cpu& c, const cpu::Cpu& from);

}  // namespace postern::platform::snapshot
