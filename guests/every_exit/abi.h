// SPDX-License-Identifier: Apache-2.0
// What every_exit's three programs agree on, beyond what every guest's do (guests/abi.h).
#pragma once

#include "guests/abi.h"

namespace postern::guests {

// Linear addresses of the runtime's.
inline constexpr u64 apic_page_address = runtime_base + 0x3000'0000;
inline constexpr u64 unmapped_address = runtime_base + 0x3800'0000;
inline constexpr u64 apic_physical = 0xfee0'0000;

/// The registers that an instruction is given, and what they are after it.
struct ProbeRegisters {
    u64 rax, rbx, rcx, rdx, rdi, rflags;
};

/// What EENTER of the probe asks for (RDI), with the address of a ProbeCall in RSI.
enum class ProbeFunction : u64 {
    run,           // one instruction
    hash,          // the data page
    hash_long,     // the data page `pages` times over
    handle_event,  // with CSSA = 1: tells of the interruption, steps over the instruction
};

struct ProbeCall {
    u64 instruction;
    u64 pages;
    ProbeRegisters registers;
    u8 digest[32];
    u8 long_digest[32];
    // handle_event's answers.
    u64 exitinfo;        // of the SSA frame
    u64 linear_address;  // EXINFO
    u64 error_code;      // EXINFO
    u64 stepped_over;    // 1: the enclave stood at an instruction of the list
};

/// What the kernel does to an event's way before a scenario, and undoes after it.
enum class Trouble : u64 {
    none,
    stack_taken_back,  // the stack of #DE is a page that the hypervisor takes back
    stack_on_device,   // the stack of #DE is the doorbell
    stack_not_mapped,  // no exception of ring 3 has a stack, but #DF
    no_idt,
    interrupts_enabled,  // RFLAGS.IF is 1 in ring 3
    io_privilege,        // IOPL is 3: ring 3 may execute STI
    debugging,           // entries by the debug thread are opt-in from now on
};

/// int 80H, after those of every guest's (Call).
enum class ScenarioCall : u64 {
    begin = 0x100,  // RDI: the scenario's number
    end,            // RDI: the scenario's number
    watch,          // forget all events; RDI: the AEP where they are expected, RSI: the TCS
    make_trouble,   // RDI: a Trouble
    end_trouble,    // RDI: the same
    run_in_ring_0,  // RDI: an instruction's number, RSI: ProbeRegisters
    start_task,     // RDI: where the second task starts, RSI: its stack
    stop_task,      // by the first: the second runs no more
    yield,          // by the second: the first may have its turn
};

inline constexpr u32 events_listed = 8;

/// The events that the kernel saw since the last `watch`. The numbers but the list and the count
/// are those of the first.
struct EventLog {
    u64 count;
    u64 vectors[events_listed];
    u64 error_code, rip, rax, cr2, ring;
    u64 all_at_aep;     // 1: every one with RIP = AEP and RAX = 3
    u64 all_synthetic;  // 1: every one with the registers that an asynchronous exit leaves
    u64 vectors_clear;  // 1: with XMM0 to XMM15 zero, too
    u64 mxcsr;          // at the first
    u64 interrupts, nmis;
};

enum class Side : u64 { inside = 1, outside = 2, both = 3 };

/// In the page that the runtime shares with the kernel, behind Shared.
struct Orders {
    u64 scenarios;  // bit n: run scenario n
    Side sides;
    u64 pages;              // of a long digest
    u64 instructions;       // of hostile, all tasks together
    u64 has_ring_0;         // 1: the kernel runs instructions, too
    u64 protected_address;  // in the enclave, which may not write there
    EventLog events;
    // hostile
    u64 over;  // the instructions are used up
    u64 ticks[2];
    u64 switches;
};

static_assert(sizeof(Shared) <= 0x800 && sizeof(Orders) <= 0x800);

inline Orders& orders() {
    return *reinterpret_cast<Orders*>(runtime_base + runtime_code_size + 0x800);
}

}  // namespace postern::guests
