// SPDX-License-Identifier: Apache-2.0
// The scenarios of every_exit.elf, each with its place in one table: what its command line and its
// marks call them. README.md says what each must show.
#pragma once

#include "base/types.h"

namespace postern::guests {

// Values for the mark port, with the scenario's place in the table.
inline constexpr u32 mark_scenario_starts = 0xf200'0000;
inline constexpr u32 mark_scenario_ends = 0xf300'0000;

/// What a scenario needs to show something.
enum class Needs : u8 {
    nothing,   // runs when the command line names none
    host,      // somebody who interrupts the enclave, or a setting of the hypervisor's
    sacrifice  // a guest that may end: it is stopped
};

// name, what it needs; in the order in which they run.
#define POSTERN_SCENARIOS(SCENARIO)      \
    SCENARIO(cpuid, nothing)             \
    SCENARIO(in, nothing)                \
    SCENARIO(out, nothing)               \
    SCENARIO(rdpmc, nothing)             \
    SCENARIO(sgdt, nothing)              \
    SCENARIO(sldt, nothing)              \
    SCENARIO(vmcall, nothing)            \
    SCENARIO(syscall, nothing)           \
    SCENARIO(pause, nothing)             \
    SCENARIO(pause_loop, nothing)        \
    SCENARIO(rdrand, nothing)            \
    SCENARIO(rdseed, nothing)            \
    SCENARIO(rdtsc, nothing)             \
    SCENARIO(rdtscp, nothing)            \
    SCENARIO(int3, nothing)              \
    SCENARIO(int1, nothing)              \
    SCENARIO(int3_debug, nothing)        \
    SCENARIO(int1_debug, nothing)        \
    SCENARIO(single_step, nothing)       \
    SCENARIO(single_step_debug, nothing) \
    SCENARIO(divide, nothing)            \
    SCENARIO(page_fault, nothing)        \
    SCENARIO(epcm_fault, nothing)        \
    SCENARIO(gp, nothing)                \
    SCENARIO(mov_dr, nothing)            \
    SCENARIO(vmread, nothing)            \
    SCENARIO(mmio, nothing)              \
    SCENARIO(mmio_tf, nothing)           \
    SCENARIO(apic_page, nothing)         \
    SCENARIO(delivery_stack, nothing)    \
    SCENARIO(double_fault, nothing)      \
    SCENARIO(delivery_device, sacrifice) \
    SCENARIO(triple_fault, sacrifice)    \
    SCENARIO(nmi, host)                  \
    SCENARIO(external_interrupt, host)   \
    SCENARIO(interrupt_window, host)     \
    SCENARIO(interrupt_window_sti, host) \
    SCENARIO(mtf, host)                  \
    SCENARIO(mtf_debug, host)            \
    SCENARIO(timer, host)                \
    SCENARIO(hostile, nothing)

#define POSTERN_SCENARIO_NAME(name, needs) name,
enum class Scenario : u32 { POSTERN_SCENARIOS(POSTERN_SCENARIO_NAME) };
#undef POSTERN_SCENARIO_NAME

struct ScenarioName {
    const char* name;
    Needs needs;
};

#define POSTERN_SCENARIO_ROW(name, needs) ScenarioName{#name, Needs::needs},
inline constexpr ScenarioName scenario_names[] = {POSTERN_SCENARIOS(POSTERN_SCENARIO_ROW)};
#undef POSTERN_SCENARIO_ROW

inline constexpr u32 scenario_count = sizeof scenario_names / sizeof *scenario_names;

}  // namespace postern::guests
