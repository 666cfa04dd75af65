// SPDX-License-Identifier: Apache-2.0
// A guest's thread inside an enclave, with an IDT that leads to fixed addresses, for the tests of
// events that interrupt it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <initializer_list>

#include "cpu/flags.h"
#include "unit/cpu/event/machine.h"
#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu {

inline constexpr u64 inside_rip = sgx::elrange + sgx::code_offset + 0x10;
inline constexpr u64 outer_rsp = 0x1a'0000, outer_rbp = 0x1b'0000;
inline constexpr u64 idt = 0x3'0000, gdt = 0x3'1000, tss = 0x3'2000, rsp0 = 0x4'0000;

/// A guest that wants nothing, at CPL 3 before an ENCLU; its enclave is initialised.
struct Outside : sgx::EnclaveMachine {
    explicit Outside(bool opt_in = false) {
        build_and_initialise();
        if (opt_in) tcs().flags.set(TcsFlag::dbgoptin);
        c.gpr[rsp] = outer_rsp;
        c.gpr[rbp] = outer_rbp;
        c.rip = sgx::outside_rip;
        c.dr6 = 0xffff'0ff0;
        c.dr7 = 0x400;
        set_rflags(c, 2);
        c.horizon = 1'000'000;
        c.vmx.on = c.vmx.non_root = c.vmx.hosted = true;
        set(VmcsField::vm_exit_controls, 1u << 9);
        set(VmcsField::vm_entry_controls, 1u << 9);
        set(VmcsField::host_cr3, c.cr3);
        set(VmcsField::host_cr4, c.cr4.to_raw());
        set(VmcsField::host_rip, 0x7'7000);
        prepare_tables();
    }
    void set(VmcsField field, u64 value) { c.vmx.vmcs.slot[vmcs_index(field)] = value; }
    u64 vmcs(VmcsField field) const { return c.vmx.vmcs.slot[vmcs_index(field)]; }

    /// What every exit with an enclave's instruction interrupted looks like.
    void expect_synthetic(u64 reason) {
        EXPECT_EQ(vmcs(VmcsField::exit_reason), 0x0800'0000 | reason);
        EXPECT_EQ(vmcs(VmcsField::guest_interruptibility_state), 0x10u);
        EXPECT_EQ(vmcs(VmcsField::guest_rip), sgx::aep);
        EXPECT_EQ(vmcs(VmcsField::guest_rsp), outer_rsp);
        EXPECT_EQ(vmcs(VmcsField::guest_rflags) & 0x10000, 0u);
        EXPECT_EQ(vmcs(VmcsField::vm_exit_instruction_length), 0u);
        EXPECT_EQ(vmcs(VmcsField::vm_exit_instruction_information), 0u);
        EXPECT_EQ(vmcs(VmcsField::idt_vectoring_information), 0u);
        EXPECT_EQ(c.gpr[rax], 3u);
        EXPECT_EQ(gprsgx().rip, inside_rip);
        EXPECT_FALSE(c.enclave.active);
    }

    void put_code(u8* at, std::initializer_list<u8> bytes) { std::ranges::copy(bytes, at); }
    /// At an address of RAM.
    void outside_code(u64 at_address, std::initializer_list<u8> bytes) {
        put_code(&at<u8>(at_address), bytes);
    }
    /// At the enclave's entry point.
    void enclave_code(std::initializer_list<u8> bytes) {
        put_code(epc.page(sgx::code_page) + 0x10, bytes);
    }

private:
    /// Every vector leads to 100000H + 16 * vector by an interrupt gate.
    void prepare_tables() {
        for (u64 n = 0; n < 256; ++n) {
            const u64 offset = 0x10'0000 + 16 * n;
            at<u64>(idt + 16 * n) =
                (offset & 0xffff) | u64{8} << 16 | u64{0x8e} << 40 | (offset >> 16) << 48;
            at<u64>(idt + 16 * n + 8) = 0;
        }
        at<u64>(gdt + 8) = code64_dpl0;
        at<u32>(tss + 4) = static_cast<u32>(rsp0);
        c.idtr = {idt, 0xfff};
        c.gdtr = {gdt, 0x1f};
        c.segment[tr] = {0x10, 0, 0x8b, 0x67, 0, tss};
    }
};

/// At the enclave's entry point.
struct Inside : Outside {
    explicit Inside(bool opt_in = false) : Outside{opt_in} {
        if (!eenter()) std::abort();
        c.rip = inside_rip;
        c.next_rip = inside_rip + 3;
        c.pending = {};
        c.event.trap_inhibited = false;
    }
};

}  // namespace postern::cpu
