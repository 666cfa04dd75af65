// SPDX-License-Identifier: Apache-2.0
// HLT, PAUSE, MONITOR, MWAIT.
#include "cpu/exec/system/common.h"

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
    return Done{};
}

namespace {

/// Both are #UD above CPL 0, and where CPUID does not report them.
Result<> check_monitor(Cpu& c) {
    TRY(require(c, Feature::monitor));
    if (c.cpl != 0) return invalid_opcode(c);
    return Done{};
}

}  // namespace

/// SDM 2B, "MONITOR".
Result<> exec_monitor(Cpu& c, const Insn&) {
    TRY(check_monitor(c));
    if (wants(c, PrimaryControl::monitor_exiting)) return vmx::raise_exit(c, BasicReason::monitor);
    return raise_unimplemented(c, "MONITOR");
}

/// SDM 2B, "MWAIT".
Result<> exec_mwait(Cpu& c, const Insn&) {
    TRY(check_monitor(c));
    if (wants(c, PrimaryControl::mwait_exiting)) return vmx::raise_exit(c, BasicReason::mwait);
    return raise_unimplemented(c, "MWAIT");
}

}  // namespace postern::cpu
