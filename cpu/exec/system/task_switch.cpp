// SPDX-License-Identifier: Apache-2.0
// The checks that come before a task switch, in the manual's order. SDM 3C, "Treatment of Task
// Switches".
#include "cpu/exec/system/task_switch.h"

#include "cpu/exec/system/common.h"
#include "cpu/exec/system/descriptor.h"
#include "cpu/mmu/access.h"

namespace postern::cpu {

namespace {

bool is_type(const Segment& s, SystemType type) {
    return !s.is_code_or_data() && s.type() == static_cast<unsigned>(type);
}

bool is_available_tss(const Segment& s) {
    return is_type(s, SystemType::tss_available) || is_type(s, SystemType::tss16_available);
}
bool is_busy_tss(const Segment& s) {
    return is_type(s, SystemType::tss_busy) || is_type(s, SystemType::tss16_busy);
}

/// What the new TSS must be, and what it raises if it is not.
struct Wanted {
    bool (*type)(const Segment&);
    Vector fault;
    u32 external;
};

/// SDM 3A, "Task Switching": the selector, then type, P and limit of the descriptor.
Result<> check_tss(Cpu& c, u16 selector, const Wanted& wanted) {
    constexpr u32 least_limit_16 = 0x2b, least_limit_32 = 0x67;
    const u32 error = selector_error(selector, wanted.external);
    if (selects_ldt(selector)) return raise(c, wanted.fault, error);
    const u64 descriptor = TRY(read_descriptor(c, selector, wanted.external, wanted.fault));
    const Segment tss = segment_from_descriptor(selector, descriptor);
    if (!wanted.type(tss)) return raise(c, wanted.fault, error);
    if (!tss.present()) return raise(c, Vector::segment_not_present, error);
    const bool narrow =
        is_type(tss, SystemType::tss16_available) || is_type(tss, SystemType::tss16_busy);
    if (tss.limit < (narrow ? least_limit_16 : least_limit_32))
        return raise(c, Vector::invalid_tss, error);
    return Done{};
}

/// To a TSS that has passed. Its own memory is not looked at: the VM exit may go first.
Failed switch_task(Cpu& c, u16 selector, TaskSwitchSource source) {
    if (!vmx::in_guest(c)) return raise_unimplemented(c, "task switch");
    return vmx::raise_exit(c, BasicReason::task_switch, TaskSwitch::of(source, selector).to_raw());
}

Result<> switch_checked(Cpu& c, u16 selector, const Wanted& wanted, TaskSwitchSource source) {
    TRY(check_tss(c, selector, wanted));
    return switch_task(c, selector, source);
}

}  // namespace

bool leads_to_task(u64 descriptor) {
    const Segment s = segment_from_descriptor(0, descriptor);
    return is_type(s, SystemType::task_gate) || is_available_tss(s);
}

/// SDM 2A, "JMP", Operation, TASK-GATE and TASK-STATE-SEGMENT; "CALL" likewise.
Failed switch_by_branch(Cpu& c, u16 selector, u64 descriptor, TaskSwitchSource source) {
    const Segment s = segment_from_descriptor(selector, descriptor);
    const u32 error = selector_error(selector);
    const Wanted available{is_available_tss, Vector::general_protection, 0};
    if (s.dpl() < c.cpl || s.dpl() < s.rpl()) return general_protection(c, error);
    if (is_type(s, SystemType::task_gate)) {
        if (!s.present()) return raise(c, Vector::segment_not_present, error);
        selector = static_cast<u16>(bits<31, 16>(descriptor));
    }
    (void)switch_checked(c, selector, available, source);
    return {};
}

/// SDM 2A, "INT n/INTO/INT3/INT1", Operation, TASK-GATE.
Failed switch_by_event(Cpu& c, u16 selector, u32 external) {
    const Wanted available{is_available_tss, Vector::general_protection, external};
    (void)switch_checked(c, selector, available, TaskSwitchSource::task_gate);
    return {};
}

namespace {

Result<> switch_to_linked(Cpu& c) {
    const Wanted busy{is_busy_tss, Vector::invalid_tss, 0};
    const u64 link = TRY(load(c, Gva{c.segment[tr].base}, 2, Accessor::supervisor));
    return switch_checked(c, static_cast<u16>(link), busy, TaskSwitchSource::iret);
}

}  // namespace

/// SDM 2A, "IRET/IRETD/IRETQ", Operation, TASK-RETURN.
Failed switch_by_return(Cpu& c) {
    (void)switch_to_linked(c);
    return {};
}

}  // namespace postern::cpu
