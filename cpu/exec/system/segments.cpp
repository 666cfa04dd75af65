// SPDX-License-Identifier: Apache-2.0
// The data-segment registers loaded, stored, and asked about.
#include "cpu/exec/system/common.h"
#include "cpu/exec/system/descriptor.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"

namespace postern::cpu {

namespace {

/// SS may be null in 64-bit mode below CPL 3, with RPL = CPL.
Result<> load_stack_segment(Cpu& c, u16 selector) {
    if (is_null_selector(selector)) {
        if (!in_64_bit_mode(c) || c.cpl == 3 || selector != c.cpl) return general_protection(c);
        Segment none = null_segment(selector);
        none.access_rights |= c.cpl << 5;
        c.segment[ss] = none;
        return Done{};
    }
    const u64 descriptor = TRY(read_stack_descriptor(c, selector, c.cpl));
    TRY(mark_accessed(c, selector, descriptor));
    c.segment[ss] = loaded_segment(selector, descriptor);
    return Done{};
}

/// DS, ES, FS, GS: data or readable code that CPL and RPL may use.
Result<> load_data_segment(Cpu& c, SegmentIndex index, u16 selector) {
    if (is_null_selector(selector)) {
        set_segment(c, index, null_segment(selector));
        return Done{};
    }
    const u64 descriptor = TRY(read_descriptor(c, selector));
    const Segment segment = loaded_segment(selector, descriptor);
    const u32 error = selector_error(selector);
    if (!segment.is_code_or_data() || !segment.readable()) return general_protection(c, error);
    const bool anybodys = segment.is_code() && segment.conforming();
    if (!anybodys && (segment.rpl() > segment.dpl() || c.cpl > segment.dpl()))
        return general_protection(c, error);
    if (!segment.present()) return raise(c, Vector::segment_not_present, error);
    TRY(mark_accessed(c, selector, descriptor));
    set_segment(c, index, segment);
    return Done{};
}

Result<> load_segment(Cpu& c, SegmentIndex index, u16 selector) {
    if (in_real_mode(c)) {
        set_segment(c, index, real_mode_segment(c.segment[index], selector));
        return Done{};
    }
    return index == ss ? load_stack_segment(c, selector) : load_data_segment(c, index, selector);
}

/// Of 4 bytes only the lower two are written. SDM 2B, "PUSH": "all recent Intel Core and Intel Atom
/// processors perform a 16-bit move".
Result<> push_segment(Cpu& c, const Insn& i, SegmentIndex index) {
    const u16 selector = c.segment[index].selector;
    const unsigned size = operand_size(i);
    if (size != 4) return push_value(c, selector, size);
    const Gva at = TRY(push_address(c, size));
    TRY(store(c, at, 2, selector));
    release_stack(c, u64{0} - size);
    return Done{};
}

Result<> pop_segment(Cpu& c, const Insn& i, SegmentIndex index) {
    TRY(refuse_in_enclave(c));
    const unsigned size = operand_size(i);
    const auto selector = static_cast<u16>(TRY(peek_stack(c, size)));
    const u64 mask = stack_mask(c.segment[ss]);  // of the SS that is popped from
    TRY(load_segment(c, index, selector));
    if (in_64_bit_mode(c)) {
        c.gpr[rsp] += size;
    } else {
        const u64 pointer = (c.gpr[rsp] + size) & mask;
        c.gpr[rsp] = mask == 0xffff ? (c.gpr[rsp] & ~mask) | pointer : pointer;
    }
    if (index == ss) c.event.blocking.set(Interruptibility::mov_ss);
    return Done{};
}

}  // namespace

/// SDM 2B, "MOV". A load of SS blocks interrupts and debug traps for one instruction.
Result<> exec_mov_to_sreg(Cpu& c, const Insn& i) {
    const auto index = static_cast<SegmentIndex>(i.dst);
    TRY(refuse_in_enclave(c));
    if (index == cs || index > gs) return invalid_opcode(c);
    const u64 value = is_memory(i) ? TRY(load(c, linear_address(c, i), 2)) : c.gpr[i.src];
    TRY(load_segment(c, index, static_cast<u16>(value)));
    if (index == ss) c.event.blocking.set(Interruptibility::mov_ss);
    return Done{};
}

Result<> exec_mov_from_sreg(Cpu& c, const Insn& i) {
    if (i.src > gs) return invalid_opcode(c);
    const u16 selector = c.segment[i.src].selector;
    if (is_memory(i)) return store(c, linear_address(c, i), 2, selector);
    put_register(c, i.dst, operand_size(i), selector);
    return Done{};
}

/// SDM 2B, "PUSH", "POP".
Result<> exec_push_segment(Cpu& c, const Insn& i) {
    return push_segment(c, i, static_cast<SegmentIndex>(i.src));
}
Result<> exec_pop_segment(Cpu& c, const Insn& i) {
    return pop_segment(c, i, static_cast<SegmentIndex>(i.dst));
}
Result<> exec_push_fs(Cpu& c, const Insn& i) { return push_segment(c, i, fs); }
Result<> exec_push_gs(Cpu& c, const Insn& i) { return push_segment(c, i, gs); }
Result<> exec_pop_fs(Cpu& c, const Insn& i) { return pop_segment(c, i, fs); }
Result<> exec_pop_gs(Cpu& c, const Insn& i) { return pop_segment(c, i, gs); }

/// SDM 2A, "LDS/LES/LFS/LGS/LSS".
Result<> exec_lss_lfs_lgs(Cpu& c, const Insn& i) {
    TRY(refuse_in_enclave(c));
    const unsigned size = operand_size(i);
    const Gva address = linear_address(c, i);
    const u64 offset = TRY(load(c, address, size));
    const u64 selector = TRY(load(c, address + size, 2));
    TRY(load_segment(c, static_cast<SegmentIndex>(i.src), static_cast<u16>(selector)));
    put_register(c, i.dst, size, offset);
    return Done{};
}

namespace {

/// Reads the descriptor that LAR, LSL, VERR or VERW asks about; `found` is false where they
/// answer ZF = 0 instead of faulting.
Result<> look_up(Cpu& c, const Insn& i, Segment& segment, u64& descriptor, bool& found) {
    const u64 value = is_memory(i) ? TRY(load(c, linear_address(c, i), 2)) : c.gpr[i.src];
    const auto selector = static_cast<u16>(value);
    const bool local = selects_ldt(selector);
    const u32 limit = local ? c.segment[ldtr].limit : c.gdtr.limit;
    found = !is_null_selector(selector) && selector_offset(selector) + 7 <= limit &&
            !(local && c.segment[ldtr].unusable());
    if (!found) return Done{};
    descriptor = TRY(read_descriptor(c, selector));
    segment = segment_from_descriptor(selector, descriptor);
    const bool anybodys = segment.is_code() && segment.conforming();
    found = anybodys || (c.cpl <= segment.dpl() && segment.rpl() <= segment.dpl());
    return Done{};
}

constexpr u32 type_bit(SystemType type) { return 1u << static_cast<unsigned>(type); }

/// System types with a limit. SDM 2A, "LSL", table "Segment and Gate Descriptor Types".
bool has_limit(const Cpu& c, const Segment& s) {
    constexpr u32 types = type_bit(SystemType::ldt) | type_bit(SystemType::tss_available) |
                          type_bit(SystemType::tss_busy);
    constexpr u32 legacy_types =
        type_bit(SystemType::tss16_available) | type_bit(SystemType::tss16_busy);
    const u32 valid = in_ia32e_mode(c) ? types : types | legacy_types;
    return s.is_code_or_data() || (valid >> s.type() & 1) != 0;
}

/// Gates that LAR takes, too. SDM 2A, "LAR", table "Segment and Gate Types".
bool is_gate(const Cpu& c, const Segment& s) {
    constexpr u32 types = type_bit(SystemType::call_gate);
    constexpr u32 legacy_types =
        type_bit(SystemType::call_gate16) | type_bit(SystemType::task_gate);
    const u32 valid = in_ia32e_mode(c) ? types : types | legacy_types;
    return !s.is_code_or_data() && (valid >> s.type() & 1) != 0;
}

Result<> verify(Cpu& c, const Insn& i, bool (*allowed)(const Segment&)) {
    Segment segment;
    u64 descriptor = 0;
    bool found = false;
    TRY(look_up(c, i, segment, descriptor, found));
    set_zf(c, found && segment.is_code_or_data() && allowed(segment));
    return Done{};
}

}  // namespace

/// SDM 2A, "LAR".
Result<> exec_lar(Cpu& c, const Insn& i) {
    Segment segment;
    u64 descriptor = 0;
    bool found = false;
    TRY(look_up(c, i, segment, descriptor, found));
    found = found && (has_limit(c, segment) || is_gate(c, segment));
    if (found) put_register(c, i.dst, operand_size(i), descriptor >> 32 & 0x00f0'ff00);
    set_zf(c, found);
    return Done{};
}

/// SDM 2A, "LSL".
Result<> exec_lsl(Cpu& c, const Insn& i) {
    Segment segment;
    u64 descriptor = 0;
    bool found = false;
    TRY(look_up(c, i, segment, descriptor, found));
    found = found && has_limit(c, segment);
    if (found) put_register(c, i.dst, operand_size(i), segment.limit);
    set_zf(c, found);
    return Done{};
}

/// SDM 2D, "VERR/VERW".
Result<> exec_verr(Cpu& c, const Insn& i) {
    return verify(c, i, [](const Segment& s) { return s.readable(); });
}
Result<> exec_verw(Cpu& c, const Insn& i) {
    return verify(c, i, [](const Segment& s) { return s.writable(); });
}

}  // namespace postern::cpu
