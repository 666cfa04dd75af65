// SPDX-License-Identifier: Apache-2.0
// "Virtualize APIC accesses": which accesses exit, and what they report. Qualification: offset in
// bits 11:0; type in bits 15:12: read 0, write 1, fetch 2, during event delivery 3.
#include <gtest/gtest.h>

#include "cpu/mmu/access.h"
#include "unit/cpu/event/inside.h"

namespace postern::cpu {
namespace {

constexpr u64 apic_page = 0x5'0000;

void virtualize(Cpu& c, u64 page) {
    c.vmx.apic_access = {true, page};
    flush_translations(c);
}

void expect_apic_access(const Cpu& c, u64 qualification) {
    EXPECT_EQ(c.pending.kind, PendingKind::vm_exit);
    EXPECT_EQ(static_cast<unsigned>(c.pending.reason), 44u);
    EXPECT_EQ(c.pending.qualification, qualification);
}

TEST(ApicAccess, ReadWriteAndFetchExitWithTheirTypeAndOffset) {
    Machine m;
    m.as_guest();
    m.put<u32>(apic_page + 0x123, 0x5a);
    virtualize(m.c, apic_page);
    EXPECT_FALSE(load(m.c, Gva{apic_page + 0x123}, 4).ok());
    expect_apic_access(m.c, 0x123);
    EXPECT_FALSE(store(m.c, Gva{apic_page + 0xb0}, 4, 0).ok());
    expect_apic_access(m.c, 0x10b0);
    EXPECT_FALSE(code_pointer(m.c, Gva{apic_page + 0xfff}).ok());
    expect_apic_access(m.c, 0x2fff);
    EXPECT_EQ(m.get<u32>(apic_page + 0x123), 0x5au);
}

TEST(ApicAccess, TheNextPageAndAnotherGuestDoNotExit) {
    Machine m;
    m.as_guest();
    virtualize(m.c, apic_page);
    EXPECT_TRUE(load(m.c, Gva{apic_page + 0x1000}, 4).ok());
    m.c.vmx.apic_access = {};
    EXPECT_TRUE(load(m.c, Gva{apic_page}, 4).ok());
}

TEST(ApicAccess, AnAccessThatRunsIntoThePageReportsItsFirstByteThere) {
    Machine m;
    m.as_guest();
    virtualize(m.c, apic_page);
    EXPECT_FALSE(store(m.c, Gva{apic_page - 4}, 8, 0).ok());
    expect_apic_access(m.c, 0x1000);
    EXPECT_EQ(m.get<u32>(apic_page - 4), 0u);
}

TEST(ApicAccess, ItIsThePhysicalPageThatCounts) {
    Machine m;
    m.as_guest();
    m.with_ept(0x1ff000);
    m.put<u64>(ept_pt_at + 8 * 0x41, apic_page | 0x37);
    virtualize(m.c, apic_page);
    EXPECT_FALSE(load(m.c, Gva{0x4'1234}, 4).ok());
    expect_apic_access(m.c, 0x234);
    m.put<u64>(ept_pt_at + 8 * 0x41, 0);  // an EPT violation goes before it
    flush_translations(m.c);
    EXPECT_FALSE(load(m.c, Gva{0x4'1234}, 4).ok());
    EXPECT_EQ(static_cast<unsigned>(m.c.pending.reason), 48u);
}

TEST(ApicAccess, OfAPageWalkIsAGuestPhysicalOne) {
    Machine m;
    m.as_guest();
    m.with_ept(0x1ff000);
    virtualize(m.c, pd_at);
    EXPECT_FALSE(load(m.c, Gva{0x4'1234}, 4).ok());
    expect_apic_access(m.c, 0xf000);
    m.c.event.delivering.valid = true;
    EXPECT_FALSE(load(m.c, Gva{0x4'1234}, 4).ok());
    expect_apic_access(m.c, 0xa000);
}

TEST(ApicAccess, MetWhileAnEventIsDeliveredSaysSo) {
    Machine m;
    m.as_guest();
    m.c.gpr[rsp] = apic_page + 0x800;
    virtualize(m.c, apic_page);
    (void)raise(m.c, Vector::invalid_opcode);
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 44u);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 0x37f8u);
    EXPECT_EQ(m.vmcs(VmcsField::idt_vectoring_information), 0x8000'0306u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), code_rip);
}

TEST(ApicAccess, OfEnclaveCodeOutsideElrangeExitsWithoutTheOffset) {
    Inside m;
    virtualize(m.c, apic_page);
    EXPECT_FALSE(store(m.c, Gva{apic_page + 0xb0}, 4, 0).ok());
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    m.expect_synthetic(44);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 0x1000u);
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0u);
    EXPECT_EQ(m.gprsgx().rflags & 0x10000, 0x10000u);
}

TEST(ApicAccess, OfAnEnclaveInElrangeIsAPageFault) {
    Inside m;
    m.map(sgx::elrange + 0x7000, apic_page, 7);
    virtualize(m.c, apic_page);
    EXPECT_FALSE(load(m.c, Gva{sgx::elrange + 0x7123}, 4).ok());
    EXPECT_EQ(sgx::pending_fault(m.c), sgx::pf(sgx::elrange + 0x7123, 0x8005));
    EXPECT_FALSE(store(m.c, Gva{sgx::elrange + 0x7123}, 4, 0).ok());
    EXPECT_EQ(sgx::pending_fault(m.c), sgx::pf(sgx::elrange + 0x7123, 0x8007));
}

TEST(ApicAccess, OnTheStackOfAnEnclavesEventHasBit27AndTheWholeOffset) {
    Inside m;
    m.at<u32>(tss + 4) = apic_page + 0x800;
    virtualize(m.c, apic_page);
    (void)raise(m.c, Vector::invalid_opcode);
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0x0800'002cu);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 0x37f8u);
    EXPECT_EQ(m.vmcs(VmcsField::idt_vectoring_information), 0x8000'0306u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), sgx::aep);
}

}  // namespace
}  // namespace postern::cpu
