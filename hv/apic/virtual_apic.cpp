// SPDX-License-Identifier: Apache-2.0
// The registers and priorities of the virtual local APIC. SDM 3A, "Advanced Programmable Interrupt
// Controller (APIC)", and 3C, "Virtual-APIC Page".
#include "hv/apic/virtual_apic.h"

#include "hv/port.h"
#include "hv/vm.h"

namespace postern::hv {

namespace {

using namespace apic;

constexpr u64 all_ones(unsigned size) { return size >= 8 ? ~u64{0} : (u64{1} << 8 * size) - 1; }

}  // namespace

bool VirtualApic::create(Hpa page, unsigned number) {
    registers_ = reinterpret_cast<u32*>(port_.page(page));
    if (registers_ == nullptr) return false;
    const u32 external_level = state_.external_level;  // the wire is not ours
    state_ = {};
    waiting_ = -1;
    state_.external_level = external_level;
    state_.page = page.raw();
    state_.number = number;
    ApicBaseWord base{ApicBase::global_enable};
    base.set(ApicBase::bsp, number == 0);
    state_.base = apic_base_reset_address | base.to_raw();
    init_reset();
    if (number != 0) {
        state_.activity = ActivityState::wait_for_sipi;
        return true;
    }
    // MultiProcessor Specification, "Virtual Wire Mode".
    put(reg_spurious, spurious_writable);
    put(reg_lvt_lint0, static_cast<u32>(DeliveryMode::external) << 8);
    put(reg_lvt_lint1, static_cast<u32>(DeliveryMode::nmi) << 8);
    return true;
}

bool VirtualApic::restore(const State& state) {
    u8* const page = port_.page(Hpa{state.page});
    if (page == nullptr) return false;
    registers_ = reinterpret_cast<u32*>(page);
    state_ = state;
    look_again();
    waiting_ = highest(state_.waiting);
    has_messages_ = triggers_changed_ = true;
    return true;
}

/// SDM 3A, "Local APIC State After an INIT Reset". The wire stays as it is, and what is not the
/// APIC's: the events that wait, the activity.
void VirtualApic::init_reset() {
    for (u32 index = 0; index < page_size / 16; ++index) put(index, 0);
    put(reg_version, version);
    put(reg_destination_format, ~u32{0});
    put(reg_spurious, 0xff);
    for (u32 index = reg_lvt_timer; index <= reg_lvt_error; ++index) put(index, lvt_masked);
    look_again();
    triggers_changed_ = true;
    state_.sent = state_.sent_by_level = {};
    state_.timer_due = never;
    state_.tsc_deadline = 0;
    state_.lvt_timer = lvt_masked;
    state_.initial_count = state_.errors = state_.external_requested = 0;
    agree_about_identity();
}

/// In x2APIC mode the ID is the processor's, and the logical destination follows from it.
void VirtualApic::agree_about_identity() {
    put(reg_id, x2apic() ? state_.number : state_.number << 24);
    if (x2apic()) put(reg_logical_destination, x2apic_logical_destination(state_.number));
}

bool VirtualApic::is_in_its_place() const {
    return globally_enabled() && !x2apic() &&
           align_down(state_.base, page_size) == apic_base_reset_address;
}

Vectors VirtualApic::vectors(u32 first) const {
    Vectors words{};
    for (u32 n = 0; n < words.size(); ++n) words[n] = at(first + n);
    return words;
}

void VirtualApic::look_again() {
    requested_ = highest(vectors(reg_requested));
    in_service_ = highest(vectors(reg_in_service));
}

void VirtualApic::set_requested(u8 vector, bool on) {
    assign(reg_requested, vector, on);
    requested_ = highest(vectors(reg_requested));
}

void VirtualApic::set_in_service(u8 vector, bool on) {
    assign(reg_in_service, vector, on);
    in_service_ = highest(vectors(reg_in_service));
}

void VirtualApic::assign(u32 first, u8 vector, bool on) {
    const u32 index = first + vector / 32;
    const u32 mask = 1u << (vector % 32);
    put(index, on ? at(index) | mask : at(index) & ~mask);
}

// Interrupts on their way.

/// What others have sent goes into the page.
void VirtualApic::collect() {
    if (!has_messages_) return;
    const Vectors triggers = level_triggered();
    for (u32 n = 0; n < state_.sent.size(); ++n) {
        if (state_.sent[n] == 0) continue;
        put(reg_requested + n, at(reg_requested + n) | state_.sent[n]);
        put(reg_trigger_mode + n,
            (at(reg_trigger_mode + n) & ~state_.sent[n]) | state_.sent_by_level[n]);
    }
    state_.sent = state_.sent_by_level = {};
    has_messages_ = false;
    if (level_triggered() != triggers) triggers_changed_ = true;
    requested_ = highest(vectors(reg_requested));
}

void VirtualApic::catch_up() {
    if (due() != never) fire_timer(port_.tsc());
    collect();
}

void VirtualApic::request(u8 vector, bool level) {
    if (vector < 16) return raise_error(received_illegal_vector);
    note_request(vector, level);
}

void VirtualApic::note_request(u8 vector, bool level) {
    apic::assign(state_.sent, vector, true);
    apic::assign(state_.sent_by_level, vector, level);
    has_messages_ = true;
}

/// SDM 3A, "Error Handling".
void VirtualApic::raise_error(u32 error) {
    state_.errors |= error;
    const auto vector = static_cast<u8>(at(reg_lvt_error));
    if ((at(reg_lvt_error) & lvt_masked) == 0 && vector >= 16) note_request(vector, false);
}

/// By the page: what is kept is of the last exit.
u32 VirtualApic::processor_priority() const {
    return apic::processor_priority(at(reg_task_priority), highest(vectors(reg_in_service)));
}

int VirtualApic::deliverable() const {
    if (requested_ < 0 || !globally_enabled()) return -1;
    const u32 priority = apic::processor_priority(at(reg_task_priority), in_service_);
    return is_above(requested_, priority) ? requested_ : -1;
}

void VirtualApic::take(u8 vector) {
    set_requested(vector, false);
    set_in_service(vector, true);
}

bool VirtualApic::put_back(u8 vector) {
    if (in_service() != vector) return false;
    set_in_service(vector, false);
    set_requested(vector, true);
    return true;
}

bool VirtualApic::hears_external() const {
    const u32 entry = at(reg_lvt_lint0);
    return !globally_enabled() || (is_external(entry) && (entry & lvt_masked) == 0);
}

u8 VirtualApic::acknowledge_external() {
    state_.external_requested = 0;
    return vm_.devices().acknowledge_external();
}

void VirtualApic::end_of_interrupt() {
    const int vector = in_service();
    if (vector < 0) return;
    set_in_service(static_cast<u8>(vector), false);
    ended(static_cast<u8>(vector));
}

/// SDM 3A, "Signaling Interrupt Servicing Completion".
void VirtualApic::ended(u8 vector) {
    if (is_set(level_triggered(), vector)) vm_.devices().end_of_interrupt(vector);
}

/// What an entry of the local vector table asks for. Fixed ones count as edges.
void VirtualApic::local_interrupt(u32 entry) {
    if ((entry & lvt_masked) != 0 || !globally_enabled()) return;
    if (delivery_mode_of(entry) == DeliveryMode::fixed) request(static_cast<u8>(entry), false);
    if (delivery_mode_of(entry) == DeliveryMode::nmi) state_.nmi_pending = 1;
}

void VirtualApic::set_external(bool level) {
    const bool rises = level && state_.external_level == 0;
    state_.external_level = level ? 1 : 0;
    if (rises) local_interrupt(at(reg_lvt_lint0));
}

// Registers.

bool VirtualApic::claims(Gpa address) const {
    return globally_enabled() && !x2apic() &&
           address.page().raw() == align_down(state_.base, page_size);
}

u32 VirtualApic::read_register(u32 index) {
    catch_up();
    switch (index) {
        case reg_arbitration_priority:
        case reg_processor_priority: return processor_priority();
        case reg_end_of_interrupt:
        case reg_remote_read:
        case reg_self_ipi: return 0;
        case reg_current_count: return current_count();
        default: break;
    }
    if (exists(index)) return at(index);
    raise_error(illegal_register);
    return 0;
}

void VirtualApic::write_spurious(u32 value) {
    put(reg_spurious, value & spurious_writable);
    if (enabled()) return;
    for (u32 index = reg_lvt_timer; index <= reg_lvt_error; ++index)
        put(index, at(index) | lvt_masked);
    state_.lvt_timer = at(reg_lvt_timer);
}

/// `value` is what was written; the page may hold it already. What was there before and counts
/// is in State.
void VirtualApic::write_register(u32 index, u32 value) {
    catch_up();
    switch (index) {
        case reg_id: return put(reg_id, value & 0xff00'0000);
        case reg_task_priority: return put(reg_task_priority, value & 0xff);
        case reg_end_of_interrupt: put(index, 0); return end_of_interrupt();
        case reg_logical_destination: return put(index, value & logical_destination_writable);
        case reg_destination_format: return put(index, value | destination_format_fixed);
        case reg_spurious: return write_spurious(value);
        case reg_error_status:
            put(index, state_.errors);
            state_.errors = 0;
            return;
        case reg_command_low: return send((command() & ~u64{0xffff'ffff}) | value);
        case reg_command_high: return put(index, value);
        case reg_lvt_timer: return write_lvt_timer(value);
        case reg_initial_count: return start_timer(value);
        case reg_divide: return put(index, value & divide_writable);
        default: break;
    }
    if (is_local_vector(index))
        put(index, (value & lvt_writable(index)) | (enabled() ? 0 : lvt_masked));
    else if (!exists(index))
        raise_error(illegal_register);
}

u64 VirtualApic::mmio_read(u32 offset, unsigned size) {
    const u64 whole = read_register(offset >> 4);
    return whole >> (8 * (offset & 3)) & all_ones(size);
}

void VirtualApic::mmio_write(u32 offset, u64 value) {
    if ((offset & 15) == 0) write_register(offset >> 4, static_cast<u32>(value));
}

void VirtualApic::written(u32 offset) {
    const u32 index = offset >> 4 & 0xff;
    if (index == reg_self_ipi) return request(static_cast<u8>(at(index)), false);
    write_register(index, at(index));
}

bool VirtualApic::read_msr(u32 msr, u64& value) {
    value = state_.base;
    if (msr == static_cast<u32>(Msr::apic_base)) return true;
    if (msr == static_cast<u32>(Msr::tsc_deadline)) {
        catch_up();
        value = state_.tsc_deadline;
        return true;
    }
    const u32 index = msr - x2apic_msr_first;
    if (!x2apic() || msr > x2apic_msr_last || !is_readable(index)) return false;
    value = index == reg_command_low ? command() : read_register(index);
    return true;
}

bool VirtualApic::write_msr(u32 msr, u64 value) {
    if (msr == static_cast<u32>(Msr::tsc_deadline)) {
        catch_up();
        arm_deadline(value);
        return true;
    }
    const u32 index = msr - x2apic_msr_first;
    if (!x2apic() || msr > x2apic_msr_last) return false;
    const u64 writable = writable_bits(index);
    if (writable == not_writable || (value & ~writable) != 0) return false;
    if (index == reg_command_low)
        send(value);
    else if (index == reg_self_ipi)
        request(static_cast<u8>(value), false);
    else
        write_register(index, static_cast<u32>(value));
    return true;
}

/// Switched off it forgets; entering x2APIC mode nothing is left of the destination. SDM 3A,
/// "x2APIC State Transitions".
VirtualApic::BaseWrite VirtualApic::write_base(u64 value, unsigned physical_bits, bool has_x2apic) {
    constexpr ApicBaseWord defined{ApicBase::bsp, ApicBase::x2apic_enable, ApicBase::global_enable};
    const ApicBaseWord before = base();
    const auto after = ApicBaseWord::from_raw(value);
    const bool on = after.has(ApicBase::global_enable);
    const bool extended = after.has(ApicBase::x2apic_enable);
    if ((value & 0xfff & ~defined.to_raw()) != 0 || value >> physical_bits != 0 ||
        (extended && (!on || !has_x2apic)) ||
        (before.has(ApicBase::x2apic_enable) && on && !extended) ||
        (!before.has(ApicBase::global_enable) && extended))
        return BaseWrite::fault;
    const Gpa page{align_down(value, page_size)};
    if (on && page.raw() != apic_base_reset_address && vm_.memory().find(page) != nullptr)
        return BaseWrite::unimplemented;
    state_.base = value;
    if (before.has(ApicBase::global_enable) && !on) {
        init_reset();
    } else if (extended && !before.has(ApicBase::x2apic_enable)) {
        agree_about_identity();
        put_command(command() & 0xffff'ffff);
    }
    return BaseWrite::done;
}

}  // namespace postern::hv
