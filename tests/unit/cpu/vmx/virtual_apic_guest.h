// SPDX-License-Identifier: Apache-2.0
// A guest with a virtual-APIC page, for the tests of APIC virtualization: real instructions at
// code_rip, pages at fixed addresses, a handler for every interrupt.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>

#include "arch/exception.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/run.h"
#include "unit/cpu/event/machine.h"

namespace postern::cpu {

inline constexpr u64 apic_page = 0x5'0000, virtual_page = 0x5'1000, descriptor_at = 0x5'2000;

// Controls, as the manual numbers them.
inline constexpr u32 tpr_shadow = 1u << 21, window_exiting = 1u << 2;
inline constexpr u32 apic_accesses = 1u << 0, x2apic_mode = 1u << 4;
inline constexpr u32 register_virtualization = 1u << 8, interrupt_delivery = 1u << 9;
inline constexpr u32 external_exiting = 1u << 0, posting = 1u << 7;

// Exit reasons.
inline constexpr u64 external_interrupt_exit = 1, interrupt_window_exit = 7, tpr_exit = 43,
                     apic_access_exit = 44, eoi_exit = 45, apic_write_exit = 56;

struct VirtualApicGuest : Machine {
    u64 code_end = code_rip;

    explicit VirtualApicGuest(u32 secondary, u32 primary = tpr_shadow, u32 pin = external_exiting) {
        as_guest(pin, primary | 1u << 28, secondary);  // MSR bitmap: all clear
        set(VmcsField::virtual_apic_address, virtual_page);
        set(VmcsField::posted_interrupt_descriptor_address, descriptor_at);
        c.vmx.apic_access = {(secondary & apic_accesses) != 0, apic_page};
        for (unsigned vector = 0x20; vector < 0x100; ++vector) {
            gate(vector, GateKind::interrupt);
            put<u8>(handler_of(vector), 0xf4);  // HLT
        }
    }

    u32 reg(u64 offset) const { return get<u32>(virtual_page + offset); }
    void set_reg(u64 offset, u32 value) { put<u32>(virtual_page + offset, value); }
    bool bit(u64 base, unsigned vector) const {
        return (reg(base + 16 * (vector / 32)) >> (vector % 32) & 1) != 0;
    }
    void set_bit(u64 base, unsigned vector) {
        const u64 at = base + 16 * (vector / 32);
        set_reg(at, reg(at) | 1u << (vector % 32));
    }
    u64 status() const { return vmcs(VmcsField::guest_interrupt_status); }
    /// RVI, with its bit of VIRR.
    void request(unsigned vector) {
        set(VmcsField::guest_interrupt_status, vector);
        set_bit(0x200, vector);
    }

    void code(std::initializer_list<u8> bytes) {
        for (const u8 byte : bytes) put<u8>(code_end++, byte);
    }
    void code32(u64 value) {
        put<u32>(code_end, static_cast<u32>(value));
        code_end += 4;
    }
    /// MOV DWORD PTR [address], value: 11 bytes.
    void write_code(u64 address, u32 value) {
        code({0xc7, 0x04, 0x25});
        code32(address);
        code32(value);
    }
    /// MOV EAX, [address]: 7 bytes.
    void read_code(u64 address) {
        code({0x8b, 0x04, 0x25});
        code32(address);
    }
    /// MOV CR8, RAX: 4 bytes.
    void cr8_code(u64 value) {
        c.gpr[rax] = value;
        code({0x44, 0x0f, 0x22, 0xc0});
    }
    /// WRMSR: 2 bytes.
    void wrmsr_code(u32 msr, u64 value) {
        c.gpr[rcx] = msr;
        c.gpr[rax] = static_cast<u32>(value);
        c.gpr[rdx] = value >> 32;
        code({0x0f, 0x30});
    }
    void rdmsr_code(u32 msr) {
        c.gpr[rcx] = msr;
        code({0x0f, 0x32});
    }

    RunOutcome run_for(u64 instructions) { return run(c, now(c) + instructions); }

    /// The code ends in HLT, and gets there.
    void expect_completes() {
        code({0xf4});
        EXPECT_EQ(run_for(50), RunOutcome::halted);
        EXPECT_EQ(c.rip, code_end);
        EXPECT_TRUE(c.vmx.non_root);
    }
    void expect_exit(u64 reason, u64 qualification, u64 rip) {
        code({0xf4});
        EXPECT_EQ(run_for(50), RunOutcome::vm_exit);
        EXPECT_EQ(vmcs(VmcsField::exit_reason), reason);
        EXPECT_EQ(vmcs(VmcsField::exit_qualification), qualification);
        EXPECT_EQ(vmcs(VmcsField::guest_rip), rip);
        EXPECT_FALSE(c.vmx.virtual_apic.write_pending);
    }
    /// The interrupt's handler halts.
    void expect_delivered(unsigned vector) {
        code({0x90, 0x90, 0xf4});
        EXPECT_EQ(run_for(50), RunOutcome::halted);
        EXPECT_EQ(c.rip, handler_of(vector) + 1);
    }
};

}  // namespace postern::cpu
