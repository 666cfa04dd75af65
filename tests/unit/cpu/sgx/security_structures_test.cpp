// SPDX-License-Identifier: Apache-2.0
// Attempts to have the processor itself read or write an enclave's memory: its own structures
// (page tables, descriptor tables, stacks, VMX regions, EPT) placed in the EPC. It finds ones in
// them, and what it writes goes nowhere.
#include <gtest/gtest.h>

#include <cstring>

#include "arch/msr.h"
#include "cpu/event/event.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/vmx/vmx.h"
#include "unit/cpu/sgx/attack_machine.h"
#include "unit/cpu/vmx/vmx_machine.h"

namespace postern::cpu::sgx::attack {
namespace {

constexpr u64 all_rights = pte_present | pte_write | pte_user;
constexpr u64 probe = 0x6000'0000;  // linear, of nothing else
constexpr u64 in_the_epc = physical_of(data_page);

struct Structures : testing::Test {
    AttackMachine m{exit_bytes()};
    Cpu& c = m.c;
    Bytes before = m.epc_bytes();

    void TearDown() override { EXPECT_EQ(m.epc_bytes(), before); }

    void expect_reserved_fault(u64 linear, u32 also = 0) {
        flush_translations(c);
        EXPECT_FALSE(load(c, Gva{linear}, 8).ok());
        EXPECT_EQ(c.pending.vector, Vector::page_fault);
        EXPECT_EQ(c.pending.error_code, 9u | also);  // P, RSVD
        EXPECT_EQ(c.pending.address, linear);
    }
};

// An entry of ones has reserved bits set, so that no walk goes on from there.

TEST_F(Structures, APageTableGivesReservedBits) {
    m.map(probe, guest_at::data, all_rights);
    m.entry(probe, 2) = in_the_epc | all_rights;
    expect_reserved_fault(probe);
}

TEST_F(Structures, APageDirectoryGivesReservedBits) {
    m.map(probe, guest_at::data, all_rights);
    m.entry(probe, 3) = in_the_epc | all_rights;
    expect_reserved_fault(probe);
}

TEST_F(Structures, ATopTableGivesReservedBitsToTheEnclaveToo) {
    m.go_inside();
    before = m.epc_bytes();
    c.cr3 = in_the_epc;
    expect_reserved_fault(data_at, 4);
}

TEST_F(Structures, ADescriptorTableHoldsOnes) {
    c.gdtr = {window_of(data_page), 0xffff};
    c.gpr[rax] = 0x10;
    // LSL EDX, EAX: the limit of a descriptor of ones.
    const GuestStop stop = m.run_outside(3, {0x0f, 0x03, 0xd0});
    EXPECT_EQ(stop.state.gpr[rdx], 0xffff'ffffu);
    EXPECT_NE(stop.state.rflags & 0x40, 0u);
}

TEST_F(Structures, AnInterruptTableMeansShutdown) {
    c.idtr = {window_of(data_page), 0xfff};
    EXPECT_EQ(m.run_outside(3, {0x0f, 0x0b}).outcome, RunOutcome::shutdown);
}

TEST_F(Structures, AHandlersStackTakesNothing) {
    const u64 stack = window_of(data_page) + 0x800;
    std::memcpy(m.ram(guest_at::tss + 0x24), &stack, sizeof stack);  // IST 1
    m.set_plain_state(outside);
    m.set_cpl(3);
    m.write(outside, Bytes{0x0f, 0x0b});
    run(c, now(c) + 2);
    EXPECT_EQ(c.rip - guest_at::handlers, 6 * 16 + 1u);
    EXPECT_EQ(c.gpr[rsp], stack - 40);
}

TEST_F(Structures, StoredTableRegistersGoNowhere) {
    c.gpr[rsi] = window_of(data_page);
    EXPECT_EQ(m.run_outside(0, {0x0f, 0x01, 0x06, 0x0f, 0x01, 0x0e}).fault, std::nullopt);
}

// VMX. IA32_VMX_BASIC's revision is not ones.

struct VmxStructures : Structures {
    VmxStructures() {
        c.cr4.set(Cr4::vmxe);
        c.cr0.set(Cr0::ne);
        c.vmx.hosted = true;
    }
    void set(VmcsField field, u64 value) { c.vmx.vmcs.slot[vmcs_index(field)] = value; }
    void as_guest(u32 secondary) {
        c.vmx.on = c.vmx.non_root = true;
        set(VmcsField::primary_processor_based_controls, 1u << 31);
        set(VmcsField::secondary_processor_based_controls, secondary);
    }
};

TEST_F(VmxStructures, AVmxonRegionIsRefused) {
    EXPECT_EQ(vmx::vmxon(c, Hpa{in_the_epc}).kind, vmx::Status::Kind::fail_invalid);
    EXPECT_FALSE(c.vmx.on);
}

TEST_F(VmxStructures, AVmcsIsRefused) {
    c.vmx.on = true;
    EXPECT_EQ(vmx::vmptrld(c, Hpa{in_the_epc}).kind, vmx::Status::Kind::fail_invalid);
    EXPECT_EQ(c.vmx.current, no_vmcs);
    EXPECT_TRUE(vmx::vmclear(c, Hpa{in_the_epc}).ok());  // its launch state goes nowhere
}

/// An entry of ones names an MSR that no list may hold: the first is to blame.
TEST_F(VmxStructures, AListOfMsrsToLoadFailsTheEntry) {
    auto guest = vmx::VmxMachine::with_guest();
    guest.set(VmcsField::vm_entry_msr_load_address, guest.system.memory.epc_base);
    guest.set(VmcsField::vm_entry_msr_load_count, 1);
    bool entered = true;
    EXPECT_TRUE(guest.enter(entered).ok());
    EXPECT_FALSE(guest.c.vmx.non_root);
    EXPECT_EQ(guest.get(VmcsField::exit_reason), 0x8000'0022u);
    EXPECT_EQ(guest.get(VmcsField::exit_qualification), 1u);
}

/// As posted-interrupt descriptors, MSR areas and the virtual-APIC page are reached.
TEST_F(VmxStructures, WhatTheProcessorWritesByPhysicalAddressGoesNowhere) {
    for (const u64 offset : {u64{0}, u64{0x20}, page_size - 8}) {
        write_physical(c, Hpa{in_the_epc + offset}, 8, 0);
        EXPECT_EQ(read_physical(c, Hpa{in_the_epc + offset}, 8), ones);
    }
}

/// The log of modified pages: the entry is lost, the store it tells of is made.
TEST_F(VmxStructures, APageModificationLogTakesNothing) {
    constexpr u64 pml4 = guest_at::ept_tables, pdpt = pml4 + 0x1000;
    as_guest(2 | 1u << 17);
    m.at<u64>(pml4) = pdpt | 7;
    m.at<u64>(pdpt) = 0xb7;  // 1 GiB to itself, write-back
    set(VmcsField::pml_address, in_the_epc);
    set(VmcsField::pml_index, 511);
    c.vmx.ept_pointer = pml4 | 0x5e;
    flush_translations(c);
    ASSERT_TRUE(store(c, Gva{guest_at::data}, 8, 1).ok());
    EXPECT_LT(c.vmx.vmcs.slot[vmcs_index(VmcsField::pml_index)], 511u);
}

TEST_F(VmxStructures, EptTablesAreMisconfigured) {
    as_guest(2);
    c.vmx.ept_pointer = in_the_epc | 0x5e;  // with accessed and dirty flags
    flush_translations(c);
    EXPECT_FALSE(load(c, Gva{guest_at::data}, 8).ok());
    EXPECT_EQ(c.pending.kind, PendingKind::vm_exit);
    EXPECT_EQ(c.pending.reason, BasicReason::ept_misconfiguration);
}

/// The APIC-access page laid over an enclave's page: an enclave's own access is refused, and
/// anybody else's is an exit. SDM 3C, "APIC-Access VM Exits".
TEST_F(VmxStructures, AnApicAccessPageOverAnEnclavesPageIsNoWayToIt) {
    m.go_inside();
    before = m.epc_bytes();
    as_guest(1);
    c.vmx.apic_access = {true, in_the_epc};
    flush_translations(c);
    EXPECT_FALSE(load(c, Gva{data_at}, 8).ok());
    EXPECT_EQ(c.pending.kind, PendingKind::exception);
    EXPECT_EQ(c.pending.vector, Vector::page_fault);
    EXPECT_EQ(c.pending.error_code, 0x8005u);
    EXPECT_FALSE(load(c, Gva{window_of(data_page)}, 8).ok());
    EXPECT_EQ(c.pending.kind, PendingKind::vm_exit);
    EXPECT_EQ(c.pending.reason, BasicReason::apic_access);
}

/// Registers that are virtualized by a page of the EPC read as ones and take nothing.
TEST_F(VmxStructures, AVirtualApicPageHoldsOnes) {
    constexpr u64 apic = guest_at::data + 0x6000;
    as_guest(1u | 1u << 8);  // APIC accesses, register virtualization
    set(VmcsField::primary_processor_based_controls, 1u << 31 | 1u << 21);
    set(VmcsField::virtual_apic_address, in_the_epc);
    c.vmx.apic_access = {true, apic};
    flush_translations(c);
    const Result<u64> version = load(c, Gva{apic + 0x30}, 4);
    ASSERT_TRUE(version.ok());
    EXPECT_EQ(version.value(), 0xffff'ffffu);
    static_cast<void>(store(c, Gva{apic + 0x80}, 4, 0x20));
}

}  // namespace
}  // namespace postern::cpu::sgx::attack
