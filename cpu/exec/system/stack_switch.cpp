// SPDX-License-Identifier: Apache-2.0
// Inner stacks from the TSS.
#include "cpu/exec/system/stack_switch.h"

#include "cpu/event/event.h"
#include "cpu/exec/segment_check.h"
#include "cpu/exec/system/descriptor.h"
#include "cpu/mode.h"

namespace postern::cpu {
namespace {

bool is_16_bit_tss(const Segment& task) {
    return task.type() == static_cast<unsigned>(SystemType::tss16_busy) ||
           task.type() == static_cast<unsigned>(SystemType::tss16_available);
}

/// SS and ESP of a privilege level. SDM 3A, "32-Bit Task-State Segment (TSS)", "16-Bit TSS".
Result<> read_task_stack(Cpu& c, unsigned privilege, u32 external, u16& selector, u64& pointer) {
    const Segment& task = c.segment[tr];
    const unsigned size = is_16_bit_tss(task) ? 2 : 4;
    const u32 offset = size + 2 * size * privilege;
    if (offset + 2 * size - 1 > task.limit)
        return raise(c, Vector::invalid_tss, selector_error(task.selector, external));
    const Gva at{static_cast<u32>(task.base + offset)};
    pointer = TRY(load(c, at, size, Accessor::supervisor));
    selector = static_cast<u16>(TRY(load(c, at + size, 2, Accessor::supervisor)));
    return Done{};
}

}  // namespace

Result<> find_inner_stack(Cpu& c, unsigned privilege, u32 external, StackTarget& stack) {
    u16 selector = 0;
    TRY(read_task_stack(c, privilege, external, selector, stack.pointer));
    const u32 error = selector_error(selector, external);
    if (is_null_selector(selector)) return raise(c, Vector::invalid_tss, external);
    stack.descriptor = TRY(read_descriptor(c, selector, external, Vector::invalid_tss));
    stack.segment = loaded_segment(selector, stack.descriptor);
    const Segment& s = stack.segment;
    if ((selector & 3u) != privilege || s.dpl() != privilege || !s.writable())
        return raise(c, Vector::invalid_tss, error);
    if (!s.present()) return raise(c, Vector::stack_fault, error);
    stack.privilege = privilege;
    stack.error = error;
    stack.inner = true;
    return mark_accessed(c, selector, stack.descriptor);
}

StackTarget current_stack(const Cpu& c, u32 external) {
    return {.segment = c.segment[ss],
            .descriptor = 0,
            .pointer = c.gpr[rsp],
            .privilege = c.cpl,
            .error = external,
            .inner = false};
}

Result<> push_words(Cpu& c, StackTarget& stack, std::span<const u64> words, unsigned size) {
    const u64 mask = stack_mask(stack.segment);
    const auto place = [&](size_t n) { return (stack.pointer - (n + 1) * size) & mask; };
    const auto linear = [&](size_t n) {
        return Gva{static_cast<u32>(stack.segment.base + place(n))};
    };
    const Accessor as = stack.privilege == 3 ? Accessor::current : Accessor::supervisor;
    for (size_t n = 0; n < words.size(); ++n) {
        if (!segment_allows(c, stack.segment, place(n), size, Access::write))
            return raise(c, Vector::stack_fault, stack.error);
        TRY(probe_write(c, linear(n), size, as));
    }
    if (stack.privilege == 3) TRY(check_alignment(c, linear(0), size, stack.error));
    for (size_t n = 0; n < words.size(); ++n) TRY(store(c, linear(n), size, words[n], as));
    stack.pointer = (stack.pointer & ~mask) | place(words.size() - 1);
    return Done{};
}

void use_stack(Cpu& c, const StackTarget& stack) {
    if (stack.inner) c.segment[ss] = stack.segment;
    set_stack_pointer(c, stack.pointer);
}

}  // namespace postern::cpu
