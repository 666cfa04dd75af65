// SPDX-License-Identifier: Apache-2.0
// What the processor does with the virtual-APIC page by itself: priorities, ends of interrupt,
// evaluation and delivery of virtual interrupts. RVI and SVI live in the VMCS's field.
#include "cpu/vmx/virtual_apic.h"

#include <bit>

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;

constexpr unsigned vector_words = 8;  // registers of 32 vectors each, 16 bytes apart

void write_virtual_register(Cpu& c, u16 offset, u32 value) {
    write_physical(c, virtual_apic_address(c, offset), 4, value);
}

// Requesting and servicing virtual interrupt. SDM 3C, "Guest Interrupt Status".

u8 rvi(const Cpu& c) { return static_cast<u8>(c.vmx.vmcs.get<F::guest_interrupt_status>()); }
u8 svi(const Cpu& c) { return static_cast<u8>(c.vmx.vmcs.get<F::guest_interrupt_status>() >> 8); }

void set_status(Cpu& c, u8 requesting, u8 servicing) {
    c.vmx.vmcs.set<F::guest_interrupt_status>(requesting | u64{servicing} << 8);
}

// VISR and VIRR.

constexpr u16 word_of(u16 base, u8 vector) { return static_cast<u16>(base + 16 * (vector / 32)); }

void assign(Cpu& c, u16 base, u8 vector, bool on) {
    const u16 at = word_of(base, vector);
    const u32 mask = u32{1} << (vector % 32);
    const u32 old = read_virtual_register(c, at);
    write_virtual_register(c, at, on ? old | mask : old & ~mask);
}

/// The highest vector whose bit is set; 0 if there is none.
u8 highest(Cpu& c, u16 base) {
    for (unsigned n = vector_words; n-- > 0;) {
        const u32 word = read_virtual_register(c, static_cast<u16>(base + 16 * n));
        if (word != 0)
            return static_cast<u8>(32 * n + 31 - static_cast<u32>(std::countl_zero(word)));
    }
    return 0;
}

bool delivers_virtual_interrupts(const Cpu& c) {
    return has(c.vmx.vmcs, SecondaryControl::virtual_interrupt_delivery);
}

u8 task_priority_threshold(const Cpu& c) {
    return static_cast<u8>(c.vmx.vmcs.get<F::tpr_threshold>() & 0xf);
}

/// SDM 3C, "PPR Virtualization".
void virtualize_ppr(Cpu& c) {
    const u8 task = virtual_task_priority(c);
    const u8 serviced = svi(c) & 0xf0;
    write_virtual_register(c, vppr, (task & 0xf0) >= serviced ? task : serviced);
}

/// SDM 3C, "TPR Virtualization".
std::optional<Exit> virtualize_tpr(Cpu& c) {
    if (delivers_virtual_interrupts(c)) {
        virtualize_ppr(c);
        evaluate_virtual_interrupts(c);
        return {};
    }
    if (virtual_task_priority(c) >> 4 >= task_priority_threshold(c)) return {};
    return Exit{.reason = BasicReason::tpr_below_threshold};
}

bool exits_on_eoi(const Cpu& c, u8 vector) {
    const Vmcs& v = c.vmx.vmcs;
    const u64 bitmap[] = {v.get<F::eoi_exit_bitmap_0>(), v.get<F::eoi_exit_bitmap_1>(),
                          v.get<F::eoi_exit_bitmap_2>(), v.get<F::eoi_exit_bitmap_3>()};
    return (bitmap[vector / 64] >> (vector % 64) & 1) != 0;
}

/// SDM 3C, "EOI Virtualization".
std::optional<Exit> virtualize_eoi(Cpu& c) {
    const u8 vector = svi(c);
    assign(c, visr, vector, false);
    set_status(c, rvi(c), highest(c, visr));
    virtualize_ppr(c);
    if (exits_on_eoi(c, vector))
        return Exit{.reason = BasicReason::virtualized_eoi, .qualification = vector};
    evaluate_virtual_interrupts(c);
    return {};
}

/// SDM 3C, "Self-IPI Virtualization".
void virtualize_self_ipi(Cpu& c, u8 vector) {
    assign(c, virr, vector, true);
    request_virtual_interrupt(c, vector);
    evaluate_virtual_interrupts(c);
}

