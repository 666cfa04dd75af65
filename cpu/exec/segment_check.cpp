// SPDX-License-Identifier: Apache-2.0
// The checks of segmentation, and the micro-operations that make them for memory operands. They
// do not retire and take no time: Insn::remaining is that of the instruction that follows.
#include "cpu/exec/segment_check.h"

#include <algorithm>
#include <bit>

#include "cpu/event/event.h"
#include "cpu/exec/fast.h"
#include "cpu/exec/operand.h"
#include "cpu/mode.h"

namespace postern::cpu {
namespace {

/// Writable data that grows upwards: allows every kind of access, as in most programs.
bool is_plain_data(const Segment& s) {
    constexpr u32 kinds = access_rights_unusable | 0x1e, data = 0x12;
    return (s.access_rights & kinds) == data;
}

bool within_limit(const Segment& s, u64 offset, u64 size) {
    const u64 last = offset + size - 1;
    if (!s.expand_down()) return last <= s.limit;
    return offset > s.limit && last <= stack_mask(s);  // B says where it ends, too
}

bool type_allows(const Segment& s, Access access) {
    if (s.unusable()) return false;
    return access == Access::write ? s.writable() : s.readable();
}

}  // namespace

bool segment_allows(const Cpu& c, const Segment& s, u64 offset, u64 size, Access access) {
    if (in_protected_mode(c) && !type_allows(s, access)) return false;
    return within_limit(s, offset, size);
}

namespace {

Failed raise_segment_fault(Cpu& c, SegmentIndex index) {
    return raise(c, index == ss ? Vector::stack_fault : Vector::general_protection, 0);
}

}  // namespace

Result<Gva> segment_address(Cpu& c, SegmentIndex index, u64 offset, u64 size, Access access) {
    const Segment& s = c.segment[index];
    if (!segment_allows(c, s, offset, size, access)) return raise_segment_fault(c, index);
    return Gva{static_cast<u32>(s.base + offset)};
}

SegmentIndex segment_of_operand(ZydisRegister segment) {
    switch (segment) {
        case ZYDIS_REGISTER_ES: return es;
        case ZYDIS_REGISTER_CS: return cs;
        case ZYDIS_REGISTER_SS: return ss;
        case ZYDIS_REGISTER_FS: return fs;
        case ZYDIS_REGISTER_GS: return gs;
        default: return ds;
    }
}

namespace {

// The micro-operation's Insn: the operand's address as ever, but for the segment: src is its
// index; imm: bytes that must lie in it.

template <bool narrow>
u64 offset_of(const Cpu& c, const Insn* i) {
    const u64 a = c.gpr[i->base] + (c.gpr[i->index] << i->scale) + static_cast<u64>(i64{i->disp});
    return narrow ? static_cast<u16>(a) : static_cast<u32>(a);
}

SegmentIndex segment_of(const Insn* i) { return static_cast<SegmentIndex>(i->src); }

/// No fault_at(): the stack is not to blame, the segment is.
[[gnu::cold]] Step refuse(Cpu& c, const Insn* i) {
    (void)raise_segment_fault(c, segment_of(i));
    c.rip = address_of(c, i);
    c.budget += i->remaining;
    return Step::fault;
}

template <bool narrow, Access access>
[[gnu::noinline, gnu::cold]] Step check_slowly(Cpu& c, const Insn* i) {
    const Segment& s = c.segment[i->src];
    const u64 offset = offset_of<narrow>(c, i);
    if (!segment_allows(c, s, offset, static_cast<u64>(i->imm), access)) return refuse(c, i);
    c.gpr[row_linear] = static_cast<u32>(s.base + offset);
    NEXT(c, i);
}

template <bool narrow, Access access>
Step check(Cpu& c, const Insn* i) {
    const Segment& s = c.segment[i->src];
    const u64 offset = offset_of<narrow>(c, i);
    const bool plain = is_plain_data(s) && offset + static_cast<u64>(i->imm) - 1 <= s.limit;
    if (!plain) [[unlikely]]
        TAIL check_slowly<narrow, access>(c, i);
    c.gpr[row_linear] = static_cast<u32>(s.base + offset);
    NEXT(c, i);
}

/// LEA: the offset itself.
template <bool narrow>
Step take_offset(Cpu& c, const Insn* i) {
    c.gpr[row_linear] = offset_of<narrow>(c, i);
    NEXT(c, i);
}

/// An address that is not accessed (INVLPG), or not before checked_address().
template <bool narrow>
Step take_linear(Cpu& c, const Insn* i) {
    c.gpr[row_linear] = static_cast<u32>(c.segment[i->src].base + offset_of<narrow>(c, i));
    NEXT(c, i);
}

/// A bit string: the register of the bit offset (dst, of `imm` bytes) says which part of it is
/// accessed. The handler adds that distance again. SDM 2A, "BT".
template <bool narrow, Access access>
Step check_bit_string(Cpu& c, const Insn* i) {
    const auto size = static_cast<unsigned>(i->imm);
    const unsigned unused = 64 - 8 * size;
    const auto bit = static_cast<i64>(c.gpr[i->dst] << unused) >> unused;
    const u64 distance = static_cast<u64>((bit >> std::countr_zero(8 * size)) * i64{size});
    const u64 sum = offset_of<narrow>(c, i) + distance;
    const u64 offset = narrow ? static_cast<u16>(sum) : static_cast<u32>(sum);
    const Segment& s = c.segment[i->src];
    if (!segment_allows(c, s, offset, size, access)) return refuse(c, i);
    c.gpr[row_linear] = static_cast<u32>(s.base + offset) - distance;
    NEXT(c, i);
}

u8 row_of(ZydisRegister r) {
    return r == ZYDIS_REGISTER_NONE ? row_zero : static_cast<u8>(ZydisRegisterGetId(r));
}

void take_address(const Decoded& d, unsigned n, Insn& check) {
    const ZydisDecodedOperandMem& m = d.operand[n].mem;
    check.base = row_of(m.base);
    check.index = row_of(m.index);
    check.scale = m.index == ZYDIS_REGISTER_NONE || m.scale == 0
                      ? 0
                      : static_cast<u8>(std::countr_zero(static_cast<unsigned>(m.scale)));
    check.disp = static_cast<i32>(m.disp.value);
    check.form = static_cast<u8>(d.instruction.address_width / 8u);  // for exit information
    check.src = segment_of_operand(m.segment);
    // The address uses ESP as it is after the pop. SDM 2B, "POP".
    if (d.instruction.mnemonic == ZYDIS_MNEMONIC_POP && m.base == ZYDIS_REGISTER_ESP)
        check.disp += static_cast<i32>(d.size(n));
}

void use_linear(Insn& i) {
    i.base = row_linear;
    i.index = i.segment = row_zero;
    i.scale = 0;
    i.disp = 0;
}

/// A save area is as long as its header says; of the rest only what is always there is checked
/// against the limit.
unsigned checked_size(const Decoded& d, unsigned n) {
    constexpr unsigned legacy_region_and_header = 576;
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_XRSTOR:
        case ZYDIS_MNEMONIC_XRSTORS:
        case ZYDIS_MNEMONIC_XSAVE:
        case ZYDIS_MNEMONIC_XSAVEC:
        case ZYDIS_MNEMONIC_XSAVEOPT:
        case ZYDIS_MNEMONIC_XSAVES: return legacy_region_and_header;
        default: return std::max(d.size(n), 1u);
    }
}

bool is_bit_string(const Decoded& d) {
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_BT:
        case ZYDIS_MNEMONIC_BTC:
        case ZYDIS_MNEMONIC_BTR:
        case ZYDIS_MNEMONIC_BTS: return d.is_register(1);
        default: return false;
    }
}

