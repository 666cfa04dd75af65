// SPDX-License-Identifier: Apache-2.0
// One step of a virtual processor: enter, capture, record, dispatch.
#include "hv/vcpu.h"

#include "hv/exit/exit.h"
#include "hv/exit/table.h"

namespace postern::hv {

Next Vcpu::run_once() {
    if (stop_.reason != StopReason::none) return Next::stop;
    if (!running_) {
        if (!wake_up()) return stop_.reason == StopReason::none ? Next::halt : report_stop();
        before_entry();
    }
    running_ = true;
    const EntryKind kind = launched_ ? EntryKind::resume : EntryKind::launch;
    const EntryOutcome outcome = port_.enter(registers_, kind);
    running_ = outcome == EntryOutcome::running;
    if (running_) return Next::paused;
    cr2_at_exit_ = registers_.cr2;
    take_over_apic();
    Capture exit = capture(port_, outcome, vm_.config().protections);
    current_ = exit.kind;
    begin_record(exit);
    const Next next = settle_event(handle(exit), exit);
    end_record();
    return next == Next::stop ? report_stop() : next;
}

Next Vcpu::report_stop() {
    stop_.exit = record_;
    vm_.watcher().stopped(stop_);
    return Next::stop;
}

Next Vcpu::handle(Capture& capture) {
    if (capture.kind == ExitKind::failed) return failed_entry(capture);
    launched_ = true;
    nested_.has_entered();
    pending_ = {};
    const u32 found = contradictions(capture, registers_, injected_on_entry_);
    for (unsigned i = 0; found != 0 && i < anomaly_count; ++i)
        if ((found >> i & 1) != 0) report(static_cast<Anomaly>(i));
    if (capture.reason.bus_lock()) ++counters_.bus_locks;
    if (capture.kind == ExitKind::delivery) ++counters_.delivery_incidents;
    if (nested_.in_l2())
        if (const Nested::Sorted sorted = nested_.sort(capture); sorted.done) return sorted.next;
    if (capture.kind == ExitKind::normal && capture.delivering()) requeue(capture);
    watch_for_livelock(capture);
    return dispatch(capture);
}

/// SDM 3C, "VM-Entry Failures During or After Loading Guest State" and "VM Instruction Error
/// Numbers". Nothing was delivered, and the VMCS is not launched by an entry that failed.
Next Vcpu::failed_entry(const Capture& capture) {
    if (capture.outcome == EntryOutcome::exited) {
        ++counters_.entry_failures;
        if (nested_.entering()) return nested_.entry_failed(capture);
        return stop(StopReason::entry_failed, nullptr, capture.qualification);
    }
    ++counters_.vmfails;
    const bool has_error = capture.outcome == EntryOutcome::vmfail_valid;
    return stop(StopReason::vmfail, nullptr,
                has_error ? read32(VmcsField::vm_instruction_error) : 0);
}

Next Vcpu::dispatch(const Capture& capture) {
    const bool captured = vm_.config().protections.has(Protection::capture);
    const u32 number =
        captured ? static_cast<u32>(capture.reason.basic()) : capture.reason.to_vmcs();
    if (number >= reason_limit) {
        ++counters_.unknown_reasons;
        return stop(StopReason::unknown_exit_reason, nullptr, number);
    }
    const ExitRow& row = *row_of_reason[number];
    if (capture.kind == ExitKind::enclave) {
        EnclaveExit exit{*this, capture};
        return row.enclave(exit);
    }
    if (capture.kind == ExitKind::delivery) {
        EnclaveDelivery exit{*this, capture};
        return row.delivery(exit);
    }
    NormalExit exit{*this, capture};
    return row.normal(exit);
}

void Vcpu::begin_record(const Capture& capture) {
    const bool enclave = capture.kind == ExitKind::enclave || capture.kind == ExitKind::delivery;
    record_ = {.sequence = counters_.exits,
               .tsc = port_.tsc(),
               .raw_reason = capture.reason.to_vmcs(),
               .kind = capture.kind,
               .cpl = static_cast<u8>(capture.cpl & 3),
               .of_l2 = nested_.in_l2(),
               .vcpu = static_cast<u8>(number_),
               .interruptibility_before = capture.interruptibility.to_raw(),
               .rip_or_aep = capture.rip,
               .tcs = enclave ? registers_.gpr[rbx] : 0,
               .rax = registers_.gpr[rax],
               .rcx = registers_.gpr[rcx],
               .qualification = capture.qualification,
               .guest_linear = capture.guest_linear,
               .guest_physical = capture.guest_physical,
               .instruction_length = capture.instruction_length,
               .interruption = capture.interruption.to_raw(),
               .interruption_error_code = capture.interruption_error_code,
               .idt_vectoring = capture.idt_vectoring.to_raw(),
               .idt_vectoring_error_code = capture.idt_vectoring_error_code,
               .rflags = capture.rflags,
               .secs = enclave ? secs_of(registers_.gpr[rbx]) : 0};
    ++counters_.exits;
    const auto row = static_cast<size_t>(capture.reason.basic());
    if (row < reason_limit) ++counters_.by_reason[row][static_cast<size_t>(capture.kind)];
}

/// 0: an enclave whose ECREATE was not seen.
u64 Vcpu::secs_of(u64 tcs) {
    const u64 cr3 = port_.vmread(VmcsField::guest_cr3);
    const EnclaveTable::Entry* const entry = vm_.enclaves().find(tcs, cr3);
    return entry != nullptr ? entry->enclave.secs : 0;
}

void Vcpu::end_record() {
    record_.interruptibility_after = interruptibility().to_raw();
    record_.rip_after = port_.vmread(VmcsField::guest_rip);
    if (pending_.valid()) {
        record_.injected = entry_word(pending_).to_raw();
        record_.injected_error_code = pending_.error_code;
    }
    if (record_.kind == ExitKind::enclave || record_.kind == ExitKind::delivery)
        vm_.enclaves().count(record_);
    vm_.watcher().exit(record_);
}

/// The same exit of the same enclave thread again, with no more time in between than ERESUME
/// takes: no instruction of the enclave has retired.
void Vcpu::watch_for_livelock(const Capture& capture) {
    LastEnclaveExit& last = last_enclave_exit_;
    if (capture.kind != ExitKind::enclave) {
        last.repeats = 0;
        return;
    }
    const bool same = last.aep == capture.rip && last.tcs == registers_.gpr[rbx] &&
                      last.raw_reason == capture.reason.to_vmcs() &&
                      last.qualification == capture.qualification &&
                      last.guest_physical == capture.guest_physical &&
                      record_.tsc - last.tsc <= vm_.config().livelock_ticks;
    const u32 repeats = same ? last.repeats + 1 : 0;
    last = {capture.rip,
            registers_.gpr[rbx],
            capture.qualification,
            capture.guest_physical,
            record_.tsc,
            capture.reason.to_vmcs(),
            repeats};
    if (repeats + 1 == vm_.config().livelock_limit) report(Anomaly::livelock);
}

void Vcpu::report(Anomaly anomaly) {
    ++counters_.anomalies[static_cast<size_t>(anomaly)];
    record_.anomalies |= 1u << static_cast<unsigned>(anomaly);
    vm_.watcher().anomaly(anomaly, record_);
}

Next Vcpu::stop(StopReason reason, const char* what, u64 detail) {
    stop_ = {reason, what, detail, {}};
    act(Action::stopped);
    return Next::stop;
}

}  // namespace postern::hv
