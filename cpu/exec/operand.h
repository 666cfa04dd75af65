// SPDX-License-Identifier: Apache-2.0
// Operands chosen at run time, for instructions off the hot path: size and form are in the Insn.
#pragma once

#include "cpu/exec/fast.h"

namespace postern::cpu {

inline unsigned size_of(const Insn& i) { return i.form & form_size_mask; }
inline bool has_memory(const Insn& i) { return (i.form & form_memory) != 0; }
constexpr u64 size_mask(unsigned size) { return ~u64{0} >> (64 - 8 * size); }

/// Register `which` (a row, or a byte offset if size is 1), zero-extended.
inline u64 get_sized(const Cpu& c, u8 which, unsigned size) {
    return size == 1 ? get<u8>(c, which) : c.gpr[which] & size_mask(size);
}
inline void put_sized(Cpu& c, u8 which, unsigned size, u64 value) {
    switch (size) {
        case 1: return put<u8>(c, which, static_cast<u8>(value));
        case 2: return put<u16>(c, which, static_cast<u16>(value));
        case 4: return put<u32>(c, which, static_cast<u32>(value));
        default: return put<u64>(c, which, value);
    }
}

/// The r/m operand as a source: memory, or the register in `row`.
inline Result<u64> read_operand(Cpu& c, const Insn& i, u8 row) {
    if (has_memory(i)) return load(c, linear_address(c, i), size_of(i));
    return get_sized(c, row, size_of(i));
}
/// The r/m operand as source and destination: what its store could raise is raised now.
inline Result<u64> read_for_write(Cpu& c, const Insn& i, u8 row) {
    if (has_memory(i)) TRY(probe_write(c, linear_address(c, i), size_of(i)));
    return read_operand(c, i, row);
}
inline Result<> write_operand(Cpu& c, const Insn& i, u8 row, u64 value) {
    if (has_memory(i)) return store(c, linear_address(c, i), size_of(i), value);
    put_sized(c, row, size_of(i), value);
    return Done{};
}

}  // namespace postern::cpu
