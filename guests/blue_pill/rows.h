// SPDX-License-Identifier: Apache-2.0
// The rows of blue_pill: what L1 does, and what the enclave and ring 3 outside do meanwhile.
#pragma once

#include "guests/blue_pill/abi.h"
#include "guests/every_exit/instructions.h"

namespace postern::guests {

/// What runs in the enclave, or outside in its place.
enum class Doing : u8 {
    instruction,  // one of instructions.def
    hash,         // of the enclave's data page; outside: a load from `place`
    wait,         // a long digest; outside: a loop that L1 ends
};

/// The address that L1's order or the instruction is about.
enum class Place : u8 {
    none,
    shared_page,  // of the program, for this alone
    data_page,    // of the enclave
    code_page,
    tcs,
    doorbell,
    unmapped,
    not_canonical,
};

/// Where the rows run that are not about enclaves, or would have an enclave do what it cannot.
enum class Sides : u8 { both, inside, outside };

struct L1Row {
    const char* name;
    Provoke provoke;
    u64 value;  // of the order, unless that is a place
    Doing doing;
    Place place = Place::none;
    Instruction instruction = Instruction::nothing;
    Trouble trouble = Trouble::none;
    bool debug = false;  // by the enclave's thread that opted in
    Sides sides = Sides::both;
};

constexpr bool is_about_place(Provoke provoke) {
    return provoke == Provoke::withdraw || provoke == Provoke::make_read_only ||
           provoke == Provoke::withdraw_device || provoke == Provoke::emulate_device ||
           provoke == Provoke::block_nmis || provoke == Provoke::host_takes_page;
}

namespace l1_order {
// Bits of controls, vectors, counts of timers, interruptibility states.
inline constexpr u64 rdtsc = 12, pause = 30, rdrand = 11, rdseed = 16;
inline constexpr u64 divide_error = 0, breakpoint = 3, undefined = 6, protection = 13, page = 14;
inline constexpr u64 preemption_ticks = 20'000, apic_ticks = 500, pit_ticks = 24;
inline constexpr u64 enclave = 0x10, enclave_and_mov_ss = 0x12;
}  // namespace l1_order

inline constexpr Doing instruction = Doing::instruction;
inline constexpr L1Row l1_rows[] = {
    {"cpuid", Provoke::nothing, 0, instruction, Place::none, Instruction::cpuid},
    {"shared_page", Provoke::withdraw, 0, instruction, Place::shared_page, Instruction::load},
    {"read_only_page", Provoke::make_read_only, 0, instruction, Place::shared_page,
     Instruction::store},
    {"data_page", Provoke::withdraw, 0, Doing::hash, Place::data_page},
    {"code_page", Provoke::withdraw, 0, Doing::hash, Place::code_page},
    {"tcs_page", Provoke::withdraw, 0, Doing::hash, Place::tcs},
    {"host_shared_page", Provoke::host_takes_page, 0, instruction, Place::shared_page,
     Instruction::load},
    {"host_data_page", Provoke::host_takes_page, 0, Doing::hash, Place::data_page},
    {"delivery", Provoke::withdraw_stack, 0, instruction, Place::none, Instruction::divide,
     Trouble::stack_taken_back},
    {"host_delivery", Provoke::nothing, 0, instruction, Place::none, Instruction::divide,
     Trouble::stack_taken_back},
    {"timer", Provoke::timer, l1_order::preemption_ticks, Doing::wait},
    {"interrupt", Provoke::interrupt, l1_order::apic_ticks, Doing::wait, Place::none,
     Instruction::nothing, Trouble::interrupts_enabled},
    {"interrupt_window", Provoke::late_interrupt, l1_order::apic_ticks, Doing::wait, Place::none,
     Instruction::nothing, Trouble::interrupts_enabled},
    {"nmi", Provoke::nmi, l1_order::pit_ticks, Doing::wait},
    {"nmi_to_guest", Provoke::nmi_to_guest, l1_order::pit_ticks, Doing::wait, Place::none,
     Instruction::nothing, Trouble::none, false, Sides::inside},
    {"nmis_blocked", Provoke::block_nmis, 0, instruction, Place::shared_page, Instruction::load},
    {"rdrand", Provoke::secondary_control, l1_order::rdrand, instruction, Place::none,
     Instruction::rdrand},
    {"rdseed", Provoke::secondary_control, l1_order::rdseed, instruction, Place::none,
     Instruction::rdseed},
    {"pause", Provoke::primary_control, l1_order::pause, instruction, Place::none,
     Instruction::pause},
    {"rdtsc", Provoke::primary_control, l1_order::rdtsc, instruction, Place::none,
     Instruction::rdtsc},
    {"page_fault", Provoke::exception, l1_order::page, instruction, Place::unmapped,
     Instruction::load},
    {"protection_fault", Provoke::exception, l1_order::protection, instruction,
     Place::not_canonical, Instruction::load},
    {"divide_error", Provoke::exception, l1_order::divide_error, instruction, Place::none,
     Instruction::divide},
    {"breakpoint", Provoke::exception, l1_order::breakpoint, instruction, Place::none,
     Instruction::int3, Trouble::none, true},
    {"undefined", Provoke::exception, l1_order::undefined, instruction, Place::none,
     Instruction::cpuid, Trouble::none, false, Sides::inside},
    {"device_page", Provoke::withdraw_device, 0, instruction, Place::doorbell, Instruction::load},
    {"emulated_device", Provoke::emulate_device, 0, instruction, Place::doorbell,
     Instruction::load},
    {"host_device", Provoke::nothing, 0, instruction, Place::doorbell, Instruction::load},
    {"host_device_exit", Provoke::exception, l1_order::undefined, instruction, Place::doorbell,
     Instruction::load},
    {"enter_enclave", Provoke::entry_state, l1_order::enclave, instruction, Place::none,
     Instruction::cpuid, Trouble::none, false, Sides::outside},
    {"enter_enclave_mov_ss", Provoke::entry_state, l1_order::enclave_and_mov_ss, instruction,
     Place::none, Instruction::cpuid, Trouble::none, false, Sides::outside},
};
inline constexpr u32 l1_row_count = sizeof l1_rows / sizeof *l1_rows;

}  // namespace postern::guests
