// SPDX-License-Identifier: Apache-2.0
// What a snapshot of a guest saves of its hypervisor.
#include "hv/vcpu.h"

namespace postern::hv {

void Vm::save(State& to) const {
    to.pages = pages_.state();
    to.ept = ept_.state();
    to.enclaves = enclaves_.state();
    to.apic_access_page = apic_access_page_.raw();
    to.sgx = sgx_.state();
}

bool Vm::restore(const State& from) {
    if (!pages_.restore(from.pages)) return false;
    ept_.restore(from.ept);
    enclaves_.restore(from.enclaves);
    apic_access_page_ = Hpa{from.apic_access_page};
    sgx_.restore(from.sgx);
    return true;
}

void Vcpu::save(State& to) const {
    to.registers = registers_;
    to.counters = counters_;
    to.record = record_;
    to.pending = pending_;
    to.last_enclave_exit = last_enclave_exit_;
    to.msrs = msrs_;
    to.sgx = sgx_;
    to.nested = nested_.state();
    to.shadow_ept = nested_.ept().state();
    to.apic = apic_.state();
    to.apicv = apicv_;
    to.windows = windows_;
    to.armed = armed_;
    to.stop_detail = stop_.detail;
    to.number = number_;
    to.stop_reason = stop_.reason;
    to.current = current_;
    to.launched = launched_;
    to.running = running_;
    to.injected_on_entry = injected_on_entry_;
    to.entry_field_set = entry_field_set_;
}

bool Vcpu::restore(const State& from) {
    const auto is_flag = [](u8 value) { return value <= 1; };
    if (from.number != number_ || from.stop_reason > StopReason::not_implemented ||
        from.current > ExitKind::failed || !is_flag(from.launched) || !is_flag(from.running) ||
        !is_flag(from.injected_on_entry) || !is_flag(from.entry_field_set) ||
        from.apic.activity > ActivityState::wait_for_sipi ||
        from.apicv.whole > from.apicv.tpr_shadow ||
        !nested_.restore(from.nested, from.shadow_ept) || !apic_.restore(from.apic))
        return false;
    registers_ = from.registers;
    counters_ = from.counters;
    record_ = from.record;
    pending_ = from.pending;
    last_enclave_exit_ = from.last_enclave_exit;
    msrs_ = from.msrs;
    sgx_ = from.sgx;
    apicv_ = from.apicv;
    windows_ = from.windows;
    armed_ = from.armed;
    interrupt_status_ = unknown_status;
    stop_ = {from.stop_reason, nullptr, from.stop_detail, from.record};
    current_ = from.current;
    launched_ = from.launched != 0;
    running_ = from.running != 0;
    injected_on_entry_ = from.injected_on_entry != 0;
    entry_field_set_ = from.entry_field_set != 0;
    return true;
}

}  // namespace postern::hv
