// SPDX-License-Identifier: Apache-2.0
// One passage through the IDT in IA-32e mode: gate, code segment, stack, frame, new state.
#include "arch/regs/segment.h"
#include "cpu/event/deliver.h"
#include "cpu/exec/address.h"
#include "cpu/exec/system/descriptor.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"

namespace postern::cpu {

namespace {

struct Handler64 {
    IdtGate gate;
    u64 code;            // descriptor
    unsigned privilege;  // CPL in the handler
};

Result<> read_gate(Cpu& c, const Event& e, IdtGate& gate) {
    const u8 vector = e.information.vector();
    const u32 error = idt_error_code(vector, external_bit(e) != 0);
    const u32 offset = vector * idt_gate_size;
    if (offset + idt_gate_size - 1 > c.idtr.limit) return general_protection(c, error);
    const Gva address{c.idtr.base + offset};
    const u64 low = TRY(load(c, address, 8, Accessor::supervisor));
    const u64 high = TRY(load(c, address + 8, 8, Accessor::supervisor));
    gate = idt_gate(low, high);
    if (!gate.is_interrupt_gate() && !gate.is_trap_gate()) return general_protection(c, error);
    if (is_software(e) && gate.dpl < c.cpl) return general_protection(c, error);
    if (!gate.present) return raise(c, Vector::segment_not_present, error);
    return Done{};
}

/// The handler's code segment must be 64-bit and not less privileged than what it interrupts.
Result<> read_handler(Cpu& c, const Event& e, Handler64& h) {
    const u32 external = external_bit(e);
    const u16 selector = h.gate.selector;
    const u32 error = selector_error(selector, external);
    if (is_null_selector(selector)) return general_protection(c, external);
    h.code = TRY(read_descriptor(c, selector, external));
    const Segment code = segment_from_descriptor(selector, h.code);
    if (!code.is_code() || code.dpl() > c.cpl) return general_protection(c, error);
    if (!code.is_long() || code.db()) return general_protection(c, error);
    if (!code.present()) return raise(c, Vector::segment_not_present, error);
    h.privilege = code.conforming() ? c.cpl : code.dpl();
    return Done{};
}

/// RSP, of which compatibility mode has 32 bits.
u64 stack_in_use(const Cpu& c) {
    return in_64_bit_mode(c) ? c.gpr[rsp] : static_cast<u32>(c.gpr[rsp]);
}

/// The handler's RSP before alignment: an IST entry, the TSS's for a new CPL, or the current one.
Result<u64> find_stack(Cpu& c, const Event& e, const Handler64& h) {
    const u32 external = external_bit(e);
    u64 stack = stack_in_use(c);
    if (h.gate.ist != 0 || h.privilege != c.cpl) {
        const u32 offset =
            h.gate.ist != 0 ? tss64::ist_offset(h.gate.ist) : tss64::rsp_offset(h.privilege);
        const Segment& task = c.segment[tr];
        if (offset + 7 > task.limit)
            return raise(c, Vector::invalid_tss, selector_error(task.selector, external));
        stack = TRY(load(c, Gva{task.base + offset}, 8, Accessor::supervisor));
    }
    if (!is_canonical(c, stack)) return raise(c, Vector::stack_fault, external);
    return stack;
}

/// The frame in the order of addresses; `words` are valid from `first`.
struct Frame {
    std::array<u64, 6> words;
    unsigned first;

    [[nodiscard]] unsigned size() const { return 8 * (6 - first); }
};

Frame build_frame(const Cpu& c, const Event& e) {
    const bool has_error = e.information.error_code_valid();
    const u64 image = Rflags::from_raw(rflags(c)).with(Rflag::rf, e.resume_flag).to_raw();
    return {{e.error_code, e.return_rip, c.segment[cs].selector, image, stack_in_use(c),
             c.segment[ss].selector},
            has_error ? 0u : 1u};
}

/// Pushes go downwards: of two pages it is the upper that faults first, and in each its highest
/// word.
Result<> push_frame(Cpu& c, Gva bottom, const Frame& frame, Accessor as) {
    const Gva top = bottom + (frame.size() - 8);
    TRY(probe_write(c, top, 8, as));
    if (top.page() != bottom.page()) TRY(probe_write(c, Gva{top.page().raw() - 8}, 8, as));
    return store_bytes(c, bottom, &frame.words[frame.first], frame.size(), as);
}

void enter_handler(Cpu& c, const Handler64& h, u64 stack) {
    c.rip = h.gate.offset;
    c.gpr[rsp] = stack;
    const bool outer = h.privilege != c.cpl;
    set_code_segment(c, code_segment(h.gate.selector, h.code, h.privilege), h.privilege);
    if (outer) {
        c.segment[ss] = null_segment(static_cast<u16>(h.privilege));
        c.segment[ss].access_rights |= h.privilege << 5;
    }
    c.flags = c.flags.without({Rflag::tf, Rflag::nt, Rflag::rf, Rflag::vm});
    if (h.gate.is_interrupt_gate()) c.flags.set(Rflag::if_, false);
}

}  // namespace

/// SDM 2A, "INT n/INTO/INT3/INT1", Operation, IA-32e mode; SDM 3A, "64-Bit Mode Stack Frame".
Result<> through_idt(Cpu& c, const Event& e) {
    if (!in_ia32e_mode(c)) return through_legacy_idt(c, e);
    Handler64 h{};
    TRY(read_gate(c, e, h.gate));
    TRY(read_handler(c, e, h));
    const u64 stack = TRY(find_stack(c, e, h));
    if (!is_canonical(c, h.gate.offset)) return general_protection(c, external_bit(e));
    const Frame frame = build_frame(c, e);
    const Gva bottom{(stack & ~u64{15}) - frame.size()};
    TRY(mark_accessed(c, h.gate.selector, h.code));
    TRY(push_frame(c, bottom, frame, h.privilege == 3 ? Accessor::current : Accessor::supervisor));
    // Nothing can fail from here on.
    enter_handler(c, h, bottom.raw());
    return Done{};
}

}  // namespace postern::cpu
