// SPDX-License-Identifier: Apache-2.0
// Accesses to the APIC-access page: which reach the virtual-APIC page, and what follows a write.
// Offsets and reasons are the manual's, written out.
#include <algorithm>
#include <array>
#include <span>

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

// covers: apic_write
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

}  // namespace
}  // namespace postern::cpu
