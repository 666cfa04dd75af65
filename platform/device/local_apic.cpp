// SPDX-License-Identifier: Apache-2.0
// The registers of the local APIC. SDM 3A, "Advanced Programmable Interrupt Controller (APIC)".
#include "platform/device/local_apic.h"

#include "arch/apic.h"
#include "arch/msr.h"
#include "platform/device/apic_network.h"

namespace postern::platform {

namespace {

using namespace apic;

}  // namespace

LocalApic::LocalApic(cpu::Cpu& processor, ApicNetwork* network)
    : processor_{&processor}, network_{network} {
    state_.id = processor.number;
    if (network != nullptr) network->join(*this);
}

void LocalApic::connect(Pic& pic) {
    pic_ = &pic;
    pic.connect(*this);
}

void LocalApic::set_virtual_wire() {
    state_.spurious = spurious_writable;
    state_.lvt_lint0 = static_cast<u32>(DeliveryMode::external) << 8;
    state_.lvt_lint1 = static_cast<u32>(DeliveryMode::nmi) << 8;
}

/// SDM 3A, "Local APIC State After an INIT Reset". The wires stay as they are.
void LocalApic::init_reset() {
    State fresh;
    fresh.id = state_.id;
    fresh.external_level = state_.external_level;
    fresh.nmi_level = state_.nmi_level;
    state_ = fresh;
}

/// Switched off it forgets; entering x2APIC mode the ID is the processor's again, and nothing is
/// left of the destination. SDM 3A, "x2APIC State Transitions".
void LocalApic::base_written(u64 before) {
    const auto old = ApicBaseWord::from_raw(before);
    if (old.has(ApicBase::global_enable) && !globally_enabled()) init_reset();
    const bool extends = x2apic() && !old.has(ApicBase::x2apic_enable);
    if (!extends && globally_enabled()) return;
    state_.id = processor_->number;
    state_.interrupt_command &= 0xffff'ffff;
}

bool LocalApic::globally_enabled() const {
    return ApicBaseWord::from_raw(processor_->msr.apic_base).has(ApicBase::global_enable);
}

u64 LocalApic::base() const { return align_down(processor_->msr.apic_base, page_size); }

bool LocalApic::x2apic() const {
    return ApicBaseWord::from_raw(processor_->msr.apic_base).has(ApicBase::x2apic_enable);
}

u32 LocalApic::processor_priority() const {
    return apic::processor_priority(state_.task_priority, highest(state_.in_service));
}

/// The vector that the 8259s would give, if they ask and are listened to, or -1.
int LocalApic::external_vector() const {
    if (pic_ == nullptr) return -1;
    const bool listens = !globally_enabled() ||
                         (is_external(state_.lvt_lint0) && (state_.lvt_lint0 & lvt_masked) == 0);
    const bool asks = listens && state_.external_level != 0;
    return asks || state_.external_requested != 0 ? pic_->vector() : -1;
}

/// Priorities do not hold back external interrupts.
int LocalApic::pending_vector(u64 now) {
    catch_up(now);
    const int external = external_vector();
    if (external >= 0) return external;
    const int vector = highest(state_.requested);
    if (vector < 0 || !globally_enabled()) return -1;
    return is_above(vector, processor_priority()) ? vector : -1;
}

void LocalApic::acknowledge(u8 vector) {
    if (external_vector() >= 0) {
        state_.external_requested = 0;
        pic_->acknowledge();
        return;
    }
    assign(state_.requested, vector, false);
    assign(state_.in_service, vector, true);
}

void LocalApic::raise_error(u32 error) {
    state_.errors |= error;
    const auto vector = static_cast<u8>(state_.lvt_error);
    if ((state_.lvt_error & lvt_masked) == 0 && vector >= 16)
        assign(state_.requested, vector, true);
}

void LocalApic::accept(u8 vector, bool level) {
    if (vector < 16) return raise_error(received_illegal_vector);
    assign(state_.requested, vector, true);
    assign(state_.trigger_mode, vector, level);
}

void LocalApic::end_of_interrupt() {
    const int vector = highest(state_.in_service);
    if (vector < 0) return;
    const auto ended = static_cast<unsigned>(vector);
    assign(state_.in_service, ended, false);
    if (is_set(state_.trigger_mode, ended) && network_ != nullptr)
        network_->broadcast_end(static_cast<u8>(vector));
}

/// What an entry of the local vector table asks for. Fixed ones count as edges.
void LocalApic::local_interrupt(u32 entry) {
    if ((entry & lvt_masked) != 0 || !globally_enabled()) return;
    const auto mode = delivery_mode_of(entry);
    if (mode == DeliveryMode::fixed) request(static_cast<u8>(entry));
    if (mode == DeliveryMode::nmi) processor_->event.nmi_pending = true;
}

void LocalApic::set_external(bool level) {
    const bool rises = level && state_.external_level == 0;
    state_.external_level = level ? 1 : 0;
    if (rises) local_interrupt(state_.lvt_lint0);
}

void LocalApic::set_nmi(bool level) {
    const bool rises = level && state_.nmi_level == 0;
    state_.nmi_level = level ? 1 : 0;
    if (!globally_enabled() && rises) processor_->event.nmi_pending = true;
    if (rises) local_interrupt(state_.lvt_lint1);
}

u8 LocalApic::task_priority() const { return static_cast<u8>(state_.task_priority >> 4); }
void LocalApic::set_task_priority(u8 cr8) { state_.task_priority = (cr8 & 0xfu) << 4; }

void LocalApic::write_spurious(u32 value) {
    state_.spurious = value & spurious_writable;
    if (enabled()) return;
    for (u32 index = reg_lvt_timer; index <= reg_lvt_error; ++index)
        *local_vector(index) |= lvt_masked;
}

u32* LocalApic::local_vector(u32 index) {
    switch (index) {
        case reg_lvt_timer: return &state_.lvt_timer;
        case reg_lvt_thermal: return &state_.lvt_thermal;
        case reg_lvt_performance: return &state_.lvt_performance;
        case reg_lvt_lint0: return &state_.lvt_lint0;
        case reg_lvt_lint1: return &state_.lvt_lint1;
        case reg_lvt_error: return &state_.lvt_error;
        default: return nullptr;
    }
}

u32 LocalApic::read_register(u32 index, u64 now) {
    catch_up(now);
    if (index >= reg_in_service && index < reg_trigger_mode)
        return state_.in_service[index - reg_in_service];
    if (index >= reg_trigger_mode && index < reg_requested)
        return state_.trigger_mode[index - reg_trigger_mode];
    if (index >= reg_requested && index < reg_error_status)
        return state_.requested[index - reg_requested];
    if (const u32* const entry = local_vector(index)) return *entry;
    switch (index) {
        case reg_id: return x2apic() ? state_.id : state_.id << 24;
        case reg_version: return version;
        case reg_task_priority: return state_.task_priority;
        case reg_arbitration_priority:
        case reg_processor_priority: return processor_priority();
        case reg_logical_destination:
            return x2apic() ? x2apic_logical_destination(state_.id) : state_.logical_destination;
        case reg_destination_format: return state_.destination_format;
        case reg_spurious: return state_.spurious;
        case reg_error_status: return state_.error_status;
        case reg_command_low: return static_cast<u32>(state_.interrupt_command);
        case reg_command_high: return static_cast<u32>(state_.interrupt_command >> 32);
        case reg_initial_count: return state_.initial_count;
        case reg_current_count: return current_count(now);
        case reg_divide: return state_.divide;
        default: break;
    }
    if (!exists(index)) raise_error(illegal_register);
    return 0;
}

void LocalApic::write_register(u32 index, u32 value, u64 now) {
    catch_up(now);
    switch (index) {
        case reg_id: state_.id = value >> 24; return;
        case reg_task_priority: state_.task_priority = value & 0xff; return;
        case reg_end_of_interrupt: end_of_interrupt(); return;
        case reg_logical_destination:
            state_.logical_destination = value & logical_destination_writable;
            return;
        case reg_destination_format:
            state_.destination_format = value | destination_format_fixed;
            return;
        case reg_spurious: write_spurious(value); return;
        case reg_error_status:
            state_.error_status = state_.errors;
            state_.errors = 0;
            return;
        case reg_command_low: send((state_.interrupt_command & ~u64{0xffff'ffff}) | value); return;
        case reg_command_high:
            state_.interrupt_command = (state_.interrupt_command & 0xffff'ffff) | u64{value} << 32;
            return;
        case reg_lvt_timer: write_lvt_timer(value); return;
        case reg_initial_count: start_timer(value, now); return;
        case reg_divide: state_.divide = value & divide_writable; return;
        default: break;
    }
    if (u32* const entry = local_vector(index))
        *entry = (value & lvt_writable(index)) | (enabled() ? 0 : lvt_masked);
    else if (!exists(index))
        raise_error(illegal_register);
}

u64 LocalApic::mmio_read(u64 offset, unsigned size) {
    if (x2apic() || !globally_enabled()) return all_ones(size);
    const u64 whole = read_register(static_cast<u32>(offset >> 4), cpu::now(*processor_));
    return whole >> (8 * (offset & 3)) & all_ones(size);
}

void LocalApic::mmio_write(u64 offset, unsigned, u64 value) {
    if (x2apic() || !globally_enabled() || (offset & 15) != 0) return;
    write_register(static_cast<u32>(offset >> 4), static_cast<u32>(value), cpu::now(*processor_));
}

u64 LocalApic::read_msr(u32 msr, u64 now, bool& fault) {
    fault = false;
    if (msr == static_cast<u32>(Msr::tsc_deadline)) {
        catch_up(now);
        return state_.tsc_deadline;
    }
    const u32 index = msr - x2apic_msr_first;
    fault = !x2apic() || msr > x2apic_msr_last || !is_readable(index);
    if (fault) return 0;
    if (index == reg_command_low) return state_.interrupt_command;
    return read_register(index, now);
}

bool LocalApic::write_msr(u32 msr, u64 value, u64 now) {
    if (msr == static_cast<u32>(Msr::tsc_deadline)) {
        catch_up(now);
        arm_deadline(value, now);
        return true;
    }
    const u32 index = msr - x2apic_msr_first;
    if (!x2apic() || msr > x2apic_msr_last) return false;
    const u64 writable = writable_bits(index);
    if (writable == not_writable || (value & ~writable) != 0) return false;
    if (index == reg_command_low)
        send(value);
    else if (index == reg_self_ipi)
        request(static_cast<u8>(value));
    else
        write_register(index, static_cast<u32>(value), now);
    return true;
}

}  // namespace postern::platform
