// SPDX-License-Identifier: Apache-2.0
// every_exit's kernel from its first C++ line to ring 3, and what becomes of each event and call.
#include "guests/every_exit/abi.h"
#include "guests/every_exit/events.h"
#include "guests/every_exit/instructions.h"
#include "guests/every_exit/options.h"
#include "guests/every_exit/tasks.h"
#include "guests/every_exit/trouble.h"
#include "guests/kernel/console.h"
#include "guests/kernel/descriptors.h"
#include "guests/kernel/paging.h"
#include "guests/kernel/processor.h"
#include "guests/kernel/sgx.h"
#include "guests/kernel/start.h"
#include "guests/kernel/start_info.h"
#include "guests/kernel/traps.h"
#include "guests/scenarios.h"

namespace postern::guests {
namespace {

constexpr u32 nmi = 2;
constexpr u32 breakpoint = 3;
constexpr u32 double_fault = 8;
constexpr u32 first_interrupt = 32;
constexpr u32 system_call_vector = 0x80;
constexpr u64 rflags_tf = 1 << 8;
constexpr u64 rflags_if = 1 << 9;

extern "C" const u8 interrupt_entries[];
extern "C" const u8 return_from_syscall[];

void open_gates() {
    constexpr u64 entry_size = 16;
    for (u32 vector = first_interrupt; vector < 256; ++vector)
        if (vector != system_call_vector)
            set_gate(vector, reinterpret_cast<u64>(interrupt_entries) +
                                 (vector - first_interrupt) * entry_size);
    let_ring_3_raise(breakpoint);
}

/// SYSCALL outside the enclave works, so that its #UD inside means something.
void enable_syscall() {
    constexpr u32 ia32_efer = 0xc000'0080, ia32_star = 0xc000'0081, ia32_lstar = 0xc000'0082;
    constexpr u32 ia32_fmask = 0xc000'0084;
    constexpr u64 efer_sce = 1 << 0;
    constexpr u64 selectors = u64{0x10 | 3} << 48 | u64{0x08} << 32;
    wrmsr(ia32_efer, rdmsr(ia32_efer) | efer_sce);
    wrmsr(ia32_star, selectors);
    wrmsr(ia32_lstar, reinterpret_cast<u64>(return_from_syscall));
    wrmsr(ia32_fmask, rflags_tf | rflags_if);
}

}  // namespace

bool take_own_trap(Registers& registers) {
    if (registers.vector >= first_interrupt) {
        count_interrupt(registers);
        return true;
    }
    if (registers.vector == nmi) {
        count_nmi();
        return true;
    }
    registers.rflags &= ~rflags_tf;
    if ((registers.cs & 3) == 0) return step_over_own(registers);
    record(registers);
    if (registers.vector == double_fault) {
        // An abort, of which this processor saves a state that can be gone on from.
        use_ring_0_stack(0);
        signal_ring_3(registers);
        return true;
    }
    signal_ring_3(registers);
    share_processor(registers);
    return true;
}

bool serve_own_call(Registers& registers) {
    const u64 first = registers.rdi, second = registers.rsi;
    switch (static_cast<ScenarioCall>(registers.rax)) {
        case ScenarioCall::begin:
            out_dword(mark_port, mark_scenario_starts | static_cast<u32>(first));
            return true;
        case ScenarioCall::end:
            out_dword(mark_port, mark_scenario_ends | static_cast<u32>(first));
            return true;
        case ScenarioCall::watch: watch(first, second); return true;
        case ScenarioCall::make_trouble:
            make_trouble(registers, static_cast<Trouble>(first));
            return true;
        case ScenarioCall::end_trouble:
            end_trouble(registers, static_cast<Trouble>(first));
            return true;
        case ScenarioCall::run_in_ring_0:
            run_instruction(reinterpret_cast<ProbeRegisters*>(second), first);
            return true;
        case ScenarioCall::start_task: start_second_task(registers, first, second); return true;
        case ScenarioCall::stop_task: stop_second_task(); return true;
        case ScenarioCall::yield: share_processor(registers); return true;
    }
    return false;
}

extern "C" [[noreturn]] void kernel_main(u64 start_info) {
    start_serial_port();
    print(Line{} << title);
    load_descriptor_tables();
    open_gates();
    const StartInfo& info = checked_start_info(start_info);
    const Orders parsed = parse_command_line(reinterpret_cast<const char*>(info.command_line));
    set_control_registers();
    enable_syscall();
    map_runtime();
    map_page(apic_page_address, apic_physical, page_user_device);
    prepare_trouble();
    before_enclave();
    if (has_sgx() || parsed.sides != Side::outside) require_enclave(layout::probe);
    orders() = parsed;
    orders().has_ring_0 = 1;
    orders().protected_address = layout::start_of(layout::code) + 0xff8;
    reload_cr3();
    enter_ring_3(runtime_base);
}

}  // namespace postern::guests
