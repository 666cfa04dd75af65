// SPDX-License-Identifier: Apache-2.0
// Descriptors in memory: found, read, marked accessed or busy. What a descriptor must be for a
// given use is the caller's.
#pragma once

#include "arch/regs/segment.h"
#include "base/result.h"
#include "cpu/cpu.h"

namespace postern::cpu {

/// A selector as an error code. SDM 3A, "Error Code". `external` is the EXT bit.
constexpr u32 selector_error(u16 selector, u32 external = 0) {
    return (selector & 0xfffcu) | external;
}

/// The linear address of the descriptor (`size` bytes, 8 or 16) of a selector that is not null;
/// `fault`(selector) beyond the table's limit.
Result<Gva> find_descriptor(Cpu& c, u16 selector, unsigned size, u32 external = 0,
                            Vector fault = Vector::general_protection);

/// Its first 8 bytes.
Result<u64> read_descriptor(Cpu& c, u16 selector, u32 external = 0,
                            Vector fault = Vector::general_protection);

/// Sets the accessed bit in memory if it is clear. A locked cycle; may fault as a store does.
Result<> mark_accessed(Cpu& c, u16 selector, u64 descriptor);

/// The register that a descriptor gives, its accessed bit set.
Segment loaded_segment(u16 selector, u64 descriptor);
/// The same for CS, with RPL = `privilege`.
Segment code_segment(u16 selector, u64 descriptor, unsigned privilege);

/// A data-segment register (SS, DS, ES, FS, GS) that a null selector leaves unusable.
Segment null_segment(u16 selector);

/// What a load in real mode makes of `old`: base = selector * 16, read/write data, the limit kept.
Segment real_mode_segment(const Segment& old, u16 selector);

/// The flat segments of SYSCALL, SYSENTER and their returns: CS of 64 or 32 bits, SS writable.
Segment flat_code_segment(u16 selector, unsigned privilege, bool is_64_bit = true);
Segment flat_stack_segment(u16 selector, unsigned privilege);

/// Loads the hidden FS or GS base wherever it is kept.
void set_segment(Cpu& c, SegmentIndex index, const Segment& value);
void set_segment_base(Cpu& c, SegmentIndex index, u64 base);

/// The descriptor for an SS of CPL `privilege` (MOV SS, IRET, RET): every check but those on null
/// selectors. The faults: #GP(selector), #SS(selector) if not present.
Result<u64> read_stack_descriptor(Cpu& c, u16 selector, unsigned privilege);

/// After a return to outer privilege `privilege`: DS, ES, FS and GS that it may not keep become
/// null; only their selectors do, and a base stays in use in 64-bit mode. SDM 2A,
/// "IRET/IRETD/IRETQ", Operation.
void drop_inner_segments(Cpu& c, unsigned privilege);

/// CS, and with it CPL.
void set_code_segment(Cpu& c, const Segment& code, unsigned privilege);

}  // namespace postern::cpu
