// SPDX-License-Identifier: Apache-2.0
// For fuzz_hosted_guest: instructions that a hypervisor has an opinion about, with operands that
// are garbage, interesting or half right.
#pragma once

#include <vector>

#include "fuzz/input.h"
#include "support/hosted_kernel.h"

namespace postern::fuzz {

using namespace postern::test::hosted;

class Soup {
public:
    explicit Soup(Random& random) : random_{random} {}

    /// One or a few instructions, of at most `limit` bytes.
    std::vector<u8> portion(u64 limit);
    /// A value for a register or for memory.
    u64 value();
    /// Somewhere: memory, tables, devices, EPC, nowhere.
    u64 address();

private:
    using Maker = void (Soup::*)();

    void put(std::initializer_list<u8> bytes) { code_.insert(code_.end(), bytes); }
    void put_number(u64 number, unsigned size);
    void load(unsigned gpr, u64 number);
    u8 modrm_register();

    void any_bytes();
    void msr();
    void control_register();
    void debug_register();
    void port();
    void string_port();
    void descriptor_table();
    void extended_control();
    void lone_instruction();
    void memory_operand();
    void string_on_memory();
    void spoil_tables();
    void spoil_descriptors();
    void use_selector();
    void move_stack();
    void go_far_away();
    void interrupt();
    void local_apic();
    void vmx_instruction();
    void encls();
    void enclu();
    void leave_the_mode();
    void flags();
    void extended_state();

    u32 msr_number();

    Random& random_;
    std::vector<u8> code_;
};

}  // namespace postern::fuzz
