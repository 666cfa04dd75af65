// SPDX-License-Identifier: Apache-2.0
// What L1 does at each exit of its guest: it writes it down, undoes what provoked it, and lets the
// guest go on. It never emulates an instruction of an enclave and never moves its RIP.
#include "guests/blue_pill/abi.h"
#include "guests/blue_pill/ept.h"
#include "guests/blue_pill/l1.h"
#include "guests/kernel/console.h"
#include "guests/kernel/processor.h"

namespace postern::guests {
namespace {

constexpr u64 valid = u64{1} << 31;
constexpr u64 nmi_unblocking = 1 << 12;  // undefined, or not for VM entry
constexpr u64 hardware_exception = u64{3} << 8;
constexpr u64 event_type = u64{7} << 8, nmi_type = u64{2} << 8;
constexpr u64 blocked_by_nmi = 1 << 3;
constexpr u64 invalid_opcode = 6;
constexpr u64 page_fault = 14;
constexpr u64 interrupt_vector = 0x40;

struct {
    L1Order order;
    ExitTable table;
    u64 withdrawn;       // guest-physical; 0: none
    u64 waiting_vector;  // an interrupt that L1 has taken and its guest has not; 0: none
    bool recording;
} l1;

/// ENCLS exits while no order stands: those of the enclave being built.
bool is_recorded(const SeenExit& exit) {
    return l1.recording || exit.basic() == static_cast<u64>(Reason::encls);
}

SeenExit read_exit(const L2Registers& registers) {
    SeenExit exit{};
    exit.reason = vmread(Field::exit_reason);
    exit.qualification = vmread(Field::qualification);
    if (exit.entry_failed()) return exit;
    exit.interruptibility = vmread(Field::interruptibility);
    exit.rip = vmread(Field::guest_rip);
    exit.length = vmread(Field::exit_length);
    exit.information = vmread(Field::exit_information);
    exit.interruption = vmread(Field::exit_interruption);
    exit.error_code = vmread(Field::exit_error_code);
    exit.vectoring = vmread(Field::vectoring);
    exit.vectoring_error_code = vmread(Field::vectoring_error_code);
    exit.linear = vmread(Field::guest_linear_address);
    exit.physical = vmread(Field::guest_physical_address);
    exit.rax = registers.rax;
    exit.rbx = registers.rbx;
    exit.rcx = registers.rcx;
    return exit;
}

void record(const SeenExit& exit) {
    if (l1.table.count < exits_listed) l1.table.exits[l1.table.count] = exit;
    ++l1.table.count;
}

void step_over(const SeenExit& exit) {
    if (exit.from_enclave()) fail(Line{} << "L1: an enclave is not stepped over");
    vmwrite(Field::guest_rip, exit.rip + exit.length);
}

void change(Field controls, u64 bit, bool on) {
    const u64 now = vmread(controls);
    vmwrite(controls, on ? now | bit : now & ~bit);
}

void inject(u64 information, u64 error_code, u64 length) {
    vmwrite(Field::entry_interruption, information);
    vmwrite(Field::entry_error_code, error_code);
    vmwrite(Field::entry_length, length);
}

/// The guest's paging structures are L1's own, all of them below 4 GiB.
u64 physical_of(u64 linear) {
    constexpr u64 address_bits = 0x000f'ffff'ffff'f000;
    u64 table = vmread(Field::guest_cr3) & address_bits;
    for (u32 shift = 39;; shift -= 9) {
        const u64 entry = reinterpret_cast<const u64*>(table)[linear >> shift & 511];
        if ((entry & 1) == 0) fail((Line{} << "L1: not mapped: ").hex(linear));
        if (shift == 12) return entry & address_bits;
        if ((entry >> 7 & 1) != 0)
            return (entry & address_bits & ~((u64{1} << shift) - 1)) |
                   (linear & ((u64{1} << shift) - 1) & address_bits);
        table = entry & address_bits;
    }
}

/// The page below IST3 of the guest. SDM 3A, "64-Bit Mode Task State Segment".
u64 own_stack_of_divide_error() {
    constexpr u64 ist3 = 52;
    u64 top;
    __builtin_memcpy(&top, reinterpret_cast<const void*>(vmread(Field::guest_tr_base) + ist3),
                     sizeof top);
    return top - 4096;
}

void withdraw(u64 linear, EptAccess access) {
    l1.withdrawn = physical_of(linear);
    set_access(l1.withdrawn, access);
}

void give_back() {
    if (l1.withdrawn != 0) set_access(l1.withdrawn, EptAccess::all);
    l1.withdrawn = 0;
}

void start_timer(u64 count) {
    vmwrite(Field::preemption_timer, count);
    change(Field::pin_controls, pin_preemption_timer, true);
}

/// One interrupt of the local APIC's timer. SDM 3A, "APIC Timer".
void start_apic_timer(u64 count) {
    const auto write = [](u64 offset, u32 value) {
        constexpr u64 apic = 0xfee0'0000;
        *reinterpret_cast<volatile u32*>(apic + offset) = value;
    };
    constexpr u64 spurious = 0xf0, timer = 0x320, initial_count = 0x380, divide = 0x3e0;
    constexpr u32 enabled = 0x1ff, by_1 = 0xb;
    write(spurious, enabled);
    write(timer, interrupt_vector);
    write(divide, by_1);
    write(initial_count, static_cast<u32>(count));
}

/// Of the I/O APIC, whose pin 2 is the PIT's. Intel, 82093AA data sheet.
void route_pit(u32 low) {
    constexpr u64 select = 0xfec0'0000, window = select + 0x10;
    constexpr u32 entry = 0x10 + 2 * 2;
    const auto write = [](u32 index, u32 value) {
        *reinterpret_cast<volatile u32*>(select) = index;
        *reinterpret_cast<volatile u32*>(window) = value;
    };
    write(entry + 1, 0);
    write(entry, low);
}

/// One NMI, when the PIT's counter 0 has counted down. Intel, 8254 data sheet, mode 0.
void start_nmi(u64 count) {
    constexpr u32 as_nmi = 4 << 8;
    constexpr u16 counter_0 = 0x40, control = 0x43;
    constexpr u8 both_bytes_mode_0 = 0x30;
    out_byte(control, both_bytes_mode_0);
    route_pit(as_nmi);
    out_byte(counter_0, static_cast<u8>(count));
    out_byte(counter_0, static_cast<u8>(count >> 8));
}

void end_nmi() {
    constexpr u32 masked = 1 << 16;
    route_pit(masked);
    change(Field::pin_controls, pin_nmi_exiting, false);
}

void provoke(const L1Order& order) {
    switch (order.provoke) {
        case Provoke::nothing: return;
        case Provoke::withdraw:
        case Provoke::withdraw_device:
        case Provoke::emulate_device: return withdraw(order.value, EptAccess::none);
        case Provoke::make_read_only: return withdraw(order.value, EptAccess::read_and_execute);
        case Provoke::withdraw_stack: return withdraw(own_stack_of_divide_error(), EptAccess::none);
        case Provoke::host_takes_page:
            return out_dword(mark_port, static_cast<u32>(physical_of(order.value) >> 12));
        case Provoke::timer: return start_timer(order.value);
        case Provoke::block_nmis:
            vmwrite(Field::interruptibility, blocked_by_nmi);
            return withdraw(order.value, EptAccess::none);
        case Provoke::interrupt:
        case Provoke::late_interrupt: return start_apic_timer(order.value);
        case Provoke::nmi: change(Field::pin_controls, pin_nmi_exiting, true); [[fallthrough]];
        case Provoke::nmi_to_guest: return start_nmi(order.value);
        case Provoke::exception: return vmwrite(Field::exception_bitmap, u64{1} << order.value);
        case Provoke::primary_control:
            return change(Field::primary_controls, u64{1} << order.value, true);
        case Provoke::secondary_control:
            return change(Field::secondary_controls, u64{1} << order.value, true);
        case Provoke::entry_state: return vmwrite(Field::interruptibility, order.value);
    }
}

void end_order() {
    give_back();
    vmwrite(Field::exception_bitmap, 0);
    if (l1.order.provoke == Provoke::timer)
        change(Field::pin_controls, pin_preemption_timer, false);
    if (l1.order.provoke == Provoke::nmi || l1.order.provoke == Provoke::nmi_to_guest) end_nmi();
    l1.recording = false;
}

/// The guest has no VMX, and calls L1 only as abi.h says.
void inject_undefined() { inject(valid | hardware_exception | invalid_opcode, 0, 0); }

void on_vmcall(const SeenExit& exit, const L2Registers& registers) {
    switch (static_cast<L1Call>(registers.rax)) {
        case L1Call::begin:
            step_over(exit);
            l1.order = *reinterpret_cast<const L1Order*>(registers.rdi);
            l1.table = {};
            l1.recording = true;
            return provoke(l1.order);
        case L1Call::end:
            step_over(exit);
            end_order();
            *reinterpret_cast<ExitTable*>(registers.rdi) = l1.table;
            return;
    }
    inject_undefined();
}

/// The guest asks for it in a loop of one instruction, when no enclave runs.
void leave_loop(const SeenExit& exit) {
    constexpr u64 short_jump = 2;
    if (!exit.from_enclave()) vmwrite(Field::guest_rip, exit.rip + short_jump);
}

void inject_waiting() {
    inject(valid | l1.waiting_vector, 0, 0);
    l1.waiting_vector = 0;
}

bool can_take_interrupts(const SeenExit& exit) {
    constexpr u64 rflags_if = 1 << 9, blocked = 3;
    return (vmread(Field::guest_rflags) & rflags_if) != 0 && (exit.interruptibility & blocked) == 0;
}

void on_interrupt(const SeenExit& exit) {
    leave_loop(exit);
    l1.waiting_vector = exit.interruption & 0xff;
    if (l1.order.provoke == Provoke::interrupt && can_take_interrupts(exit))
        return inject_waiting();
    change(Field::primary_controls, primary_interrupt_window_exiting, true);
}

void on_window() {
    change(Field::primary_controls, primary_interrupt_window_exiting, false);
    inject_waiting();
}

void on_timer(const SeenExit& exit) {
    leave_loop(exit);
    change(Field::pin_controls, pin_preemption_timer, false);
}

/// The guest is to have it all the same; but an NMI is L1's own.
void on_exception(const SeenExit& exit) {
    if ((exit.interruption & event_type) == nmi_type) return leave_loop(exit);
    if ((exit.interruption & 0xff) == page_fault)
        asm volatile("mov cr2, %0" : : "r"(exit.qualification));
    inject(exit.interruption & ~nmi_unblocking, exit.error_code, exit.length);
}

/// MOV between memory and EAX or RAX.
struct Move {
    u8 code[4];
    u32 length;
    bool stores;

