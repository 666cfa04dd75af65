// SPDX-License-Identifier: Apache-2.0
// Accesses to the APIC-access page, to CR8 and to the x2APIC MSRs: which reach the virtual-APIC
// page, and what follows a write. Offsets and reasons are the manual's, written out.
#include <algorithm>
#include <array>

#include "unit/cpu/event/inside.h"
#include "unit/cpu/vmx/virtual_apic_guest.h"

namespace postern::cpu {
namespace {

using Guest = VirtualApicGuest;

constexpr u32 both = apic_accesses | register_virtualization;
constexpr u32 with_delivery = apic_accesses | interrupt_delivery;

bool reads(Guest& m, u64 offset, unsigned size = 4) {
    m.c.pending = {};
    const bool done = load(m.c, Gva{apic_page + offset}, size).ok();
    const auto reason = static_cast<u64>(m.c.pending.reason);
    EXPECT_TRUE(done || reason == apic_access_exit) << reason;
    return done;
}
bool writes(Guest& m, u64 offset, unsigned size = 4) {
    m.c.vmx.virtual_apic = {};
    m.c.pending = {};
    const bool done = store(m.c, Gva{apic_page + offset}, size, 0).ok();
    const auto reason = static_cast<u64>(m.c.pending.reason);
    EXPECT_TRUE(done || reason == apic_access_exit) << reason;
    EXPECT_EQ(m.c.vmx.virtual_apic.write_pending, done);
    return done;
}

constexpr std::array<u64, 17> read_and_written{0x20,  0x80,  0xb0,  0xd0,  0xe0,  0xf0,
                                               0x280, 0x300, 0x310, 0x320, 0x330, 0x340,
                                               0x350, 0x360, 0x370, 0x380, 0x3e0};
bool is_in(std::span<const u64> list, u64 offset) {
    return std::ranges::find(list, offset) != list.end();
}

TEST(VirtualApicAccess, WithoutATprShadowEveryAccessExits) {
    Guest m{apic_accesses, 0};
    for (u64 offset = 0; offset < 0x1000; offset += 16) {
        EXPECT_FALSE(reads(m, offset));
        EXPECT_FALSE(writes(m, offset));
    }
}

TEST(VirtualApicAccess, WithATprShadowOnlyTheTaskPriorityIsVirtualized) {
    Guest m{apic_accesses};
    for (u64 offset = 0; offset < 0x1000; offset += 4) {
        EXPECT_EQ(reads(m, offset), offset == 0x80) << offset;
        EXPECT_EQ(writes(m, offset), offset == 0x80) << offset;
    }
}

TEST(VirtualApicAccess, WithVirtualInterruptDeliveryEoiAndCommandAreToo) {
    Guest m{with_delivery};
    for (u64 offset = 0; offset < 0x1000; offset += 4) {
        const bool virtualized = offset == 0x80 || offset == 0xb0 || offset == 0x300;
        EXPECT_EQ(reads(m, offset), virtualized) << offset;
        EXPECT_EQ(writes(m, offset), virtualized) << offset;
    }
}

TEST(VirtualApicAccess, ApicRegisterVirtualizationHasItsListOfRegisters) {
    Guest m{both};
    for (u64 offset = 0; offset < 0x1000; offset += 4) {
        const bool vectors = offset >= 0x100 && offset < 0x280 && offset % 16 == 0;
        const bool written = is_in(read_and_written, offset);
        EXPECT_EQ(reads(m, offset), written || vectors || offset == 0x30) << offset;
        EXPECT_EQ(writes(m, offset), written) << offset;
    }
}

TEST(VirtualApicAccess, OnlyTheLowFourBytesOfSixteenAreVirtualized) {
    Guest m{both};
    EXPECT_TRUE(reads(m, 0x80, 1));
    EXPECT_TRUE(reads(m, 0x83, 1));
    EXPECT_TRUE(reads(m, 0x82, 2));
    EXPECT_TRUE(writes(m, 0x81, 2));
    EXPECT_FALSE(reads(m, 0x83, 2));
    EXPECT_FALSE(reads(m, 0x84, 1));
    EXPECT_FALSE(reads(m, 0x80, 8));
    EXPECT_FALSE(writes(m, 0x80, 8));
    EXPECT_FALSE(reads(m, 0x7e, 4));
    Guest shadow{apic_accesses};
    EXPECT_TRUE(reads(shadow, 0x80, 1));
    EXPECT_FALSE(reads(shadow, 0x81, 1)) << "without register virtualization the offset is 80H";
}

TEST(VirtualApicAccess, AnAccessThatCrossesIntoThePageIsNotVirtualized) {
    Guest m{both};
    EXPECT_FALSE(load(m.c, Gva{apic_page - 2}, 4).ok());
    EXPECT_EQ(m.c.pending.qualification, 0u);
    EXPECT_FALSE(reads(m, 0xffe, 4));
}

TEST(VirtualApicAccess, AFetchExits) {
    Guest m{both};
    EXPECT_FALSE(code_pointer(m.c, Gva{apic_page + 0x80}).ok());
    EXPECT_EQ(static_cast<u64>(m.c.pending.reason), apic_access_exit);
    EXPECT_EQ(m.c.pending.qualification, 0x2080u);
}

TEST(VirtualApicAccess, AVirtualizedReadReturnsTheVirtualApicPage) {
    Guest m{both};
    m.set_reg(0x380, 0x1234'5678);
    m.put<u32>(apic_page + 0x380, 0xdead);
    m.read_code(apic_page + 0x380);
    m.expect_completes();
    EXPECT_EQ(m.c.gpr[rax], 0x1234'5678u);
}

TEST(VirtualApicAccess, AVirtualizedWriteGoesToTheVirtualApicPageAndExitsAfterwards) {
    Guest m{both};
    m.write_code(apic_page + 0x380, 0x1234'5678);
    m.expect_exit(apic_write_exit, 0x380, code_rip + 11);
    EXPECT_EQ(m.reg(0x380), 0x1234'5678u);
    EXPECT_EQ(m.get<u32>(apic_page + 0x380), 0u);
}

TEST(VirtualApicAccess, AReadModifyWriteIsOneVirtualizedWrite) {
    Guest m{both};
    m.set_reg(0x320, 0x1'00ef);
    m.code({0x81, 0x24, 0x25});  // AND DWORD PTR [apic_page + 320H], 0FEFFFFH
    m.code32(apic_page + 0x320);
    m.code32(0x00fe'ffff);
    m.expect_exit(apic_write_exit, 0x320, code_rip + 11);
    EXPECT_EQ(m.reg(0x320), 0xefu);
}

TEST(VirtualApicAccess, AnExitReportsTheLengthOfTheInstruction) {
    Guest m{apic_accesses};
    m.write_code(apic_page + 0xb0, 0);
    m.expect_exit(apic_access_exit, 0x10b0, code_rip);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_instruction_length), 11u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rflags) & 0x1'0000, 0x1'0000u);
}

TEST(VirtualApicAccess, AWriteToTheTaskPriorityClearsItsUpperBytes) {
    Guest m{apic_accesses};
    m.write_code(apic_page + 0x80, 0x1234'5678);
    m.expect_completes();
    EXPECT_EQ(m.reg(0x80), 0x78u);
}

TEST(VirtualApicAccess, AWriteToTheHighCommandKeepsItsLastByteAlone) {
    Guest m{both};
    m.write_code(apic_page + 0x310, 0x1234'5678);
    m.expect_completes();
    EXPECT_EQ(m.reg(0x310), 0x1200'0000u);
}

TEST(VirtualApicAccess, WritesOfEoiAndCommandExitWithoutVirtualInterruptDelivery) {
    Guest eoi{both};
    eoi.write_code(apic_page + 0xb0, 7);
    eoi.expect_exit(apic_write_exit, 0xb0, code_rip + 11);
    EXPECT_EQ(eoi.reg(0xb0), 7u);
    Guest command{both};
    command.write_code(apic_page + 0x300, 0x4'0040);
    command.expect_exit(apic_write_exit, 0x300, code_rip + 11);
}

TEST(VirtualApicAccess, AWriteInsideTheTaskPriorityIsNoTprVirtualization) {
    Guest m{both};
    m.code({0xc6, 0x04, 0x25});  // MOV BYTE PTR [apic_page + 81H], 5
    m.code32(apic_page + 0x81);
    m.code({5});
    m.expect_exit(apic_write_exit, 0x81, code_rip + 8);
    EXPECT_EQ(m.reg(0x80), 0x500u);
}

TEST(VirtualApicAccess, ASecondWriteOfTheSameInstructionExits) {
    Guest m{both};
    ASSERT_TRUE(store(m.c, Gva{apic_page + 0x380}, 4, 5).ok());
    EXPECT_TRUE(store(m.c, Gva{apic_page + 0x380}, 4, 6).ok()) << "the same again";
    EXPECT_FALSE(store(m.c, Gva{apic_page + 0x380}, 2, 7).ok());
    EXPECT_FALSE(store(m.c, Gva{apic_page + 0x370}, 4, 7).ok());
    EXPECT_FALSE(load(m.c, Gva{apic_page + 0x380}, 4).ok());
    EXPECT_EQ(static_cast<u64>(m.c.pending.reason), apic_access_exit);
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    EXPECT_FALSE(m.c.vmx.virtual_apic.write_pending) << "no emulation after that exit";
}

TEST(VirtualApicAccess, EmulationFollowsTheDeliveryOfAFault) {
    Guest m{both};
    ASSERT_TRUE(store(m.c, Gva{apic_page + 0x380}, 4, 5).ok());
    m.gate(6, GateKind::interrupt);
    (void)raise(m.c, Vector::invalid_opcode);
    EXPECT_EQ(take_pending(m.c), Delivery::delivered);
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), apic_write_exit);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), handler_of(6));
    EXPECT_EQ(m.vmcs(VmcsField::idt_vectoring_information), 0u);
}

TEST(VirtualApicAccess, EmulationGoesBeforeAnInitAndIsNotBlocked) {
    Guest m{both};
    ASSERT_TRUE(store(m.c, Gva{apic_page + 0x380}, 4, 5).ok());
    m.c.event.init_pending = m.c.event.mtf_pending = m.c.event.nmi_pending = true;
    m.c.event.blocking.set(Interruptibility::mov_ss);
    set_rflags(m.c, 2);
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), apic_write_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 0x380u);
}

TEST(VirtualApicAccess, ASingleStepStaysPendingAcrossTheExit) {
    Guest m{both};
    set_rflags(m.c, 0x102);
    m.write_code(apic_page + 0x380, 1);
    m.expect_exit(apic_write_exit, 0x380, code_rip + 11);
    EXPECT_EQ(m.vmcs(VmcsField::guest_pending_debug_exceptions), 0x4000u);
}

TEST(VirtualApicAccess, EachIterationOfAStringInstructionIsEmulatedByItself) {
    Guest m{apic_accesses};
    m.set(VmcsField::tpr_threshold, 3);
    m.c.gpr[rdi] = apic_page + 0x80;
    m.c.gpr[rcx] = 5;
    m.c.gpr[rax] = 0x25;
    m.code({0xf3, 0xab});  // REP STOSD
    m.expect_exit(tpr_exit, 0, code_rip);
    EXPECT_EQ(m.c.gpr[rcx], 4u);
    EXPECT_EQ(m.reg(0x80), 0x25u);
}

TEST(VirtualApicAccess, OfEnclaveCodeIsNeverRedirected) {
    Inside m;
    m.set(VmcsField::primary_processor_based_controls, tpr_shadow | 1u << 31);
    m.set(VmcsField::secondary_processor_based_controls, both);
    m.set(VmcsField::virtual_apic_address, virtual_page);
    m.c.vmx.apic_access = {true, apic_page};
    flush_translations(m.c);
    EXPECT_FALSE(load(m.c, Gva{apic_page + 0x80}, 4).ok());
    EXPECT_EQ(static_cast<u64>(m.c.pending.reason), apic_access_exit);
    EXPECT_FALSE(store(m.c, Gva{apic_page + 0x80}, 4, 0).ok());
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
    m.expect_synthetic(apic_access_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 0x1000u);
}

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