/// Hints touch nothing.
bool forms_no_address(const Decoded& d) {
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_NOP:
        case ZYDIS_MNEMONIC_PREFETCH:
        case ZYDIS_MNEMONIC_PREFETCHNTA:
        case ZYDIS_MNEMONIC_PREFETCHT0:
        case ZYDIS_MNEMONIC_PREFETCHT1:
        case ZYDIS_MNEMONIC_PREFETCHT2:
        case ZYDIS_MNEMONIC_PREFETCHW: return true;
        default: return false;
    }
}

/// Their VM exit comes first. SDM 3C, "Relative Priority of Faults and VM Exits".
bool defers_check(const Decoded& d) {
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_INVEPT:
        case ZYDIS_MNEMONIC_INVPCID:
        case ZYDIS_MNEMONIC_INVVPID:
        case ZYDIS_MNEMONIC_LGDT:
        case ZYDIS_MNEMONIC_LIDT:
        case ZYDIS_MNEMONIC_LLDT:
        case ZYDIS_MNEMONIC_LTR:
        case ZYDIS_MNEMONIC_SGDT:
        case ZYDIS_MNEMONIC_SIDT:
        case ZYDIS_MNEMONIC_SLDT:
        case ZYDIS_MNEMONIC_STR:
        case ZYDIS_MNEMONIC_VMCLEAR:
        case ZYDIS_MNEMONIC_VMPTRLD:
        case ZYDIS_MNEMONIC_VMPTRST:
        case ZYDIS_MNEMONIC_VMREAD:
        case ZYDIS_MNEMONIC_VMWRITE:
        case ZYDIS_MNEMONIC_VMXON: return true;
        default: return false;
    }
}

template <bool narrow>
Handler pick_check(const Decoded& d, unsigned n) {
    if (d.instruction.mnemonic == ZYDIS_MNEMONIC_LEA) return take_offset<narrow>;
    if (d.instruction.mnemonic == ZYDIS_MNEMONIC_INVLPG || defers_check(d))
        return take_linear<narrow>;
    const bool writes = (d.operand[n].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
    if (is_bit_string(d)) {
        return writes ? check_bit_string<narrow, Access::write>
                      : check_bit_string<narrow, Access::read>;
    }
    return writes ? check<narrow, Access::write> : check<narrow, Access::read>;
}

}  // namespace

Result<Gva> checked_address(Cpu& c, const Insn& i, u64 size, Access access) {
    if (i.base != row_linear) return linear_address(c, i);
    const Insn* const operand = &i - 1;
    const bool narrow = operand->form == 2;
    const u64 offset = narrow ? offset_of<true>(c, operand) : offset_of<false>(c, operand);
    return segment_address(c, segment_of(operand), offset, size, access);
}

bool split_memory_operand(const Decoded& d, unsigned n, Insn& check, Insn& i) {
    i.form |= form_memory;
    use_linear(i);
    if (forms_no_address(d)) return false;
    take_address(d, n, check);
    check.imm = checked_size(d, n);
    if (is_bit_string(d)) {
        check.imm = d.size(0);
        check.dst = register_row(d.operand[1].reg.value);
    }
    const bool narrow = d.instruction.address_width == 16;
    check.run = narrow ? pick_check<true>(d, n) : pick_check<false>(d, n);
    return true;
}

bool split_implicit_operand(const Decoded& d, unsigned n, u8 base, Insn& check, Insn& i) {
    use_linear(i);
    check.base = base;
    check.index = row_zero;
    check.src = segment_of_operand(d.operand[n].mem.segment);
    const bool narrow = d.instruction.address_width == 16;
    check.run = narrow ? take_linear<true> : take_linear<false>;
    return true;
}

}  // namespace postern::cpu
