// SPDX-License-Identifier: Apache-2.0
// HLT, PAUSE, MONITOR, MWAIT.
#include "cpu/exec/legacy.h"
#include "cpu/exec/segment_check.h"
#include "cpu/exec/system/common.h"
#include "cpu/mmu/access.h"
#include "cpu/mmu/monitor.h"
#include "cpu/mode.h"

namespace postern::cpu {

/// SDM 2A, "HLT". The run loop asks poll() what ends it.
Result<> exec_hlt(Cpu& c, const Insn&) {
    TRY(require_supervisor(c));
    if (wants(c, PrimaryControl::hlt_exiting)) return vmx::raise_exit(c, BasicReason::hlt);
    c.event.activity = ActivityState::hlt;
    return Done{};
}

namespace {

/// PAUSE-loop exiting works at CPL 0 only, and only without PAUSE exiting. SDM 3C,
/// "Instructions That Cause VM Exits Conditionally".
bool loop_exits(Cpu& c) {
    if (c.cpl != 0 || !wants(c, SecondaryControl::pause_loop_exiting)) return false;
    EventState& s = c.event;
    const u64 time = now(c);
    const u64 gap = c.vmx.vmcs.get<VmcsField::ple_gap>();
    const u64 window = c.vmx.vmcs.get<VmcsField::ple_window>();
    const bool none_yet = s.pause_first == 0 && s.pause_latest == 0;
    const bool new_loop = none_yet || time - s.pause_latest > gap;
    if (new_loop) s.pause_first = time;
    s.pause_latest = time;
    return !new_loop && time - s.pause_first > window;
}

}  // namespace

/// SDM 2B, "PAUSE".
Result<> exec_pause(Cpu& c, const Insn&) {
    if (wants(c, PrimaryControl::pause_exiting) || loop_exits(c))
        return vmx::raise_exit(c, BasicReason::pause);
    c.turn_over = true;
    return Done{};
}

namespace {

/// Both are #UD above CPL 0, and where CPUID does not report them.
Result<> check_monitor(Cpu& c) {
    TRY(require(c, Feature::monitor));
    if (c.cpl != 0) return invalid_opcode(c);
    return Done{};
}

bool is_armed(const Cpu& c) { return c.monitor.armed && !c.monitor.user; }

/// DS:RAX, DS:EAX or DS:AX, or through another segment.
Result<Gva> monitored_address(Cpu& c, const Insn& i) {
    if (!in_64_bit_mode(c)) {
        const u64 offset = c.gpr[rax] & address_size_mask(i);
        return segment_address(c, static_cast<SegmentIndex>(i.src), offset, 1, Access::read);
    }
    const u64 offset = (i.form & form_address32) != 0 ? static_cast<u32>(c.gpr[rax]) : c.gpr[rax];
    return Gva{offset + c.gpr[i.segment]};
}

}  // namespace

/// SDM 2B, "MONITOR". Nothing is armed where there is no RAM: MWAIT does not wait then.
Result<> exec_monitor(Cpu& c, const Insn& i) {
    TRY(check_monitor(c));
    if (wants(c, PrimaryControl::monitor_exiting)) return vmx::raise_exit(c, BasicReason::monitor);
    if (static_cast<u32>(c.gpr[rcx]) != 0) return general_protection(c);
    const Gva linear = TRY(monitored_address(c, i));
    TRY(load(c, linear, 1));
    const Hpa line = TRY(translate(c, linear, Access::read));
    disarm_monitor(c);
    if (const u8* bytes = c.system->memory.pointer(line)) arm_monitor(c, line, bytes);
    return Done{};
}

namespace {

/// In a guest, for interrupts that are masked: an open window or a virtual interrupt would be
/// missed. SDM 3C, "Changes to Instruction Behavior in VMX Non-Root Operation".
bool may_not_wait_masked(const Cpu& c) {
    if (c.flags.has(Rflag::if_)) return false;
    return wants(c, PrimaryControl::interrupt_window_exiting) || c.vmx.virtual_apic.recognized;
}

}  // namespace

/// SDM 2B, "MWAIT": waits like HLT, and for a store to the line; ECX[0]: also for interrupts that
/// are masked. Without an armed monitor it is a NOP.
Result<> exec_mwait(Cpu& c, const Insn&) {
    TRY(check_monitor(c));
    if (wants(c, PrimaryControl::mwait_exiting))
        return vmx::raise_exit(c, BasicReason::mwait, is_armed(c) ? 1 : 0);
    constexpr u32 masked_interrupts = 1;
    const auto extensions = static_cast<u32>(c.gpr[rcx]);
    if ((extensions & ~masked_interrupts) != 0) return general_protection(c);
    if (!is_armed(c) || (extensions != 0 && may_not_wait_masked(c))) return Done{};
    c.monitor.waiting = true;
    c.monitor.masked_interrupts_wake = extensions != 0;
    c.event.activity = ActivityState::hlt;
    return Done{};
}

}  // namespace postern::cpu
