// SPDX-License-Identifier: Apache-2.0
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "check.h"

GUEST_CODE(measure_nothing)
GUEST_CODE(measure_cpuid)
GUEST_CODE(measure_port)
GUEST_CODE(measure_mmio)
GUEST_CODE(measure_touch)
GUEST_CODE(measure_gaps)

namespace kvm {

namespace {

constexpr u64 memory_size = 4u << 20, touched_at = 0x10'0000, ioapic_at = 0xfec0'0000,
              nobody_at = 0xd000'0000;
constexpr u32 count = 64, page = 0x1000;
constexpr u16 end_port = 0x12;

/// 64 differences of the time-stamp counter, sorted, and what is to be subtracted from each.
struct Times {
    u64 ticks[count];
    u64 usual;
};

int compare(const void* a, const void* b) {
    const u64 first = *static_cast<const u64*>(a), second = *static_cast<const u64*>(b);
    return first < second ? -1 : first > second;
}

void sort(Times& times) { qsort(times.ticks, count, sizeof times.ticks[0], compare); }

/// Exits to the monitor are answered with whatever is there; the end is a port.
void run_to_end(const Vcpu& vcpu) {
    for (;;) {
        const u32 reason = vcpu.run();
        if (reason == KVM_EXIT_IO && vcpu.shared().io.port == end_port) return;
        if (reason != KVM_EXIT_IO && reason != KVM_EXIT_MMIO) {
            fprintf(stderr, "kvm: exit %u\n", reason);
            fail("not an exit of this guest");
        }
    }
}

/// In 64-bit mode on a machine with the kernel's chips and all features.
Times run_guest(Code code, bool populated, u64 device = nobody_at) {
    const Vm vm{memory_size};
    if (madvise(vm.memory(), memory_size, MADV_NOHUGEPAGE) != 0) fail_with_errno("madvise");
    vm.create_interrupt_chips();
    build_tables(vm);
    put_code(vm, code);
    memset(vm.memory() + data_at, 0, count * sizeof(u64));
    if (populated) memset(vm.memory() + touched_at, 1, u64{count} * page);
    const Vcpu vcpu{vm, 0};
    vcpu.set_cpuid(supported_cpuid());
    vcpu.start(Mode::long64, code_at, stack_at);
    kvm_regs registers = vcpu.registers();
    registers.r11 = device;
    vcpu.set_registers(registers);
    run_to_end(vcpu);
    Times times;
    memcpy(times.ticks, vm.memory() + data_at, sizeof times.ticks);
    times.usual = vcpu.registers().rbx;
    sort(times);
    return times;
}

u64 time_stamp() { return __builtin_ia32_rdtsc(); }

/// The same interruptions as measure_gaps, of a program without any machine.
Times run_natively() {
    Times times{};
    u32 found = 0;
    for (u64 last = time_stamp(); found < count;) {
        const u64 now = time_stamp(), gap = now - last;
        last = now;
        if (gap <= 100)
            times.usual = gap;
        else
            times.ticks[found++] = gap;
    }
    sort(times);
    return times;
}

void print(const char* name, const Times& times, u64 usual) {
    const u64 median = times.ticks[count / 2];
    printf("cost %s %llu %llu %llu\n", name, static_cast<unsigned long long>(median - usual),
           static_cast<unsigned long long>(times.ticks[0] - usual),
           static_cast<unsigned long long>(times.ticks[count - 1] - usual));
    fflush(stdout);
}

}  // namespace

void measure() {
    const u64 nothing = run_guest(code_measure_nothing(), true).ticks[0];
    print("cpuid", run_guest(code_measure_cpuid(), true), nothing);
    print("ept_violation", run_guest(code_measure_touch(), true), nothing);
    print("ept_violation_new_page", run_guest(code_measure_touch(), false), nothing);
    print("mmio_in_kernel", run_guest(code_measure_mmio(), true, ioapic_at), nothing);
    print("mmio_in_monitor", run_guest(code_measure_mmio(), true), nothing);
    print("port_in_monitor", run_guest(code_measure_port(), true), nothing);
    const Times ticks = run_guest(code_measure_gaps(), true);
    print("interrupt", ticks, ticks.usual);
    const Times native = run_natively();
    print("interrupt_without_guest", native, native.usual);
}

}  // namespace kvm
