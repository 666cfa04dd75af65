// SPDX-License-Identifier: Apache-2.0
// One passage through the IDT outside IA-32e mode: interrupt and trap gates of 16 and 32 bits, and
// the interrupt vector table of real mode.
#include "arch/regs/segment.h"
#include "cpu/event/deliver.h"
#include "cpu/exec/segment_check.h"
#include "cpu/exec/system/common.h"
#include "cpu/exec/system/descriptor.h"
#include "cpu/exec/system/far.h"
#include "cpu/exec/system/stack_switch.h"
#include "cpu/exec/system/task_switch.h"
#include "cpu/flags.h"
#include "cpu/mode.h"

namespace postern::cpu {
namespace {

/// An IDT entry of 8 bytes. SDM 3A, "IDT Descriptors".
struct LegacyGate {
    u64 offset;
    u16 selector;
    unsigned size;  // of what is pushed: 2 or 4
    bool clears_if;
};

bool is_type(u64 type, SystemType wanted) { return type == static_cast<u64>(wanted); }

Result<> read_gate(Cpu& c, const Event& e, LegacyGate& gate) {
    const u8 vector = e.information.vector();
    const u32 error = idt_error_code(vector, external_bit(e) != 0);
    const u32 offset = vector * 8u;
    if (offset + 7 > c.idtr.limit) return general_protection(c, error);
    const Gva at{static_cast<u32>(c.idtr.base + offset)};
    const u64 raw = TRY(load(c, at, 8, Accessor::supervisor));
    const u64 type = bits<44, 40>(raw);  // with the S bit, which is 0
    const bool narrow =
        is_type(type, SystemType::interrupt_gate16) || is_type(type, SystemType::trap_gate16);
    const bool wide =
        is_type(type, SystemType::interrupt_gate) || is_type(type, SystemType::trap_gate);
    const bool task = is_type(type, SystemType::task_gate);
    if (!narrow && !wide && !task) return general_protection(c, error);
    if (is_software(e) && bits<46, 45>(raw) < c.cpl) return general_protection(c, error);
    if (!bit<47>(raw)) return raise(c, Vector::segment_not_present, error);
    if (task) return switch_by_event(c, static_cast<u16>(bits<31, 16>(raw)), external_bit(e));
    gate = {.offset = bits<15, 0>(raw) | (narrow ? 0 : bits<63, 48>(raw) << 16),
            .selector = static_cast<u16>(bits<31, 16>(raw)),
            .size = narrow ? 2u : 4u,
            .clears_if = is_type(type, SystemType::interrupt_gate16) ||
                         is_type(type, SystemType::interrupt_gate)};
    return Done{};
}

Result<> read_handler(Cpu& c, const Event& e, const LegacyGate& gate, FarTarget& t) {
    const u32 external = external_bit(e);
    const u32 error = selector_error(gate.selector, external);
    if (is_null_selector(gate.selector)) return general_protection(c, external);
    const u64 descriptor = TRY(read_descriptor(c, gate.selector, external));
    const Segment code = segment_from_descriptor(gate.selector, descriptor);
    if (!code.is_code() || code.dpl() > c.cpl) return general_protection(c, error);
    if (!code.present()) return raise(c, Vector::segment_not_present, error);
    t = {gate.offset, descriptor, code.conforming() ? c.cpl : code.dpl(), gate.selector};
    return Done{};
}

/// SS:ESP if the stack is an inner one, EFLAGS, CS:EIP, the error code: in the order of pushes.
struct Frame {
    std::array<u64, 6> words;
    unsigned used = 0;

    void push(u64 word) { words[used++] = word; }
};

Frame build_frame(const Cpu& c, const Event& e, bool inner) {
    Frame f;
    if (inner) {
        f.push(c.segment[ss].selector);
        f.push(static_cast<u32>(c.gpr[rsp]));
    }
    f.push(Rflags::from_raw(rflags(c)).with(Rflag::rf, e.resume_flag).to_raw());
    f.push(c.segment[cs].selector);
    f.push(static_cast<u32>(e.return_rip));
    if (e.information.error_code_valid()) f.push(e.error_code);
    return f;
}

/// SDM 2A, "INT n/INTO/INT3/INT1", Operation, INTERRUPT-OR-TRAP-GATE.
Result<> through_gate(Cpu& c, const Event& e) {
    const u32 external = external_bit(e);
    LegacyGate gate{};
    FarTarget t{};
    TRY(read_gate(c, e, gate));
    TRY(read_handler(c, e, gate, t));
    StackTarget stack = current_stack(c, external);
    if (t.privilege != c.cpl) TRY(find_inner_stack(c, t.privilege, external, stack));
    const Segment code = segment_from_descriptor(t.selector, t.descriptor);
    TRY(check_far_offset(c, code, t.offset, external));
    const Frame frame = build_frame(c, e, stack.inner);
    TRY(mark_accessed(c, t.selector, t.descriptor));
    TRY(push_words(c, stack, {frame.words.data(), frame.used}, gate.size));
    // Nothing can fail from here on.
    go_far(c, t);
    c.rip = t.offset;
    use_stack(c, stack);
    c.flags = c.flags.without({Rflag::tf, Rflag::nt, Rflag::rf, Rflag::vm});
    if (gate.clears_if) c.flags.set(Rflag::if_, false);
    return Done{};
}

/// SDM 2A, "INT n/INTO/INT3/INT1", Operation, REAL-ADDRESS-MODE. No error code is pushed.
Result<> through_vector_table(Cpu& c, const Event& e) {
    const u32 offset = e.information.vector() * 4u;
    if (offset + 3 > c.idtr.limit) return general_protection(c);
    const Gva at{static_cast<u32>(c.idtr.base + offset)};
    const u64 entry = TRY(load(c, at, 4, Accessor::supervisor));
    StackTarget stack = current_stack(c, 0);
    const std::array<u64, 3> frame{rflags(c) & 0xffff, c.segment[cs].selector,
                                   e.return_rip & 0xffff};
    TRY(push_words(c, stack, frame, 2));
    TRY(go_far_real(c, static_cast<u16>(entry >> 16), entry & 0xffff));
    c.rip = c.next_rip;
    use_stack(c, stack);
    c.flags = c.flags.without({Rflag::tf, Rflag::if_, Rflag::ac, Rflag::rf});
    return Done{};
}

}  // namespace

Result<> through_legacy_idt(Cpu& c, const Event& e) {
    return in_real_mode(c) ? through_vector_table(c, e) : through_gate(c, e);
}

}  // namespace postern::cpu
