// SPDX-License-Identifier: Apache-2.0
#include "guests/every_exit/tasks.h"

#include "guests/every_exit/abi.h"
#include "guests/kernel/processor.h"

namespace postern::guests {
namespace {

constexpr u64 slice = 20'000;

struct Task {
    Registers registers;
    alignas(16) u8 extended_state[512];
};

Task tasks[2];
u32 current;
bool two;
u64 slice_start, end_of_time;

void save_extended_state(Task& task) { asm volatile("fxsave64 %0" : "=m"(task.extended_state)); }

void load_extended_state(const Task& task) {
    asm volatile("fxrstor64 %0" : : "m"(task.extended_state));
}

void account(u64 now) {
    orders().ticks[current] += now - slice_start;
    slice_start = now;
}

void switch_task(Registers& registers) {
    tasks[current].registers = registers;
    save_extended_state(tasks[current]);
    current ^= 1;
    registers = tasks[current].registers;
    load_extended_state(tasks[current]);
    ++orders().switches;
}

}  // namespace

void start_second_task(const Registers& first, u64 rip, u64 stack) {
    Registers& registers = tasks[1].registers;
    registers = {};
    registers.rip = rip;
    registers.rsp = stack;
    registers.cs = first.cs;
    registers.ss = first.ss;
    registers.rflags = first.rflags;
    save_extended_state(tasks[1]);
    orders().over = 0;
    orders().ticks[0] = orders().ticks[1] = orders().switches = 0;
    current = 0;
    two = true;
    slice_start = rdtsc();
    end_of_time = slice_start + orders().instructions;
}

void stop_second_task() {
    account(rdtsc());
    two = false;
}

void share_processor(Registers& registers) {
    if (!two) return;
    const u64 now = rdtsc();
    const bool over = now >= end_of_time;
    orders().over = over ? 1 : 0;
    if (over ? current == 0 : now - slice_start < slice) return;
    account(now);
    switch_task(registers);
}

}  // namespace postern::guests
