// SPDX-License-Identifier: Apache-2.0
// IRET and far RET. Returns to virtual-8086 mode are refused.
#include "cpu/exec/system/common.h"
#include "cpu/exec/system/descriptor.h"
#include "cpu/exec/system/far.h"
#include "cpu/exec/system/task_switch.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"

namespace postern::cpu {

namespace {

/// What IRET and RET pop.
struct Target {
    u64 rip, rsp;
    u16 cs, ss;
    u64 code, stack;     // descriptors; `stack` is 0 for a null SS
    unsigned privilege;  // CPL afterwards
};

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
    TRY(check_code_size(c, code, t.cs));
    t.privilege = rpl;
    return Done{};
}

/// SS may be null only below 64-bit code of CPL 0 to 2.
Result<> check_return_stack(Cpu& c, Target& t) {
    t.stack = 0;
    if (is_null_selector(t.ss)) {
        const bool may_be_null = is_64_bit_code(c, segment_from_descriptor(t.cs, t.code));
        if (!may_be_null || t.privilege == 3 || (t.ss & 3u) != t.privilege)
            return general_protection(c);
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

Result<> check_return_offset(Cpu& c, const Target& t) {
    return check_far_offset(c, segment_from_descriptor(t.cs, t.code), t.rip);
}

void go(Cpu& c, const Target& t) {
    const bool outer = t.privilege != c.cpl;
    go_far(c, {.offset = t.rip, .descriptor = t.code, .privilege = t.privilege, .selector = t.cs});
    if (outer) drop_inner_segments(c, t.privilege);
}

/// SS and, as wide as SS says, the stack pointer. `released`: what RET n takes off it.
void use_return_stack(Cpu& c, const Target& t, u64 released = 0) {
    c.segment[ss] = return_stack_segment(t);
    set_stack_pointer(c, t.rsp + released);
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

Result<> pop_stack_pointer(Cpu& c, unsigned size, u64 offset, Target& t) {
    t.rsp = TRY(peek_stack(c, size, offset));
    t.ss = static_cast<u16>(TRY(peek_stack(c, size, offset + size)));
    return Done{};
}

Result<> pop_return(Cpu& c, unsigned size, Target& t, u64& image) {
    t.rip = TRY(peek_stack(c, size));
    t.cs = static_cast<u16>(TRY(peek_stack(c, size, size)));
    image = TRY(peek_stack(c, size, 2 * size));
    return Done{};
}

/// What cannot be returned to yet.
Result<> refuse_return(Cpu& c, unsigned size, u64 image) {
    const bool to_v86 = Rflags::from_raw(image).has(Rflag::vm) && c.cpl == 0 && size == 4;
    if (to_v86 && !in_ia32e_mode(c)) return raise_unimplemented(c, "IRET to virtual-8086 mode");
    return Done{};
}

Result<> check_nested_task(Cpu& c) {
    if (!c.flags.has(Rflag::nt)) return Done{};
    if (in_ia32e_mode(c)) return general_protection(c);
    return switch_by_return(c);
}

void load_flags(Cpu& c, u64 image, u64 mask) {
    set_rflags(c, (rflags(c) & ~mask) | (image & mask));
    c.event.resume_loaded = c.flags.has(Rflag::rf);
}

/// In 64-bit mode RSP and SS are always popped, elsewhere by a return to outer privilege.
Result<> interrupt_return(Cpu& c, unsigned size) {
    TRY(check_nested_task(c));
    Target t{};
    u64 image = 0;
    TRY(pop_return(c, size, t, image));
    TRY(refuse_return(c, size, image));
    const bool pops_stack = in_64_bit_mode(c) || (t.cs & 3u) > c.cpl;
    if (pops_stack) TRY(pop_stack_pointer(c, size, 3 * size, t));
    TRY(check_return_code(c, t));
    if (pops_stack && in_64_bit_mode(c)) TRY(check_return_offset(c, t));
    if (pops_stack) TRY(check_return_stack(c, t));
    TRY(check_return_offset(c, t));
    TRY(mark_accessed(c, t.cs, t.code));
    // Nothing can fail from here on.
    load_flags(c, image, iret_mask(c, size));
    if (!pops_stack) release_stack(c, 3 * size);
    go(c, t);
    if (pops_stack) use_return_stack(c, t);
    return Done{};
}

/// SDM 2A, "IRET/IRETD/IRETQ", Operation, REAL-ADDRESS-MODE.
Result<> interrupt_return_real(Cpu& c, unsigned size) {
    constexpr u64 loaded = 0x25'7fd5;
    Target t{};
    u64 image = 0;
    TRY(pop_return(c, size, t, image));
    TRY(go_far_real(c, t.cs, t.rip));
    release_stack(c, 3 * size);
    load_flags(c, image, size == 2 ? loaded & 0xffff : loaded);
    return Done{};
}

}  // namespace

/// SDM 2A, "IRET/IRETD/IRETQ".
Result<> exec_iret(Cpu& c, const Insn& i) {
    TRY(refuse_in_enclave(c));
    const bool unblocked = unblock_nmi(c);
    const unsigned size = operand_size(i);
    const Result<> done =
        in_real_mode(c) ? interrupt_return_real(c, size) : interrupt_return(c, size);
    if (!done) c.pending.nmi_unblocked = unblocked;
    return done;
}

namespace {

Result<> far_return_real(Cpu& c, unsigned size, u64 released) {
    const u64 offset = TRY(peek_stack(c, size));
    const auto selector = static_cast<u16>(TRY(peek_stack(c, size, size)));
    TRY(go_far_real(c, selector, offset));
    release_stack(c, 2 * size + released);
    return Done{};
}

}  // namespace

/// SDM 2B, "RET".
Result<> exec_far_return(Cpu& c, const Insn& i) {
    TRY(refuse_in_enclave(c));
    const unsigned size = operand_size(i);
    const u64 released = static_cast<u64>(i.imm) & 0xffff;
    if (in_real_mode(c)) return far_return_real(c, size, released);
    Target t{};
    t.rip = TRY(peek_stack(c, size));
    t.cs = static_cast<u16>(TRY(peek_stack(c, size, size)));
    TRY(check_return_code(c, t));
    const bool outer = t.privilege != c.cpl;
    if (outer) {
        TRY(pop_stack_pointer(c, size, 2 * size + released, t));
        TRY(check_return_stack(c, t));
    }
    TRY(check_return_offset(c, t));
    TRY(mark_accessed(c, t.cs, t.code));
    if (!outer) release_stack(c, 2 * size + released);
    go(c, t);
    if (outer) use_return_stack(c, t, released);
    return Done{};
}

}  // namespace postern::cpu
