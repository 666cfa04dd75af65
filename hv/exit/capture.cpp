// SPDX-License-Identifier: Apache-2.0
// Reading the exit-information fields, and checking them against one another.
#include "hv/exit/capture.h"

#include "base/bits.h"

namespace postern::hv {
namespace {

constexpr u64 leaf_eresume = 3;

u32 read32(Port& port, VmcsField field) { return static_cast<u32>(port.vmread(field)); }

InterruptionInformation read_information(Port& port, VmcsField field) {
    return InterruptionInformation::from_raw(read32(port, field));
}

constexpr u32 mask(Anomaly anomaly, bool present) {
    return present ? 1u << static_cast<unsigned>(anomaly) : 0;
}

void read_guest_state(Port& port, Capture& capture) {
    capture.interruptibility =
        InterruptibilityState::from_raw(read32(port, VmcsField::guest_interruptibility_state));
    capture.cpl = read32(port, VmcsField::guest_ss_access_rights) >> 5 & 3;
    capture.rip = port.vmread(VmcsField::guest_rip);
    capture.rflags = port.vmread(VmcsField::guest_rflags);
}

void read_exit_information(Port& port, Capture& capture) {
    capture.qualification = port.vmread(VmcsField::exit_qualification);
    capture.guest_linear = port.vmread(VmcsField::guest_linear_address);
    capture.guest_physical = port.vmread(VmcsField::guest_physical_address);
    capture.instruction_length = read32(port, VmcsField::vm_exit_instruction_length);
    capture.instruction_information = read32(port, VmcsField::vm_exit_instruction_information);
    capture.interruption = read_information(port, VmcsField::vm_exit_interruption_information);
    capture.interruption_error_code = read32(port, VmcsField::vm_exit_interruption_error_code);
    capture.idt_vectoring = read_information(port, VmcsField::idt_vectoring_information);
    capture.idt_vectoring_error_code = read32(port, VmcsField::idt_vectoring_error_code);
}

bool is_page_granular(BasicReason reason) {
    return reason == BasicReason::ept_violation || reason == BasicReason::ept_misconfiguration;
}

}  // namespace

Capture capture(Port& port, EntryOutcome outcome, Protections protections) {
    Capture capture;
    capture.outcome = outcome;
    read_guest_state(port, capture);
    if (outcome != EntryOutcome::exited) return capture;
    capture.reason = ExitReason::from_vmcs(read32(port, VmcsField::exit_reason));
    if (capture.reason.entry_failed()) {
        // Of the exit information only the qualification is written, and nothing was delivered.
        capture.qualification = port.vmread(VmcsField::exit_qualification);
        return capture;
    }
    read_exit_information(port, capture);
    capture.kind =
        kind_of(capture.reason, capture.interruption, capture.idt_vectoring, protections);
    return capture;
}

u32 contradictions(const Capture& capture, const GuestRegisters& registers, bool injected) {
    if (capture.kind == ExitKind::failed) return 0;
    const bool flag = capture.reason.from_enclave();
    const bool saved = capture.interruptibility.has(Interruptibility::enclave);
    // An exit while an injected event is delivered leaves interruptibility bit 4 as it was.
    const bool comparable = !injected || !capture.delivering();
    const u32 found =
        mask(Anomaly::enclave_flag_without_interruptibility, comparable && flag && !saved) |
        mask(Anomaly::interruptibility_without_enclave_flag, comparable && !flag && saved);
    if (capture.kind != ExitKind::enclave) return found;
    const u64 address = capture.guest_physical;
    return found | mask(Anomaly::rax_is_not_eresume, registers.gpr[rax] != leaf_eresume) |
           mask(Anomaly::rcx_is_not_rip, registers.gpr[rcx] != capture.rip) |
           mask(Anomaly::cpl_is_not_3, capture.cpl != 3) |
           mask(Anomaly::instruction_length_not_zero, capture.instruction_length != 0) |
           mask(Anomaly::page_offset_not_zero,
                is_page_granular(capture.reason.basic()) && bits<11, 0>(address) != 0);
}

}  // namespace postern::hv
