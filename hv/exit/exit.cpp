// SPDX-License-Identifier: Apache-2.0
// The services behind the views of exits outside enclaves, and those that all views share.
#include "hv/exit/exit.h"

#include "arch/regs/cr0.h"
#include "arch/regs/cr4.h"
#include "arch/regs/dr6.h"
#include "hv/msr.h"
#include "hv/nested/instructions.h"
#include "hv/sgx/encls.h"
#include "hv/vcpu.h"

namespace postern::hv {

ExitReason Exit::reason() const { return capture_->reason; }
InterruptionInformation Exit::interruption() const { return capture_->interruption; }
unsigned Exit::cpl() const { return capture_->cpl; }
const Config& Exit::config() const { return vcpu_->vm_.config(); }
Counters& Exit::counters() { return vcpu_->counters_; }
const MemoryMap& Exit::memory() const { return vcpu_->vm_.memory(); }
void Exit::report(Anomaly anomaly) { vcpu_->report(anomaly); }
Next Exit::stop(StopReason reason, const char* what) { return vcpu_->stop(reason, what); }

Next Exit::acknowledge() {
    vcpu_->act(Action::acknowledged);
    return Next::resume;
}

bool Exit::drop(PrimaryControl control) {
    constexpr VmcsField field = VmcsField::primary_processor_based_controls;
    const auto controls = PrimaryControls::from_raw(vcpu_->read32(field));
    if (!controls.has(control)) return false;
    vcpu_->port_.vmwrite(field, controls.with(control, false).to_raw());
    return true;
}

bool Exit::drop(SecondaryControl control) {
    constexpr VmcsField field = VmcsField::secondary_processor_based_controls;
    const auto controls = SecondaryControls::from_raw(vcpu_->read32(field));
    if (!controls.has(control)) return false;
    vcpu_->port_.vmwrite(field, controls.with(control, false).to_raw());
    return true;
}

Next Exit::retry_without_control() {
    ++counters().controls_dropped;
    vcpu_->act(Action::control_dropped);
    return Next::resume;
}

void Exit::rearm_preemption_timer() {
    vcpu_->port_.vmwrite(VmcsField::vmx_preemption_timer_value, config().preemption_timer);
}

Next Exit::map_page(const MemorySlot& slot, Gpa address) {
    if (!vcpu_->vm_.ept().map(slot, address).ok()) return stop(StopReason::out_of_table_pages);
    ++counters().ept_maps;
    vcpu_->act(Action::mapped);
    return Next::resume;
}

Next Exit::inject(const Event& event, Action action) {
    vcpu_->act(action);
    return vcpu_->inject(event);
}

/// The processor has not changed what a delivered exception would have: CR2 and DR6 are for
/// whoever injects it. SDM 3C, "Architectural State Before a VM Exit".
Next Exit::inject_exception() {
    const InterruptionInformation information = capture_->interruption;
    if (information.is_exception(Vector::page_fault))
        vcpu_->registers_.cr2 = capture_->qualification;
    if (information.is_exception(Vector::debug)) vcpu_->take_debug_status(capture_->qualification);
    ++counters().reinjected;
    return inject(event_from_exit(information, capture_->interruption_error_code,
                                  capture_->instruction_length),
                  Action::reinjected);
}

Gva NormalExit::rip() const { return Gva{capture_->rip}; }
u32 NormalExit::instruction_length() const { return capture_->instruction_length; }
u32 NormalExit::instruction_information() const { return capture_->instruction_information; }
u64 NormalExit::qualification() const { return capture_->qualification; }
Gva NormalExit::guest_linear() const { return Gva{capture_->guest_linear}; }
Gpa NormalExit::guest_physical() const { return Gpa{capture_->guest_physical}; }
bool NormalExit::delivering() const { return capture_->delivering(); }
u64 NormalExit::read(Gpr gpr) const { return vcpu_->read_gpr(gpr); }
void NormalExit::write(Gpr gpr, u64 value) { vcpu_->write_gpr(gpr, value); }
Devices& NormalExit::devices() { return vcpu_->vm_.devices(); }
VirtualApic& NormalExit::apic() { return vcpu_->apic_; }
bool NormalExit::is_apic_on() const { return vcpu_->apic_.globally_enabled(); }
bool NormalExit::skip() { return vcpu_->skip(capture_->instruction_length, RipCause::skip); }
Next NormalExit::emulate(Gpa address) { return vcpu_->emulator_.access_device(*capture_, address); }
Next NormalExit::string_io() { return vcpu_->emulator_.string_io(*capture_); }

Next NormalExit::done(Action action) {
    vcpu_->act(action);
    if (skip()) return Next::resume;
    return stop(StopReason::no_instruction_length);
}

Next NormalExit::halt() {
    const Next next = done(Action::halted);
    return next == Next::resume ? vcpu_->fall_asleep() : next;
}

Next NormalExit::reinject() { return inject_exception(); }

Next NormalExit::fault(Vector vector) {
    if (vector == Vector::invalid_opcode) ++counters().injected_ud;
    if (vector == Vector::general_protection) ++counters().injected_gp;
    vcpu_->set_resume_flag();
    return inject(Event::exception(vector), Action::faulted);
}

Next NormalExit::page_fault(Gva address, u32 error_code) {
    vcpu_->set_resume_flag();
    vcpu_->registers_.cr2 = address.raw();
    return inject(Event::exception(Vector::page_fault, error_code), Action::faulted);
}

Next NormalExit::retry() {
    vcpu_->act(Action::retried);
    return Next::resume;
}

Next NormalExit::refuse_access(const SecondLevelFault& fault, Gva linear) {
    return vcpu_->nested_.refuse_access(fault, linear);
}

unsigned NormalExit::vcpu_number() const { return vcpu_->number(); }
CpuidResult NormalExit::cpuid(u32 leaf, u32 subleaf) const {
    return vcpu_->port_.cpuid(leaf, subleaf);
}
bool NormalExit::read_msr(u32 msr, u64& value) const { return MsrAccess{*vcpu_, msr}.read(value); }
bool NormalExit::write_msr(u32 msr, u64 value) { return MsrAccess{*vcpu_, msr}.write(value); }
bool NormalExit::set_xcr(u32 xcr, u64 value) { return vcpu_->port_.xsetbv(xcr, value); }

bool NormalExit::in_64_bit_mode() const { return vcpu_->control_registers().in_64_bit_mode(); }
u64 NormalExit::cr0() const { return vcpu_->seen_cr0(); }
u64 NormalExit::cr3() const { return vcpu_->port_.vmread(VmcsField::guest_cr3); }
u64 NormalExit::cr4() const { return vcpu_->seen_cr4(); }
bool NormalExit::set_cr0(u64 value) { return vcpu_->write_cr0(value); }
bool NormalExit::set_cr3(u64 value) { return vcpu_->write_cr3(value); }
bool NormalExit::set_cr4(u64 value) { return vcpu_->write_cr4(value); }

void NormalExit::set_status_flags(u64 flags) {
    const u64 kept = vcpu_->port_.vmread(VmcsField::guest_rflags) & ~rflags_status_mask;
    vcpu_->port_.vmwrite(VmcsField::guest_rflags, kept | (flags & rflags_status_mask));
}

CpuidResult NormalExit::sgx_leaf(u32 subleaf) const { return vcpu_->vm_.sgx().cpuid_leaf(subleaf); }
bool NormalExit::offers_sgx() const { return vcpu_->vm_.sgx().capability().present(); }
bool NormalExit::offers_launch_control() const { return vcpu_->vm_.sgx().has_launch_key(); }

EnclsAnswer NormalExit::answer_encls(u32 leaf) const {
    const Sgx& sgx = vcpu_->vm_.sgx();
    const bool paging = Cr0Word::from_raw(vcpu_->port_.vmread(VmcsField::guest_cr0)).has(Cr0::pg);
    return hv::answer_encls(sgx.capability(), sgx.feature_control(), paging, leaf);
}

EnclsEnd NormalExit::run_encls(EnclsLeaf leaf) { return EnclsTrap{*vcpu_, *capture_}.run(leaf); }
bool NormalExit::refresh_encls_bitmap() { return vcpu_->write_encls_bitmap(); }

bool NormalExit::offers_vmx() const { return vcpu_->nested_.capabilities().present(); }
Next NormalExit::run_vmx_instruction() { return VmxInstruction{*vcpu_, *capture_}.run(); }

bool NormalExit::read_dr(unsigned number, u64& value) const {
    const bool de = Cr4Word::from_raw(cr4()).has(Cr4::de);
    if ((number == 4 || number == 5) && de) return false;
    const unsigned real = number == 4 || number == 5 ? number + 2 : number;
    value = real == 7 ? vcpu_->port_.vmread(VmcsField::guest_dr7) : vcpu_->port_.read_dr(real);
    return true;
}

bool NormalExit::write_dr(unsigned number, u64 value) {
    u64 old = 0;
    if (!read_dr(number, old)) return false;
    const unsigned real = number == 4 || number == 5 ? number + 2 : number;
    if (real == 7)
        vcpu_->port_.vmwrite(VmcsField::guest_dr7, value);
    else
        vcpu_->port_.write_dr(real, value);
    return true;
}

}  // namespace postern::hv
