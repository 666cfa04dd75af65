// SPDX-License-Identifier: Apache-2.0
// Checks of interrupts: injected by the monitor, or by the kernel's interrupt chips; two
// processors.
#include <pthread.h>
#include <stdio.h>

#include "check.h"

GUEST_CODE(inject_real)
GUEST_CODE(inject_protected)
GUEST_CODE(inject_long)
GUEST_CODE(line_edge)
GUEST_CODE(line_level)
GUEST_CODE(task_priority)
GUEST_CODE(self_ipi)
GUEST_CODE(apic_timer)
GUEST_CODE(ping)
GUEST_CODE(pong)
GUEST_CODE(start_up)
GUEST_CODE(started)

namespace kvm {

namespace {

constexpr auto rax = &kvm_regs::rax, rbx = &kvm_regs::rbx, rcx = &kvm_regs::rcx,
               rdx = &kvm_regs::rdx, rbp = &kvm_regs::rbp;

// Ports by which the guests speak: at their begin, in a handler, at their end.
constexpr u64 begins = 0x10, handles = 0x11, ends = 0x12;

/// The guest's interrupts are off at first: a window is asked for, and opens after STI and the
/// instruction behind it.
void inject(Mode mode, Code code, Verdict& verdict) {
    const Vm vm{small_memory};
    build_tables(vm);
    put_code(vm, code);
    put_gate(vm, mode, 0x21, code_at + 0x40);
    const Vcpu vcpu{vm, 0};
    vcpu.start(mode, code_at, stack_at);
    follow_one(vcpu, {What::out, begins, 1, 0}, verdict);
    vcpu.shared().request_interrupt_window = 1;
    follow_one(vcpu, {What::window}, verdict);
    // OUT and STI have two bytes and one; the NOP in STI's shadow has run.
    const u64 origin = mode == Mode::real ? 0 : code_at;
    verdict.expect("rip at the window", vcpu.registers().rip, origin + 4);
    verdict.expect("readiness", vcpu.shared().ready_for_interrupt_injection, 1);
    if (!verdict.fine()) return;
    vcpu.shared().request_interrupt_window = 0;
    kvm_interrupt interrupt{.irq = 0x21};
    vcpu.call(KVM_INTERRUPT, &interrupt, "KVM_INTERRUPT");
    const Step rest[]{{What::out, handles, 1, 0}, {What::halt}, {}};
    follow(vcpu, rest, verdict);
    const RegisterWant wants[]{
        {"counted by the handler", rcx, 1}, {"counted after it", rbx, 1}, {}};
    check_registers(vcpu, wants, verdict);
}
void inject_real(Verdict& v) { inject(Mode::real, code_inject_real(), v); }
void inject_protected(Verdict& v) { inject(Mode::protected32, code_inject_protected(), v); }
void inject_long(Verdict& v) { inject(Mode::long64, code_inject_long(), v); }

/// A machine with the kernel's chips and processors of all features, in 64-bit mode.
struct Apics {
    explicit Apics(Code code) : vm{small_memory} {
        vm.create_interrupt_chips();
        build_tables(vm);
        put_code(vm, code);
        put_gate(vm, Mode::long64, 0x35, code_at + 0x80);
        put_gate(vm, Mode::long64, 0x36, code_at + 0xc0);
    }
    Vm vm;
};

/// Their local APICs have the processors' numbers.
void prepare(const Vcpu& vcpu, u32 number) {
    CpuidTable table = supported_cpuid();
    for (u32 n = 0; n < table.count; ++n) {
        kvm_cpuid_entry2& row = table.entry[n];
        if (row.function == 1) row.ebx = (row.ebx & 0x00ff'ffff) | number << 24;
        if (row.function == 0xb || row.function == 0x1f) row.edx = number;
    }
    vcpu.set_cpuid(table);
}

void line_edge(Verdict& verdict) {
    const Apics machine{code_line_edge()};
    const Vcpu vcpu{machine.vm, 0};
    prepare(vcpu, 0);
    vcpu.start(Mode::long64, code_at, stack_at);
    follow_one(vcpu, {What::out, begins, 1, 0xff}, verdict);
    machine.vm.set_line(5, true);
    machine.vm.set_line(5, false);
    follow_one(vcpu, {What::out, ends, 1, 1}, verdict);
}

void line_level(Verdict& verdict) {
    const Apics machine{code_line_level()};
    put_gate(machine.vm, Mode::long64, 0x36, code_at + 0x80);
    const Vcpu vcpu{machine.vm, 0};
    prepare(vcpu, 0);
    vcpu.start(Mode::long64, code_at, stack_at);
    follow_one(vcpu, {What::out, begins, 1, 0xff}, verdict);
    machine.vm.set_line(6, true);
    follow_one(vcpu, {What::out, handles, 1, 0xff}, verdict);
    follow_one(vcpu, {What::out, handles, 1, 0xff}, verdict);
    machine.vm.set_line(6, false);
    follow_one(vcpu, {What::out, ends, 1, 2}, verdict);
}

void task_priority(Verdict& verdict) {
    const Apics machine{code_task_priority()};
    const Vcpu vcpu{machine.vm, 0};
    prepare(vcpu, 0);
    vcpu.start(Mode::long64, code_at, stack_at);
    follow_one(vcpu, {What::out, begins, 1, 4}, verdict);
    machine.vm.set_line(5, true);
    machine.vm.set_line(5, false);
    follow_one(vcpu, {What::out, ends, 1, 1}, verdict);
    const RegisterWant wants[]{{"taken under task priority 4", rdx, 0}, {"CR8", rbp, 0}, {}};
    check_registers(vcpu, wants, verdict);
}

void self_ipi(Verdict& verdict) {
    const Apics machine{code_self_ipi()};
    const Vcpu vcpu{machine.vm, 0};
    prepare(vcpu, 0);
    vcpu.start(Mode::long64, code_at, stack_at);
    follow_one(vcpu, {What::out, ends, 1, 1}, verdict);
    const RegisterWant wants[]{{"by the ICR", rbx, 1}, {"by the self-IPI register", rbp, 1}, {}};
    check_registers(vcpu, wants, verdict);
}

void apic_timer(Verdict& verdict) {
    const Apics machine{code_apic_timer()};
    const Vcpu vcpu{machine.vm, 0};
    prepare(vcpu, 0);
    vcpu.start(Mode::long64, code_at, stack_at);
    follow_one(vcpu, {What::out, ends, 1, 1}, verdict);
}

/// The second processor, for as long as the program lives: it ends in HLT, which the kernel keeps.
void* run_second(void* argument) {
    const Vcpu& vcpu = *static_cast<const Vcpu*>(argument);
    vcpu.run();
    return nullptr;
}

/// Runs until the program ends: a processor that waits in the kernel cannot be ended otherwise, and
/// neither can its machine.
void start_second(const Vcpu& vcpu, Verdict& verdict) {
    pthread_t thread;
    if (pthread_create(&thread, nullptr, run_second, const_cast<Vcpu*>(&vcpu)) != 0)
        verdict.fail("no thread");
}

void two_processors(Verdict& verdict) {
    const auto& machine = *new Apics{code_ping()};
    put_code(machine.vm, code_pong(), second_code_at);
    put_gate(machine.vm, Mode::long64, 0x36, second_code_at + 0x80);
    const Vcpu first{machine.vm, 0};
    const auto& second = *new Vcpu{machine.vm, 1};
    prepare(first, 0);
    prepare(second, 1);
    first.start(Mode::long64, code_at, stack_at);
    second.start(Mode::long64, second_code_at, second_stack_at);
    kvm_mp_state runnable{.mp_state = KVM_MP_STATE_RUNNABLE};
    second.call(KVM_SET_MP_STATE, &runnable, "KVM_SET_MP_STATE");
    // Its local APIC is on: interrupts that came before would be lost.
    follow_one(second, {What::out, begins, 1, 0xff}, verdict);
    start_second(second, verdict);
    follow_one(first, {What::out, ends, 1, 100}, verdict);
    verdict.expect("interrupts at the second", machine.vm.at<u32>(counter_at), 100);
}

void start_up(Verdict& verdict) {
    const auto& machine = *new Apics{code_start_up()};
    put_code(machine.vm, code_started(), second_code_at);
    const Vcpu first{machine.vm, 0};
    const auto& second = *new Vcpu{machine.vm, 1};
    prepare(first, 0);
    prepare(second, 1);
    first.start(Mode::long64, code_at, stack_at);
    start_second(second, verdict);
    follow_one(first, {What::out, ends, 1, 0x0d}, verdict);
    const RegisterWant wants[]{{"word of the second", rax, 0x600d}, {}};
    check_registers(first, wants, verdict);
    verdict.expect("its CS", machine.vm.at<u16>(counter_at + 4), 0x3000);
}

}  // namespace

const Check interrupt_checks[]{
    {"injected interrupt in real mode", inject_real},
    {"injected interrupt in protected mode", inject_protected},
    {"injected interrupt in 64-bit mode", inject_long},
    {"edge on the ioapic", line_edge},
    {"level on the ioapic", line_level},
    {"task priority", task_priority},
    {"self ipi", self_ipi},
    {"apic timer", apic_timer},
    {"start-up of a second processor", start_up},
    {"ipis between two processors", two_processors},
    {nullptr, nullptr},
};

}  // namespace kvm