    [[nodiscard]] bool is_at(u64 rip) const {
        const auto* const bytes = reinterpret_cast<const u8*>(rip);
        for (u32 i = 0; i < length; ++i)
            if (bytes[i] != code[i]) return false;
        return true;
    }
};
constexpr Move moves[] = {
    {{0x8b, 0x07}, 2, false},             // MOV EAX, [RDI]
    {{0x48, 0x89, 0x04, 0x24}, 4, true},  // MOV [RSP], RAX
};

/// As hypervisors carry out accesses to their devices: what RIP points to, where the exit says.
void emulate(const SeenExit& exit, L2Registers& registers) {
    const u64 device = doorbell_address + (exit.physical & 4095);
    for (const Move& move : moves) {
        if (!move.is_at(exit.rip)) continue;
        if (move.stores)
            *reinterpret_cast<volatile u64*>(device) = registers.rax;
        else
            registers.rax = *reinterpret_cast<volatile u32*>(device);
        return vmwrite(Field::guest_rip, exit.rip + move.length);
    }
    fail((Line{} << "L1: an instruction that it does not know at ").hex(exit.rip));
}

/// What was being delivered is delivered again.
void on_ept_violation(const SeenExit& exit, L2Registers& registers) {
    if ((exit.physical & ~u64{4095}) != l1.withdrawn)
        fail((Line{} << "L1: an EPT violation at ").hex(exit.physical));
    const bool emulates = l1.order.provoke == Provoke::emulate_device;
    if ((emulates || l1.order.provoke == Provoke::withdraw_device) && exit.from_enclave())
        return inject_undefined();
    if (emulates) return emulate(exit, registers);
    give_back();
    if ((exit.vectoring & valid) != 0)
        inject(exit.vectoring & ~nmi_unblocking, exit.vectoring_error_code, exit.length);
}

void on_cpuid(const SeenExit& exit, L2Registers& registers) {
    const CpuidResult result =
        cpuid(static_cast<u32>(registers.rax), static_cast<u32>(registers.rcx));
    registers.rax = result.eax;
    registers.rbx = result.ebx;
    registers.rcx = result.ecx;
    registers.rdx = result.edx;
    step_over(exit);
}

void handle(const SeenExit& exit, L2Registers& registers) {
    switch (static_cast<Reason>(exit.basic())) {
        case Reason::exception_or_nmi: return on_exception(exit);
        case Reason::external_interrupt: return on_interrupt(exit);
        case Reason::interrupt_window: return on_window();
        case Reason::cpuid: return on_cpuid(exit, registers);
        case Reason::vmcall: return on_vmcall(exit, registers);
        case Reason::entry_failure_guest_state: return vmwrite(Field::interruptibility, 0);
        case Reason::rdtsc:
        case Reason::pause: return change(Field::primary_controls, u64{1} << l1.order.value, false);
        case Reason::rdrand:
        case Reason::rdseed:
            return change(Field::secondary_controls, u64{1} << l1.order.value, false);
        case Reason::vmread: return inject_undefined();
        case Reason::ept_violation: return on_ept_violation(exit, registers);
        case Reason::preemption_timer: return on_timer(exit);
        case Reason::encls: return change(Field::encls_bitmap, u64{1} << registers.rax, false);
    }
    fail((Line{} << "L1: exit reason ").hex(exit.reason) << " is not handled");
}

}  // namespace

extern "C" void on_vm_exit(L2Registers& registers) {
    const SeenExit exit = read_exit(registers);
    const bool ours = !exit.entry_failed() && exit.basic() == static_cast<u64>(Reason::vmcall);
    if (is_recorded(exit) && !ours) record(exit);
    handle(exit, registers);
}

}  // namespace postern::guests
