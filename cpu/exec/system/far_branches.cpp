// SPDX-License-Identifier: Apache-2.0
// Far JMP and CALL: to code segments, through call gates and to other tasks.
#include "cpu/exec/system/common.h"
#include "cpu/exec/system/descriptor.h"
#include "cpu/exec/system/far.h"
#include "cpu/exec/system/stack_switch.h"
#include "cpu/exec/system/task_switch.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"

namespace postern::cpu {
namespace {

struct FarPointer {
    u64 offset;
    u16 selector;
};

Result<> read_far_pointer(Cpu& c, const Insn& i, FarPointer& p) {
    TRY(refuse_in_enclave(c));
    if (!is_memory(i)) {
        p = {static_cast<u32>(i.imm), static_cast<u16>(i.imm >> 32)};
        return Done{};
    }
    const unsigned size = operand_size(i);
    const Gva address = linear_address(c, i);
    p.offset = TRY(load(c, address, size));
    p.selector = static_cast<u16>(TRY(load(c, address + size, 2)));
    return Done{};
}

/// A jump or call straight to code stays at its privilege. SDM 2A, "CALL", "JMP", Operation,
/// CONFORMING-CODE-SEGMENT and NONCONFORMING-CODE-SEGMENT.
Result<> check_code(Cpu& c, const FarPointer& p, u64 descriptor, FarTarget& t) {
    const u32 error = selector_error(p.selector);
    const Segment code = segment_from_descriptor(p.selector, descriptor);
    TRY(check_code_size(c, code, p.selector));
    const bool allowed =
        code.conforming() ? code.dpl() <= c.cpl : code.dpl() == c.cpl && code.rpl() <= c.cpl;
    if (!allowed) return general_protection(c, error);
    if (!code.present()) return raise(c, Vector::segment_not_present, error);
    TRY(check_far_offset(c, code, p.offset));
    TRY(mark_accessed(c, p.selector, descriptor));
    t = {p.offset, descriptor, c.cpl, p.selector};
    return Done{};
}

/// SDM 3A, "Call Gates".
struct CallGate {
    u64 offset;
    u16 selector;
    unsigned size;   // of what it pushes: 2, 4 or 8
    unsigned count;  // of parameters
};

bool is_type(const Segment& s, SystemType type) { return s.type() == static_cast<unsigned>(type); }

CallGate gate_from(u64 low, u64 high, unsigned size) {
    const u64 offset = bits<15, 0>(low) | (size == 2 ? 0 : bits<63, 48>(low) << 16);
    return {.offset = offset | high << 32,
            .selector = static_cast<u16>(bits<31, 16>(low)),
            .size = size,
            .count = size == 8 ? 0 : static_cast<unsigned>(bits<36, 32>(low))};
}

/// What a selector that names no code segment names.
Result<> read_gate(Cpu& c, u16 selector, u64 low, CallGate& gate) {
    const Segment s = segment_from_descriptor(selector, low);
    const u32 error = selector_error(selector);
    const bool wide = in_ia32e_mode(c);
    const bool narrow = !wide && is_type(s, SystemType::call_gate16);
    if (s.is_code_or_data() || !(is_type(s, SystemType::call_gate) || narrow))
        return general_protection(c, error);
    if (s.dpl() < c.cpl || s.dpl() < s.rpl()) return general_protection(c, error);
    u64 high = 0;
    if (wide) {
        const Gva address = TRY(find_descriptor(c, selector, 16));
        high = TRY(load(c, address + 8, 8, Accessor::supervisor));
        if (bits<44, 40>(high) != 0) return general_protection(c, error);
    }
    if (!s.present()) return raise(c, Vector::segment_not_present, error);
    gate = gate_from(low, bits<31, 0>(high), wide ? 8 : (narrow ? 2 : 4));
    return Done{};
}

/// The code a gate leads to, without its privilege. RPL of the gate's selector does not matter.
Result<> read_gate_code(Cpu& c, const CallGate& gate, FarTarget& t, Segment& code) {
    if (is_null_selector(gate.selector)) return general_protection(c);
    const u32 error = selector_error(gate.selector);
    const u64 descriptor = TRY(read_descriptor(c, gate.selector));
    code = segment_from_descriptor(gate.selector, descriptor);
    if (!code.is_code() || code.dpl() > c.cpl) return general_protection(c, error);
    const bool wide = in_ia32e_mode(c);
    if (wide && (!code.is_long() || code.db())) return general_protection(c, error);
    t = {gate.offset, descriptor, c.cpl, gate.selector};
    return Done{};
}

Result<> check_gate_code(Cpu& c, const FarTarget& t, const Segment& code) {
    const u32 error = selector_error(t.selector);
    if (!code.present()) return raise(c, Vector::segment_not_present, error);
    return Done{};
}

/// A jump through a gate stays at its privilege, too.
Result<> check_gate_jump(Cpu& c, const CallGate& gate, FarTarget& t) {
    Segment code;
    TRY(read_gate_code(c, gate, t, code));
    if (!code.conforming() && code.dpl() != c.cpl)
        return general_protection(c, selector_error(gate.selector));
    TRY(check_gate_code(c, t, code));
    TRY(check_far_offset(c, code, gate.offset));
    return mark_accessed(c, t.selector, t.descriptor);
}

/// CS and the return offset go on the current stack, as pushes of `size` bytes.
Result<> push_return(Cpu& c, unsigned size) {
    TRY(probe_pushes(c, size, 2));
    TRY(push_value(c, c.segment[cs].selector, size));
    return push_value(c, c.next_rip, size);
}

/// The frame on the inner stack: SS:ESP, the parameters, CS:EIP, in the order of pushes.
Result<> push_inner_frame(Cpu& c, const CallGate& gate, StackTarget& stack) {
    std::array<u64, 36> words;
    unsigned used = 0;
    words[used++] = c.segment[ss].selector;
    words[used++] = stack_pointer(c) | (c.gpr[rsp] & ~stack_mask(c.segment[ss]) & 0xffff'ffff);
    for (unsigned n = gate.count; n > 0; --n)
        words[used++] = TRY(peek_stack(c, gate.size, u64{n - 1} * gate.size));
    words[used++] = c.segment[cs].selector;
    words[used++] = c.next_rip;
    return push_words(c, stack, {words.data(), used}, gate.size);
}

/// SDM 2A, "CALL", Operation, CALL-GATE, MORE-PRIVILEGE.
Result<> call_inner_legacy(Cpu& c, const CallGate& gate, const FarTarget& t, const Segment& code) {
    StackTarget stack{};
    TRY(find_inner_stack(c, t.privilege, 0, stack));
    TRY(check_far_offset(c, code, gate.offset));
    TRY(push_inner_frame(c, gate, stack));
    TRY(mark_accessed(c, t.selector, t.descriptor));
    go_far(c, t);
    use_stack(c, stack);
    return Done{};
}

/// In IA-32e mode there are no parameters, and SS becomes null with RPL = CPL.
Result<> call_inner_ia32e(Cpu& c, const CallGate& gate, const FarTarget& t, const Segment& code) {
    const Segment& task = c.segment[tr];
    const u32 offset = tss64::rsp_offset(t.privilege);
    if (offset + 7 > task.limit)
        return raise(c, Vector::invalid_tss, selector_error(task.selector));
    const u64 top = TRY(load(c, Gva{task.base + offset}, 8, Accessor::supervisor));
    const std::array<u64, 4> frame{c.next_rip, c.segment[cs].selector, c.gpr[rsp],
                                   c.segment[ss].selector};
    if (!is_canonical(c, top) || !is_canonical(c, top - sizeof frame))
        return raise(c, Vector::stack_fault, 0);
    TRY(check_far_offset(c, code, gate.offset));
    TRY(store_bytes(c, Gva{top - sizeof frame}, frame.data(), sizeof frame, Accessor::supervisor));
    TRY(mark_accessed(c, t.selector, t.descriptor));
    go_far(c, t);
    c.gpr[rsp] = top - sizeof frame;
    c.segment[ss] = null_segment(static_cast<u16>(t.privilege));
    c.segment[ss].access_rights |= t.privilege << 5;
    return Done{};
}

Result<> call_gate(Cpu& c, const CallGate& gate) {
    FarTarget t{};
    Segment code;
    TRY(read_gate_code(c, gate, t, code));
    TRY(check_gate_code(c, t, code));
    if (!code.conforming() && code.dpl() < c.cpl) {
        t.privilege = code.dpl();
        return in_ia32e_mode(c) ? call_inner_ia32e(c, gate, t, code)
                                : call_inner_legacy(c, gate, t, code);
    }
    TRY(check_far_offset(c, code, gate.offset));
    TRY(mark_accessed(c, t.selector, t.descriptor));
    TRY(push_return(c, gate.size));
    go_far(c, t);
    return Done{};
}

/// Reads what a far pointer's selector names; `is_code` if no gate. A task is switched to.
Result<> read_target(Cpu& c, const FarPointer& p, TaskSwitchSource source, u64& descriptor,
                     bool& is_code) {
    if (is_null_selector(p.selector)) return general_protection(c);
    descriptor = TRY(read_descriptor(c, p.selector));
    if (!in_ia32e_mode(c) && leads_to_task(descriptor))
        return switch_by_branch(c, p.selector, descriptor, source);
    is_code = segment_from_descriptor(p.selector, descriptor).is_code();
    return Done{};
}

}  // namespace

/// SDM 2A, "JMP".
Result<> exec_far_jump(Cpu& c, const Insn& i) {
    FarPointer p{};
    TRY(read_far_pointer(c, i, p));
    if (in_real_mode(c)) return go_far_real(c, p.selector, p.offset);
    u64 descriptor = 0;
    bool is_code = false;
    TRY(read_target(c, p, TaskSwitchSource::jmp, descriptor, is_code));
    FarTarget t{};
    if (is_code) {
        TRY(check_code(c, p, descriptor, t));
    } else {
        CallGate gate{};
        TRY(read_gate(c, p.selector, descriptor, gate));
        TRY(check_gate_jump(c, gate, t));
    }
    go_far(c, t);
    return Done{};
}

/// SDM 2A, "CALL".
Result<> exec_far_call(Cpu& c, const Insn& i) {
    FarPointer p{};
    TRY(read_far_pointer(c, i, p));
    const unsigned size = operand_size(i);
    if (in_real_mode(c)) {
        const u64 after = c.next_rip;
        TRY(probe_pushes(c, size, 2));
        const u16 selector = c.segment[cs].selector;
        TRY(go_far_real(c, p.selector, p.offset));
        TRY(push_value(c, selector, size));
        return push_value(c, after, size);
    }
    u64 descriptor = 0;
    bool is_code = false;
    TRY(read_target(c, p, TaskSwitchSource::call, descriptor, is_code));
    if (!is_code) {
        CallGate gate{};
        TRY(read_gate(c, p.selector, descriptor, gate));
        return call_gate(c, gate);
    }
    FarTarget t{};
    TRY(check_code(c, p, descriptor, t));
    TRY(push_return(c, size));
    go_far(c, t);
    return Done{};
}

}  // namespace postern::cpu
