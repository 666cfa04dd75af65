// SPDX-License-Identifier: Apache-2.0
// How much of the virtual local APIC the processor does itself, and keeping its fields in step. SDM
// 3C, "APIC Virtualization and Virtual Interrupts".
#include "arch/vmx/capability.h"
#include "arch/vmx/msr_bitmap.h"
#include "hv/vcpu.h"

namespace postern::hv {

namespace {

using namespace apic;

constexpr SecondaryControls whole{
    SecondaryControl::virtualize_apic_accesses, SecondaryControl::virtualize_x2apic_mode,
    SecondaryControl::apic_register_virtualization, SecondaryControl::virtual_interrupt_delivery};

constexpr u64 status_of(int requested, int in_service) {
    const auto number = [](int vector) { return vector < 0 ? u64{0} : static_cast<u64>(vector); };
    return number(requested) | number(in_service) << 8;
}

/// With "virtualize x2APIC mode" the processor reads these from the page; the current count is
/// none that lies there.
constexpr bool reads_without_exit(u32 index) {
    return is_readable(index) && index != reg_current_count;
}
constexpr bool writes_without_exit(u32 index) {
    return index == reg_task_priority || index == reg_end_of_interrupt || index == reg_self_ipi;
}

void assign(u8* bitmap, BitmapBit where, bool on) {
    const u8 mask = static_cast<u8>(1u << where.bit);
    bitmap[where.byte] =
        static_cast<u8>(on ? bitmap[where.byte] | mask : bitmap[where.byte] & ~mask);
}

}  // namespace

/// Either all of it or the TPR shadow or nothing: then CR8 exits.
void Vcpu::choose_apicv() {
    const auto basic = VmxBasic::from_raw(port_.rdmsr(static_cast<u32>(Msr::vmx_basic)));
    const Msr msr =
        basic.has_true_controls() ? Msr::vmx_true_procbased_ctls : Msr::vmx_procbased_ctls;
    const auto primary = ControlCapability::from_raw(port_.rdmsr(static_cast<u32>(msr)));
    apicv_.tpr_shadow =
        vm_.config().apicv && primary.allows(PrimaryControl::use_tpr_shadow) ? 1 : 0;
    bool all = apicv_.tpr_shadow != 0;
    for (const auto control :
         {SecondaryControl::virtualize_apic_accesses, SecondaryControl::virtualize_x2apic_mode,
          SecondaryControl::apic_register_virtualization,
          SecondaryControl::virtual_interrupt_delivery})
        all = all && allowed(control);
    apicv_.whole = all ? 1 : 0;
}

PrimaryControls Vcpu::primary_for_apic() const {
    if (apicv_.tpr_shadow != 0) return PrimaryControls{PrimaryControl::use_tpr_shadow};
    return {PrimaryControl::cr8_load_exiting, PrimaryControl::cr8_store_exiting};
}

SecondaryControls Vcpu::secondary_for_apic() const {
    if (apicv_.whole == 0) return {};
    return whole.with(SecondaryControl::virtualize_x2apic_mode, false);
}

bool Vcpu::start_apic() {
    const Result<Hpa> page = vm_.pages().take();
    if (!page.ok() || !apic_.create(page.value(), number_)) return false;
    if (apicv_.tpr_shadow != 0) {
        port_.vmwrite(VmcsField::virtual_apic_address, page.value().raw());
        port_.vmwrite(VmcsField::tpr_threshold, 0);
    }
    if (apicv_.whole != 0) {
        port_.vmwrite(VmcsField::apic_access_address, vm_.apic_access_page().raw());
        write_interrupt_status(0);
        write_eoi_exits({});
    }
    return agree_about_apic_mode();
}

/// The controls and the MSR bitmap follow IA32_APIC_BASE. False: the pool is exhausted.
bool Vcpu::agree_about_apic_mode() {
    if (apicv_.whole == 0) return true;
    auto controls =
        SecondaryControls::from_raw(read32(VmcsField::secondary_processor_based_controls));
    controls.set(SecondaryControl::virtualize_apic_accesses, apic_.is_in_its_place());
    controls.set(SecondaryControl::virtualize_x2apic_mode, apic_.x2apic());
    port_.vmwrite(VmcsField::secondary_processor_based_controls, controls.to_raw());
    u8* const bitmap = port_.page(Hpa{port_.vmread(VmcsField::msr_bitmap)});
    for (u32 msr = x2apic_msr_first; msr <= x2apic_msr_last; ++msr) {
        const u32 index = msr - x2apic_msr_first;
        const bool mode = apic_.x2apic();
        assign(bitmap, msr_bitmap_bit(msr, false), !(mode && reads_without_exit(index)));
        assign(bitmap, msr_bitmap_bit(msr, true), !(mode && writes_without_exit(index)));
    }
    return vm_.agree_about_apic_page();
}

bool Vcpu::uses_apic_page() const { return apicv_.whole != 0 && apic_.is_in_its_place(); }

/// The page at which each guest finds its local APIC is one for all processors, so it is the
/// APIC-access page only while all of them have theirs there. Else its accesses exit as a
/// device's do.
bool Vm::agree_about_apic_page() {
    bool wanted = apic_access_page_.raw() != 0;
    for (const Vcpu* const vcpu : vcpus_)
        if (vcpu != nullptr && vcpu->has_apic()) wanted = wanted && vcpu->uses_apic_page();
    const Gpa page{apic_base_reset_address};
    if (wanted == ept_.is_mapped(page)) return true;
    if (!wanted) return ept_.forget(page);
    return ept_.map({page, page_size, SlotKind::ram, apic_access_page_}, page).ok();
}

void Vcpu::write_eoi_exits(const Vectors& level_triggered) {
    const auto word = [&](size_t n) {
        return level_triggered[2 * n] | u64{level_triggered[2 * n + 1]} << 32;
    };
    port_.vmwrite(VmcsField::eoi_exit_bitmap_0, word(0));
    port_.vmwrite(VmcsField::eoi_exit_bitmap_1, word(1));
    port_.vmwrite(VmcsField::eoi_exit_bitmap_2, word(2));
    port_.vmwrite(VmcsField::eoi_exit_bitmap_3, word(3));
    apicv_.eoi_exits = level_triggered;
}

/// Of the requests the one in front, if only the task priority holds it back: CR8 below its
/// class exits. SDM 3C, "TPR Virtualization".
u32 Vcpu::tpr_threshold() const {
    const int vector = apic_.requested();
    if (apic_.deliverable() >= 0 ||
        !is_above(vector, apic::processor_priority(0, apic_.in_service())))
        return 0;
    return static_cast<u32>(vector) >> 4;
}

void Vcpu::write_interrupt_status(u64 status) {
    port_.vmwrite(VmcsField::guest_interrupt_status, status);
    interrupt_status_ = status;
}

/// What the processor needs to go on with the page where we left it.
void Vcpu::hand_over_apic() {
    if (apicv_.whole != 0) {
        const u64 status = status_of(apic_.requested(), apic_.in_service());
        if (status != interrupt_status_) write_interrupt_status(status);
        if (apic_.take_trigger_change() && apic_.level_triggered() != apicv_.eoi_exits)
            write_eoi_exits(apic_.level_triggered());
    } else if (apicv_.tpr_shadow != 0) {
        const u32 threshold = tpr_threshold();
        if (threshold == apicv_.tpr_threshold) return;
        apicv_.tpr_threshold = threshold;
        port_.vmwrite(VmcsField::tpr_threshold, threshold);
    }
}

/// What the processor changes in the page's requests and in what is in service, RVI and SVI follow:
/// while they are the same, so are the highest vectors. L2's page is another. SDM 3C,
/// "Virtual-Interrupt Delivery", "EOI Virtualization", "Self-IPI Virtualization".
void Vcpu::take_over_apic() {
    if (apicv_.whole == 0 || nested_.in_l2()) return;
    const u64 status = port_.vmread(VmcsField::guest_interrupt_status);
    if (status == interrupt_status_) return;
    interrupt_status_ = status;
    apic_.look_again();
}

/// False: it is no device's, or nobody answers.
bool Vcpu::device_read(Gpa address, unsigned size, u64& value) {
    if (!apic_.claims(address)) return vm_.devices().mmio_read(address, size, value);
    value = apic_.mmio_read(static_cast<u32>(address.offset()), size);
    return true;
}

bool Vcpu::device_write(Gpa address, unsigned size, u64 value) {
    if (!apic_.claims(address)) return vm_.devices().mmio_write(address, size, value);
    apic_.mmio_write(static_cast<u32>(address.offset()), value);
    return true;
}

bool Vcpu::write_apic_base(u64 value) {
    if (nested_.in_l2()) {
        stop(StopReason::not_implemented, "a nested guest that writes IA32_APIC_BASE of its host");
        return true;
    }
    constexpr u32 features = 1, address_sizes = 0x8000'0008, x2apic = 21;
    const u32 bits = port_.cpuid(address_sizes, 0).eax & 0xff;
    const bool has_x2apic = (port_.cpuid(features, 0).ecx >> x2apic & 1) != 0;
    switch (apic_.write_base(value, bits == 0 ? 36 : bits, has_x2apic)) {
        case VirtualApic::BaseWrite::fault: return false;
        case VirtualApic::BaseWrite::unimplemented:
            stop(StopReason::not_implemented, "a local APIC that is moved over memory", value);
            return true;
        case VirtualApic::BaseWrite::done: break;
    }
    if (!agree_about_apic_mode()) stop(StopReason::out_of_table_pages);
    return true;
}

}  // namespace postern::hv
