// SPDX-License-Identifier: Apache-2.0
// IRET and the far transfers, in 64-bit mode. Call gates and compatibility mode are refused.
#include "cpu/exec/system/common.h"
#include "cpu/exec/system/descriptor.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"

namespace postern::cpu {

namespace {

/// What IRET and RET pop.
struct Target {
    u64 rip, rsp;
    u16 cs, ss;
    u64 code, stack;     // descriptors; `stack` is 0 for a null SS
    unsigned privilege;  // CPL afterwards
};

/// L and D as a 64-bit code segment has them; the compatibility mode is not there.
Result<> check_long(Cpu& c, const Segment& code, u16 selector) {
    if (code.is_long() && code.db()) return general_protection(c, selector_error(selector));
    if (!code.is_long()) return raise_unimplemented(c, "compatibility mode");
    return Done{};
}

/// SDM 2A, "IRET/IRETD/IRETQ", Operation, RETURN-TO-...-PRIVILEGE-LEVEL; the same for RET.
Result<> check_return_code(Cpu& c, Target& t) {
    const u32 error = selector_error(t.cs);
    if (is_null_selector(t.cs)) return general_protection(c);
    t.code = TRY(read_descriptor(c, t.cs));
    const Segment code = segment_from_descriptor(t.cs, t.code);
    const unsigned rpl = code.rpl();
    if (!code.is_code() || rpl < c.cpl) return general_protection(c, error);
    if (code.conforming() ? code.dpl() > rpl : code.dpl() != rpl)
        return general_protection(c, error);
    if (!code.present()) return raise(c, Vector::segment_not_present, error);
    TRY(check_long(c, code, t.cs));
    t.privilege = rpl;
    return Done{};
}

Result<> check_return_stack(Cpu& c, Target& t) {
    t.stack = 0;
    if (is_null_selector(t.ss)) {
        if (t.privilege == 3 || (t.ss & 3u) != t.privilege) return general_protection(c);
        return Done{};
    }
    t.stack = TRY(read_stack_descriptor(c, t.ss, t.privilege));
    return mark_accessed(c, t.ss, t.stack);
}

Segment return_stack_segment(const Target& t) {
    if (t.stack != 0) return loaded_segment(t.ss, t.stack);
    Segment none = null_segment(t.ss);
    none.access_rights |= t.privilege << 5;
    return none;
}

void go(Cpu& c, const Target& t) {
    const bool outer = t.privilege != c.cpl;
    c.next_rip = t.rip;
    set_code_segment(c, code_segment(t.cs, t.code, t.privilege), t.privilege);
    if (outer) drop_inner_segments(c, t.privilege);
}

/// What IRET may change, by the CPL it leaves. SDM 2A, "IRET/IRETD/IRETQ", Operation.
u64 iret_mask(const Cpu& c, unsigned size) {
    Rflags mask = Rflags::from_raw(rflags_status_mask) |
                  Rflags{Rflag::tf, Rflag::df, Rflag::nt, Rflag::rf, Rflag::ac, Rflag::id};
    if (c.cpl <= iopl(c.flags)) mask.set(Rflag::if_);
    if (c.cpl == 0) mask = mask | Rflags{Rflag::vif, Rflag::vip};
    const u64 raw = mask.to_raw() | (c.cpl == 0 ? rflags_iopl_mask : 0);
    return size == 2 ? raw & 0xffff : raw;
}

/// Blocking by NMI ends even if IRET then faults. With NMI exiting and without virtual NMIs IRET
/// does not touch it. SDM 3C, "NMI Exiting" of "Changes to Instruction Behavior".
bool unblock_nmi(Cpu& c) {
    if (wants(c, PinControl::nmi_exiting) && !wants(c, PinControl::virtual_nmis)) return false;
    const bool was = c.event.blocking.has(Interruptibility::nmi);
    c.event.blocking.set(Interruptibility::nmi, false);
    return was;
}

Result<> pop_return(Cpu& c, unsigned size, Target& t, u64& image) {
    t.rip = TRY(peek_stack(c, size));
    t.cs = static_cast<u16>(TRY(peek_stack(c, size, size)));
    image = TRY(peek_stack(c, size, 2 * size));
    t.rsp = TRY(peek_stack(c, size, 3 * size));
    t.ss = static_cast<u16>(TRY(peek_stack(c, size, 4 * size)));
    return Done{};
}

/// In 64-bit mode RSP and SS are always popped.
Result<> interrupt_return(Cpu& c, unsigned size) {
    if (c.flags.has(Rflag::nt)) return general_protection(c);
    Target t{};
    u64 image = 0;
    TRY(pop_return(c, size, t, image));
    TRY(check_return_code(c, t));
    if (!is_canonical(c, t.rip)) return general_protection(c);
    TRY(check_return_stack(c, t));
    TRY(mark_accessed(c, t.cs, t.code));
    // Nothing can fail from here on.
    const u64 mask = iret_mask(c, size);
    set_rflags(c, (rflags(c) & ~mask) | (image & mask));
    c.event.resume_loaded = c.flags.has(Rflag::rf);
    c.gpr[rsp] = t.rsp;
    go(c, t);
    c.segment[ss] = return_stack_segment(t);
    return Done{};
}

}  // namespace

/// SDM 2A, "IRET/IRETD/IRETQ".
Result<> exec_iret(Cpu& c, const Insn& i) {
    TRY(refuse_in_enclave(c));
    const bool unblocked = unblock_nmi(c);
    const Result<> done = interrupt_return(c, operand_size(i));
    if (!done) c.pending.nmi_unblocked = unblocked;
    return done;
}

/// SDM 2B, "RET".
Result<> exec_far_return(Cpu& c, const Insn& i) {
    TRY(refuse_in_enclave(c));
    const unsigned size = operand_size(i);
    const u64 released = static_cast<u64>(i.imm) & 0xffff;
    Target t{};
    t.rip = TRY(peek_stack(c, size));
    t.cs = static_cast<u16>(TRY(peek_stack(c, size, size)));
    TRY(check_return_code(c, t));
    const bool outer = t.privilege != c.cpl;
    if (outer) {
        t.rsp = TRY(peek_stack(c, size, 2 * size + released));
        t.ss = static_cast<u16>(TRY(peek_stack(c, size, 3 * size + released)));
        TRY(check_return_stack(c, t));
    }
    if (!is_canonical(c, t.rip)) return general_protection(c);
    TRY(mark_accessed(c, t.cs, t.code));
    c.gpr[rsp] = (outer ? t.rsp : c.gpr[rsp] + 2 * size) + released;
    go(c, t);
    if (outer) c.segment[ss] = return_stack_segment(t);
    return Done{};
}

namespace {

/// Far JMP and CALL go to code of the same privilege only. SDM 2A, "CALL", "JMP", Operation.
Result<> check_far_code(Cpu& c, u16 selector, u64 rip, u64& descriptor) {
    const u32 error = selector_error(selector);
    if (is_null_selector(selector)) return general_protection(c);
    descriptor = TRY(read_descriptor(c, selector));
    const Segment code = segment_from_descriptor(selector, descriptor);
    if (!code.is_code_or_data() && code.type() == static_cast<unsigned>(SystemType::call_gate))
        return raise_unimplemented(c, "call gate");
    if (!code.is_code()) return general_protection(c, error);
    const bool allowed =
        code.conforming() ? code.dpl() <= c.cpl : code.dpl() == c.cpl && code.rpl() <= c.cpl;
    if (!allowed) return general_protection(c, error);
    if (!code.present()) return raise(c, Vector::segment_not_present, error);
    TRY(check_long(c, code, selector));
    if (!is_canonical(c, rip)) return general_protection(c);
    return mark_accessed(c, selector, descriptor);
}

struct FarPointer {
    u64 rip;
    u16 selector;
    u64 descriptor;
};

Result<> read_far_pointer(Cpu& c, const Insn& i, FarPointer& p) {
    TRY(refuse_in_enclave(c));
    const unsigned size = operand_size(i);
    const Gva address = linear_address(c, i);
    p.rip = TRY(load(c, address, size));
    p.selector = static_cast<u16>(TRY(load(c, address + size, 2)));
    return check_far_code(c, p.selector, p.rip, p.descriptor);
}

void jump_far(Cpu& c, const FarPointer& p) {
    c.next_rip = p.rip;
    set_code_segment(c, code_segment(p.selector, p.descriptor, c.cpl), c.cpl);
}

}  // namespace

Result<> exec_far_jump_memory(Cpu& c, const Insn& i) {
    FarPointer p{};
    TRY(read_far_pointer(c, i, p));
    jump_far(c, p);
    return Done{};
}

Result<> exec_far_call_memory(Cpu& c, const Insn& i) {
    FarPointer p{};
    TRY(read_far_pointer(c, i, p));
    const unsigned size = operand_size(i);
    TRY(probe_write(c, Gva{c.gpr[rsp] - 2 * size}, 2 * size));
    TRY(push_value(c, c.segment[cs].selector, size));
    TRY(push_value(c, c.next_rip, size));
    jump_far(c, p);
    return Done{};
}

}  // namespace postern::cpu
