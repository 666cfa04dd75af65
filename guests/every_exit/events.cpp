// SPDX-License-Identifier: Apache-2.0
#include "guests/every_exit/events.h"

#include "guests/every_exit/event_log.h"
#include "guests/every_exit/instructions.h"
#include "guests/kernel/processor.h"

namespace postern::guests {
namespace {

constexpr u32 double_fault = 8;
constexpr u32 page_fault = 14;
constexpr u64 end_of_interrupt = apic_physical + 0xb0;

EventRecorder recorder;

void record_vector_state(EventLog& log) {
    constexpr u32 mxcsr = 6, xmm = 40, xmm_end = xmm + 64;
    alignas(16) static u32 image[128];
    asm volatile("fxsave64 %0" : "=m"(image));
    if (log.count == 0) log.mxcsr = image[mxcsr];
    for (u32 i = xmm; i < xmm_end; ++i)
        if (image[i] != 0) log.vectors_clear = 0;
}

}  // namespace

void watch(u64 aep, u64 tcs) { recorder.watch(orders().events, aep, tcs); }

void record(const Registers& registers) {
    EventLog& log = orders().events;
    recorder.judge(log, registers);
    record_vector_state(log);
    if (!EventRecorder::count(log, registers)) return;
    if (registers.vector == page_fault || registers.vector == double_fault) log.cr2 = read_cr2();
}

bool step_over_own(Registers& registers) {
    const u64 next = step_over(registers.rip);
    if (next == 0) return false;
    record(registers);
    registers.rip = next;
    return true;
}

void count_interrupt(const Registers& registers) {
    ++orders().events.interrupts;
    // Only what came by the local APIC is waiting for its end.
    const auto in_service = reinterpret_cast<const volatile u32*>(apic_physical + 0x100);
    if ((in_service[registers.vector / 32 * 4] >> (registers.vector & 31) & 1) != 0)
        *reinterpret_cast<volatile u32*>(end_of_interrupt) = 0;
}

void count_nmi() { ++orders().events.nmis; }

}  // namespace postern::guests
