// SPDX-License-Identifier: Apache-2.0
// UMONITOR, UMWAIT, TPAUSE: waiting at any privilege, until a deadline of the time-stamp counter.
#include <algorithm>

#include "cpu/exec/legacy.h"
#include "cpu/exec/segment_check.h"
#include "cpu/exec/system/common.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/mmu/monitor.h"
#include "cpu/mode.h"
#include "cpu/msr.h"

namespace postern::cpu {

namespace {

/// A guest has them only by "enable user wait and pause".
Result<> require_waiting(Cpu& c) {
    TRY(require(c, Feature::waitpkg));
    if (vmx::in_guest(c) && !wants(c, SecondaryControl::enable_user_wait_and_pause))
        return invalid_opcode(c);
    return Done{};
}

/// The address is in the operand; outside 64-bit mode its size is in scale.
Result<Gva> monitored_address(Cpu& c, const Insn& i) {
    const u64 address = c.gpr[i.dst];
    if (!in_64_bit_mode(c)) {
        const auto segment = static_cast<SegmentIndex>(i.src);
        return segment_address(c, segment, address & address_size_mask(i), 1, Access::read);
    }
    const bool narrow = (i.form & form_address32) != 0;
    return Gva{(narrow ? static_cast<u32>(address) : address) + c.gpr[i.segment]};
}

}  // namespace

/// SDM 2D, "UMONITOR". Nothing is armed where there is no RAM.
Result<> exec_umonitor(Cpu& c, const Insn& i) {
    TRY(require_waiting(c));
    const Gva linear = TRY(monitored_address(c, i));
    TRY(load(c, linear, 1));
    const Hpa line = TRY(translate(c, linear, Access::read));
    disarm_monitor(c);
    const u8* bytes = c.system->memory.pointer(line);
    if (bytes == nullptr) return Done{};
    arm_monitor(c, line, bytes);
    c.monitor.user = true;
    return Done{};
}

namespace {

/// SDM 3C, "Changes to Instruction Behavior in VMX Non-Root Operation", TPAUSE and UMWAIT: they
/// exit by RDTSC's control. A privilege fault goes first, what their operand says does not.
Result<> check_wait(Cpu& c, const Insn& i, BasicReason reason) {
    constexpr u32 sleep_state = 1;
    TRY(require_waiting(c));
    if (c.cr4.has(Cr4::tsd) && c.cpl != 0) return general_protection(c);
    if (wants(c, PrimaryControl::rdtsc_exiting)) {
        const auto operand = RegisterOperandInformation::of(static_cast<Gpr>(i.dst), 4);
        return vmx::raise_exit(c, reason, 0, operand.to_raw());
    }
    if ((static_cast<u32>(c.gpr[i.dst]) & ~sleep_state) != 0) return general_protection(c);
    return Done{};
}

/// Time to wait for EDX:EAX, at most what IA32_UMWAIT_CONTROL allows. That counts the processor's
/// own ticks, in a guest as well.
u64 time_to_wait(const Cpu& c, bool& limited) {
    const u64 deadline = c.gpr[rdx] << 32 | static_cast<u32>(c.gpr[rax]);
    const u64 counter = read_tsc(c);
    const u64 wanted = deadline > counter ? ticks_to_time(c, deadline - counter) : 0;
    const u64 limit = c.msr.umwait_control & 0xffff'fffc;
    limited = limit != 0 && limit < wanted;
    return limited ? limit : wanted;
}

/// SDM 2D, "TPAUSE", Operation. Every interrupt ends the wait, whatever IF says.
void wait(Cpu& c) {
    bool limited = false;
    const u64 time = time_to_wait(c, limited);
    from_image(c, 0);
    c.turn_over = true;
    if (time == 0) return;
    const u64 longest = ~u64{0} - now(c);
    c.monitor.deadline = now(c) + std::min(time, longest);
    c.monitor.limited = limited;
    c.monitor.waiting = true;
    c.monitor.masked_interrupts_wake = true;
    c.event.activity = ActivityState::hlt;
}

}  // namespace

/// SDM 2D, "UMWAIT": without a line armed by UMONITOR it does not wait.
Result<> exec_umwait(Cpu& c, const Insn& i) {
    TRY(check_wait(c, i, BasicReason::umwait));
    if (c.monitor.armed && c.monitor.user) {
        wait(c);
        return Done{};
    }
    from_image(c, 0);
    return Done{};
}

/// SDM 2D, "TPAUSE".
Result<> exec_tpause(Cpu& c, const Insn& i) {
    TRY(check_wait(c, i, BasicReason::tpause));
    wait(c);
    return Done{};
}

}  // namespace postern::cpu
