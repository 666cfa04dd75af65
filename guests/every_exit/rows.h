// SPDX-License-Identifier: Apache-2.0
// The scenarios as the runtime runs them: which instruction in the enclave and outside, and how.
#pragma once

#include "guests/every_exit/instructions.h"
#include "guests/scenarios.h"

namespace postern::guests {

/// Where the instruction's RDI points.
enum class Target : u8 { scratch, doorbell, unmapped, non_canonical, protected_page, apic_page };

/// Who runs the same instruction outside, if there is a kernel of ours to do it.
enum class Outside : u8 { ring_3, ring_0 };

/// What is out of the ordinary in a scenario.
struct Way {
    Outside runner = Outside::ring_3;
    Target target = Target::scratch;
    bool debug = false;  // by the thread that opted in
    bool step = false;   // RFLAGS.TF at EENTER
    Trouble trouble = Trouble::none;
    bool only_hash = false;  // no instruction: a long digest, for the host to interrupt
};

/// One scenario: which instruction, where, how the enclave is entered.
struct Row {
    Scenario scenario;
    Instruction inside, outside;
    Way way;
};

#define SAME(name) Scenario::name, Instruction::name, Instruction::name
#define RUNS(name, instruction) Scenario::name, Instruction::instruction, Instruction::instruction
inline constexpr Way ordinary{};
inline constexpr Way in_ring_0{.runner = Outside::ring_0};
inline constexpr Way by_debug_thread{.debug = true};
inline constexpr Way for_the_host{.only_hash = true};
inline constexpr Way with_interrupts{.trouble = Trouble::interrupts_enabled, .only_hash = true};
inline constexpr Row rows[] = {
    {SAME(cpuid), ordinary},
    {SAME(in), in_ring_0},
    {SAME(out), in_ring_0},
    {SAME(rdpmc), in_ring_0},
    {SAME(sgdt), ordinary},
    {SAME(sldt), ordinary},
    {SAME(vmcall), ordinary},
    {SAME(syscall), ordinary},
    {SAME(pause), ordinary},
    {SAME(pause_loop), in_ring_0},
    {SAME(rdrand), ordinary},
    {SAME(rdseed), ordinary},
    {SAME(rdtsc), ordinary},
    {SAME(rdtscp), ordinary},
    {SAME(int3), ordinary},
    {SAME(int1), ordinary},
    {RUNS(int3_debug, int3), by_debug_thread},
    {RUNS(int1_debug, int1), by_debug_thread},
    {Scenario::single_step, Instruction::nothing, Instruction::stepped_nothing, {.step = true}},
    {Scenario::single_step_debug,
     Instruction::nothing,
     Instruction::stepped_nothing,
     {.debug = true, .step = true}},
    {SAME(divide), ordinary},
    {RUNS(page_fault, load), {.target = Target::unmapped}},
    {RUNS(epcm_fault, store), {.target = Target::protected_page}},
    {RUNS(gp, load), {.target = Target::non_canonical}},
    {SAME(mov_dr), in_ring_0},
    {SAME(vmread), ordinary},
    {RUNS(mmio, load), {.target = Target::doorbell}},
    {Scenario::mmio_tf,
     Instruction::load,
     Instruction::stepped_load,
     {.target = Target::doorbell, .step = true}},
    {RUNS(apic_page, load), {.target = Target::apic_page}},
    {RUNS(delivery_stack, divide), {.trouble = Trouble::stack_taken_back}},
    {RUNS(double_fault, divide), {.trouble = Trouble::stack_not_mapped}},
    {RUNS(delivery_device, divide), {.trouble = Trouble::stack_on_device}},
    {RUNS(triple_fault, divide), {.trouble = Trouble::no_idt}},
    {RUNS(nmi, nothing), for_the_host},
    {RUNS(external_interrupt, nothing), with_interrupts},
    {RUNS(interrupt_window, nothing), with_interrupts},
    {RUNS(interrupt_window_sti, sti), {.trouble = Trouble::io_privilege}},
    {RUNS(mtf, nothing), for_the_host},
    {RUNS(mtf_debug, nothing), {.debug = true, .only_hash = true}},
    {RUNS(timer, nothing), for_the_host},
    {RUNS(hostile, nothing), ordinary},
};
#undef SAME
#undef RUNS
static_assert(sizeof rows / sizeof *rows == scenario_count);

constexpr bool in_order() {
    for (u32 i = 0; i < scenario_count; ++i)
        if (rows[i].scenario != static_cast<Scenario>(i)) return false;
    return true;
}
static_assert(in_order());

}  // namespace postern::guests
