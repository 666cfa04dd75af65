// SPDX-License-Identifier: Apache-2.0
// One code and one data segment for each ring; #DF and NMI have stacks of their own.
#include "guests/kernel/descriptors.h"

#include "guests/kernel/processor.h"

namespace postern::guests {
namespace {

constexpr u16 kernel_code = 0x08;
constexpr u16 kernel_data = 0x10;
constexpr u16 user_data = 0x18 | 3;
constexpr u16 user_code = 0x20 | 3;
constexpr u16 task_state = 0x28;

constexpr u32 double_fault = 8;
constexpr u32 nmi = 2;
constexpr u32 system_call_vector = 0x80;
constexpr u32 exception_count = 32;

/// SDM 3A, "64-Bit Mode Task State Segment".
struct [[gnu::packed]] TaskState {
    u32 reserved_0;
    u64 rsp[3];
    u64 reserved_1;
    u64 ist[7];
    u64 reserved_2;
    u16 reserved_3;
    u16 io_map_base;
};
static_assert(sizeof(TaskState) == 104);

/// SDM 3A, "64-Bit IDT Gate Descriptors".
struct Gate {
    u16 offset_15_0;
    u16 selector;
    u8 ist;
    u8 type;
    u16 offset_31_16;
    u32 offset_63_32;
    u32 reserved;
};
static_assert(sizeof(Gate) == 16);

constexpr u8 interrupt_gate = 0x8e;
constexpr u8 interrupt_gate_for_ring_3 = 0xee;
constexpr u64 available_tss = 0x89;

u64 gdt[7] = {
    0,
    0x00af'9b00'0000'ffff,  // kernel_code
    0x00cf'9300'0000'ffff,  // kernel_data
    0x00cf'f300'0000'ffff,  // user_data
    0x00af'fb00'0000'ffff,  // user_code
    0,
    0,  // task_state
};
Gate idt[256];
TaskState tss;

struct alignas(16) Stack {
    u8 bytes[4096];

    [[nodiscard]] u64 top() const { return reinterpret_cast<u64>(bytes + sizeof bytes); }
};
Stack double_fault_stack;
Stack nmi_stack;
Stack trap_stack;

extern "C" const u64 trap_entries[exception_count + 1];
extern "C" void load_segments(u64 code, u64 data);
extern "C" [[noreturn]] void continue_at(const Registers* registers);

Gate gate_to(u64 entry, u8 type, u8 ist) {
    return {.offset_15_0 = static_cast<u16>(entry),
            .selector = kernel_code,
            .ist = ist,
            .type = type,
            .offset_31_16 = static_cast<u16>(entry >> 16),
            .offset_63_32 = static_cast<u32>(entry >> 32),
            .reserved = 0};
}

void fill_tss() {
    tss.rsp[0] = trap_stack.top();
    tss.ist[0] = double_fault_stack.top();
    tss.ist[1] = nmi_stack.top();
    tss.io_map_base = sizeof tss;
    const u64 base = reinterpret_cast<u64>(&tss);
    gdt[5] = (sizeof tss - 1) | (base & 0xff'ffff) << 16 | available_tss << 40 |
             (base >> 24 & 0xff) << 56;
    gdt[6] = base >> 32;
}

void fill_idt() {
    for (u32 vector = 0; vector < exception_count; ++vector)
        idt[vector] = gate_to(trap_entries[vector], interrupt_gate, 0);
    idt[double_fault].ist = 1;
    idt[nmi].ist = 2;
    idt[system_call_vector] = gate_to(trap_entries[exception_count], interrupt_gate_for_ring_3, 0);
}

}  // namespace

void load_descriptor_tables() {
    fill_tss();
    fill_idt();
    lgdt({.limit = sizeof gdt - 1, .base = reinterpret_cast<u64>(gdt)});
    load_segments(kernel_code, kernel_data);
    lidt({.limit = sizeof idt - 1, .base = reinterpret_cast<u64>(idt)});
    ltr(task_state);
}

void set_gate(u32 vector, u64 entry) { idt[vector] = gate_to(entry, interrupt_gate, 0); }

void let_ring_3_raise(u32 vector) { idt[vector].type = interrupt_gate_for_ring_3; }

void use_stack(u32 vector, u64 top) {
    constexpr u8 ist = 3;
    tss.ist[ist - 1] = top;
    idt[vector].ist = top == 0 ? 0 : ist;
}

void use_ring_0_stack(u64 top) { tss.rsp[0] = top == 0 ? trap_stack.top() : top; }

void take_idt_away() { lidt({.limit = 0, .base = 0}); }

void enter_ring_3(u64 rip) {
    constexpr u64 rflags_reserved_1 = 1 << 1;
    asm volatile("mov ds, %0\n mov es, %0" : : "r"(u32{user_data}));
    Registers registers{};
    registers.rip = rip;
    registers.cs = user_code;
    registers.rflags = rflags_reserved_1;
    registers.ss = user_data;
    continue_at(&registers);
}

}  // namespace postern::guests