/// Of the values of ICR_LO only this one is no VM exit: an edge-triggered fixed interrupt of a
/// legal vector to the sender alone. SDM 3C, "APIC-Write Emulation".
constexpr bool is_self_ipi(u32 command) {
    constexpr u32 must_be_clear = 0xfff3'b700;  // reserved, delivery status and mode, trigger mode
    constexpr u32 shorthand = 0x000c'0000, self = 0x0004'0000;
    return (command & must_be_clear) == 0 && (command & shorthand) == self && (command & 0xf0) != 0;
}
static_assert(is_self_ipi(0x0004'0030) && is_self_ipi(0x0004'4831));
static_assert(!is_self_ipi(0x0004'000f) && !is_self_ipi(0x0004'8030) && !is_self_ipi(0x0004'0430));
static_assert(!is_self_ipi(0x000c'0030) && !is_self_ipi(0x0000'0030) && !is_self_ipi(0x0004'1030));

Exit apic_write_exit(u16 offset) {
    return {.reason = BasicReason::apic_write, .qualification = offset};
}

std::optional<Exit> emulate_end_of_interrupt(Cpu& c) {
    if (!delivers_virtual_interrupts(c)) return apic_write_exit(veoi);
    write_virtual_register(c, veoi, 0);
    return virtualize_eoi(c);
}

std::optional<Exit> emulate_command(Cpu& c) {
    const u32 command = read_virtual_register(c, vicr_lo);
    if (!delivers_virtual_interrupts(c) || !is_self_ipi(command)) return apic_write_exit(vicr_lo);
    virtualize_self_ipi(c, static_cast<u8>(command));
    return {};
}

/// Only WRMSR gets here. SDM 3C, "Virtualizing MSR-Based APIC Accesses".
std::optional<Exit> emulate_self_ipi(Cpu& c) {
    const auto vector = static_cast<u8>(read_virtual_register(c, vself_ipi));
    if (vector < 16) return apic_write_exit(vself_ipi);
    virtualize_self_ipi(c, vector);
    return {};
}

}  // namespace

u32 read_virtual_register(Cpu& c, u16 offset) {
    return static_cast<u32>(read_physical(c, virtual_apic_address(c, offset), 4));
}

u8 virtual_task_priority(Cpu& c) { return static_cast<u8>(read_virtual_register(c, vtpr)); }

void request_virtual_interrupt(Cpu& c, u8 vector) {
    if (vector > rvi(c)) set_status(c, vector, svi(c));
}

/// SDM 3C, "Evaluation of Pending Virtual Interrupts".
void evaluate_virtual_interrupts(Cpu& c) {
    const bool above = (rvi(c) & 0xf0u) > (read_virtual_register(c, vppr) & 0xf0);
    c.vmx.virtual_apic.recognized =
        above && !has(c.vmx.vmcs, PrimaryControl::interrupt_window_exiting);
}

/// SDM 3C, "VM Exits Induced by the TPR Threshold" and "Updating Non-Register State".
void begin_virtual_apic(Cpu& c) {
    const Vmcs& v = c.vmx.vmcs;
    c.vmx.virtual_apic = {};
    if (!has(v, PrimaryControl::use_tpr_shadow)) return;
    if (delivers_virtual_interrupts(c)) {
        virtualize_ppr(c);
        evaluate_virtual_interrupts(c);
    } else if (has(v, SecondaryControl::virtualize_apic_accesses)) {
        c.vmx.virtual_apic.threshold_exit =
            virtual_task_priority(c) >> 4 < task_priority_threshold(c);
    }
}

/// SDM 3C, "Virtualizing CR8-Based TPR Accesses".
u64 read_virtual_cr8(Cpu& c) { return virtual_task_priority(c) >> 4; }

void write_virtual_cr8(Cpu& c, u64 cr8) {
    write_virtual_register(c, vtpr, static_cast<u32>(cr8 << 4));
    note_apic_write(c, vtpr, 4);
}

/// SDM 3C, "APIC-Write Emulation".
std::optional<Exit> emulate_apic_write(Cpu& c) {
    const u16 offset = c.vmx.virtual_apic.write_offset;
    c.vmx.virtual_apic.write_pending = false;
    switch (offset) {
        case vtpr:
            write_virtual_register(c, vtpr, virtual_task_priority(c));
            return virtualize_tpr(c);
        case veoi: return emulate_end_of_interrupt(c);
        case vicr_lo: return emulate_command(c);
        case vself_ipi: return emulate_self_ipi(c);
        default: break;
    }
    if (offset < vicr_hi || offset >= vicr_hi + 4) return apic_write_exit(offset);
    write_virtual_register(c, vicr_hi, read_virtual_register(c, vicr_hi) & 0xff00'0000);
    return {};
}

/// SDM 3C, "Virtual-Interrupt Delivery".
u8 take_virtual_interrupt(Cpu& c) {
    const u8 vector = rvi(c);
    assign(c, visr, vector, true);
    write_virtual_register(c, vppr, vector & 0xf0u);
    assign(c, virr, vector, false);
    set_status(c, highest(c, virr), vector);
    c.vmx.virtual_apic.recognized = false;
    return vector;
}

}  // namespace postern::cpu::vmx
