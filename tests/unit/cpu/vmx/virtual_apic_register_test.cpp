// SPDX-License-Identifier: Apache-2.0
// The virtual-APIC page behind CR8 and behind the x2APIC MSRs.
#include "unit/cpu/vmx/virtual_apic_guest.h"

namespace postern::cpu {
namespace {

using Guest = VirtualApicGuest;

TEST(VirtualApicCr8, IsTheClassOfTheVirtualTaskPriority) {
    Guest m{0};
    m.set_reg(0x80, 0xffff'ffff);
    m.controller.cr8 = 3;
    m.cr8_code(9);
    m.code({0x44, 0x0f, 0x20, 0xc3});  // MOV RBX, CR8
    m.expect_completes();
    EXPECT_EQ(m.reg(0x80), 0x90u);
    EXPECT_EQ(m.c.gpr[rbx], 9u);
    EXPECT_EQ(m.controller.cr8, 3u);
}

TEST(VirtualApicCr8, AReservedBitIsGeneralProtectionAndNothingIsWritten) {
    Guest m{0};
    m.gate(13, GateKind::interrupt);
    m.put<u8>(handler_of(13), 0xf4);
    m.cr8_code(16);
    EXPECT_EQ(m.run_for(20), RunOutcome::halted);
    EXPECT_EQ(m.c.rip, handler_of(13) + 1);
    EXPECT_EQ(m.reg(0x80), 0u);
}

TEST(VirtualApicCr8, ExitsGoBeforeTheShadow) {
    Guest load_exits{0, tpr_shadow | 1u << 19};
    load_exits.cr8_code(9);
    load_exits.expect_exit(28, 0x8, code_rip);
    EXPECT_EQ(load_exits.reg(0x80), 0u);
    Guest store_exits{0, tpr_shadow | 1u << 20};
    store_exits.code({0x44, 0x0f, 0x20, 0xc3});
    store_exits.expect_exit(28, 0x318, code_rip);
}

TEST(VirtualApicCr8, WithoutAShadowOrOutsideAGuestItIsTheControllers) {
    Guest m{0, 0};
    m.cr8_code(9);
    m.expect_completes();
    EXPECT_EQ(m.controller.cr8, 9u);
    Guest root{0};
    root.c.vmx.non_root = false;
    root.cr8_code(9);
    root.code({0xf4});
    EXPECT_EQ(root.run_for(20), RunOutcome::halted);
    EXPECT_EQ(root.controller.cr8, 9u);
    EXPECT_EQ(root.reg(0x80), 0u);
}

// The MSRs. The fake controller answers to 802H alone.

TEST(VirtualX2apicMode, RdmsrOfTheTaskPriorityReadsEightBytesOfThePage) {
    Guest m{x2apic_mode};
    m.put<u64>(virtual_page + 0x80, 0x1122'3344'5566'7788);
    m.rdmsr_code(0x808);
    m.expect_completes();
    EXPECT_EQ(m.c.gpr[rax], 0x5566'7788u);
    EXPECT_EQ(m.c.gpr[rdx], 0x1122'3344u);
}

TEST(VirtualX2apicMode, OtherReadsAreThePagesOnlyWithRegisterVirtualization) {
    Guest m{x2apic_mode};
    m.c.msr.apic_base = 0xfee0'0c00;
    m.set_reg(0x20, 0x77);
    m.rdmsr_code(0x802);
    m.expect_completes();
    EXPECT_EQ(m.c.gpr[rax], 5u);
    for (const u32 number : {0x800u, 0x802u, 0x80au, 0x839u, 0x8ffu}) {
        Guest all{x2apic_mode | register_virtualization};
        all.set_reg((number & 0xff) << 4, number);
        all.rdmsr_code(number);
        all.expect_completes();
        EXPECT_EQ(all.c.gpr[rax], number);
    }
}

/// WRMSR or RDMSR raises #GP(0).
void expect_protection(Guest& m) {
    m.gate(13, GateKind::interrupt);
    m.put<u8>(handler_of(13), 0xf4);
    EXPECT_EQ(m.run_for(20), RunOutcome::halted);
    EXPECT_EQ(m.c.rip, handler_of(13) + 1);
    EXPECT_EQ(m.word(m.c.gpr[rsp]), 0u);
    EXPECT_FALSE(m.c.vmx.virtual_apic.write_pending);
}

TEST(VirtualX2apicMode, WithoutItTheMsrsAreTheControllers) {
    Guest m{register_virtualization};
    m.rdmsr_code(0x808);
    expect_protection(m);
}

TEST(VirtualX2apicMode, WrmsrOfTheTaskPriorityWritesEightBytesOfThePage) {
    Guest m{x2apic_mode};
    m.put<u64>(virtual_page + 0x80, ~u64{0});
    m.wrmsr_code(0x808, 0x73);
    m.expect_completes();
    EXPECT_EQ(m.word(virtual_page + 0x80), 0x73u);
    Guest reserved{x2apic_mode};
    reserved.wrmsr_code(0x808, 0x173);
    expect_protection(reserved);
    EXPECT_EQ(reserved.word(virtual_page + 0x80), 0u);
}

TEST(VirtualX2apicMode, WritesOfEoiAndSelfIpiNeedVirtualInterruptDelivery) {
    for (const u32 number : {0x80bu, 0x83fu}) {
        Guest m{x2apic_mode | register_virtualization};
        m.wrmsr_code(number, 0);
        expect_protection(m);
    }
    Guest eoi{x2apic_mode | interrupt_delivery};
    eoi.wrmsr_code(0x80b, 0);
    eoi.expect_completes();
    Guest reserved{x2apic_mode | interrupt_delivery};
    reserved.wrmsr_code(0x80b, 1);
    expect_protection(reserved);
    Guest wide{x2apic_mode | interrupt_delivery};
    wide.wrmsr_code(0x83f, 0x140);
    expect_protection(wide);
}

TEST(VirtualX2apicMode, OtherWritesAreTheControllers) {
    Guest m{x2apic_mode | register_virtualization | interrupt_delivery};
    m.wrmsr_code(0x838, 0);
    expect_protection(m);
}

TEST(VirtualX2apicMode, TheMsrBitmapGoesBefore) {
    Guest m{x2apic_mode | register_virtualization};
    m.put<u8>(bitmap_at + 0x2000 + 0x808 / 8, 1);
    m.rdmsr_code(0x808);
    m.expect_exit(31, 0, code_rip);
}

TEST(VirtualX2apicMode, AtAnyOtherPrivilegeLevelThanZeroItIsGeneralProtection) {
    Guest m{x2apic_mode | register_virtualization};
    for (const u64 page : {code_rip, user_stack - 8}) m.map(page, 7);
    m.rdmsr_code(0x808);
    m.as_user();
    expect_protection(m);
}

}  // namespace
}  // namespace postern::cpu
