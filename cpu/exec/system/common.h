// SPDX-License-Identifier: Apache-2.0
// What most system instructions begin with, and how they report their operands to a hypervisor.
#pragma once

#include "arch/vmx/instruction_information.h"
#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/event/controls.h"
#include "cpu/event/event.h"
#include "cpu/exec/address.h"
#include "cpu/exec/system.h"
#include "cpu/model.h"
#include "cpu/vmx/vmx.h"

namespace postern::cpu {

/// #UD, if the model lacks the instruction.
inline Result<> require(Cpu& c, Feature feature) {
    if (!has_feature(*c.system->model, feature)) return invalid_opcode(c);
    return Done{};
}

/// #UD inside an enclave, before any VM exit. SDM 3D, "Illegal Instructions".
inline Result<> refuse_in_enclave(Cpu& c) {
    if (c.enclave.active) return invalid_opcode(c);
    return Done{};
}

/// #GP(0) but at CPL 0.
inline Result<> require_supervisor(Cpu& c) {
    if (c.cpl != 0) return general_protection(c);
    return Done{};
}

inline unsigned operand_size(const Insn& i) { return i.form & form_size_mask; }
inline bool is_memory(const Insn& i) { return (i.form & form_memory) != 0; }

/// A result of 2, 4 or 8 bytes: 2 keep the rest of the register, 4 clear the upper half.
inline void put_register(Cpu& c, unsigned row, unsigned size, u64 value) {
    if (size == 2)
        c.gpr[row] = (c.gpr[row] & ~u64{0xffff}) | (value & 0xffff);
    else if (size == 4)
        c.gpr[row] = static_cast<u32>(value);
    else
        c.gpr[row] = value;
}

/// The segment of a memory operand, as instruction information names it.
inline SegmentIndex operand_segment(const Insn& i) {
    if (i.segment == row_fs_base) return fs;
    if (i.segment == row_gs_base) return gs;
    return i.base == rsp || i.base == rbp ? ss : ds;
}

/// Outside 64-bit mode the operand is in the micro-operation that goes before the instruction
/// (cpu/exec/segment_check.h): its segment in src, the size of its address in form.
inline bool is_split(const Insn& i) { return i.base == row_linear; }
inline const Insn& operand_of(const Insn& i) { return is_split(i) ? (&i)[-1] : i; }

inline AddressSize address_size(const Insn& i) {
    if (is_split(i))
        return operand_size(operand_of(i)) == 2 ? AddressSize::bits16 : AddressSize::bits32;
    return (i.form & form_address32) != 0 ? AddressSize::bits32 : AddressSize::bits64;
}

inline MemoryOperandInformation memory_information(const Insn& i) {
    const Insn& operand = operand_of(i);
    const bool has_index = operand.index < gpr_count;
    const bool has_base = operand.base < gpr_count;
    return MemoryOperandInformation::of_memory(
        {.address_size = address_size(i),
         .segment = is_split(i) ? static_cast<SegmentIndex>(operand.src) : operand_segment(i),
         .scaling = operand.scale,
         .has_index = has_index,
         .index = has_index ? static_cast<Gpr>(operand.index) : rax,
         .has_base = has_base,
         .base = has_base ? static_cast<Gpr>(operand.base) : rax});
}

/// The exit qualification of a memory operand: its displacement; relative to RIP, the address.
inline u64 displacement(const Cpu& c, const Insn& i) {
    const u64 relative_to = i.base == row_block ? c.gpr[row_block] : 0;
    return relative_to + static_cast<u64>(i64{operand_of(i).disp});
}

/// All of RFLAGS but ZF stays.
void set_zf(Cpu& c, bool on);

// The current stack: RSP in 64-bit mode, else ESP or SP in SS.

/// Where the `number`th of several pushes of `size` bytes goes; #SS(0).
Result<Gva> push_address(Cpu& c, unsigned size, u64 number = 1);

/// Pushes `value` as `size` bytes; RSP moves only if the store succeeds.
Result<> push_value(Cpu& c, u64 value, unsigned size);

/// What `count` pushes could raise is raised now.
Result<> probe_pushes(Cpu& c, unsigned size, unsigned count);

/// The top of the stack, which stays where it is.
Result<u64> peek_stack(Cpu& c, unsigned size, u64 offset = 0);

/// Takes `bytes` off the stack.
void release_stack(Cpu& c, u64 bytes);

}  // namespace postern::cpu
