// SPDX-License-Identifier: Apache-2.0
// The VMX instructions other than VM entry: every VMfail number, and a VMCS that keeps its
// fields through VMCLEAR and VMPTRLD.
#include "unit/cpu/vmx/vmx_machine.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using M = VmxMachine;

void expect_fail(M& m, Status status, u32 number) {
    EXPECT_EQ(status.kind, Status::Kind::fail_valid);
    EXPECT_EQ(static_cast<u32>(status.error), number);
    EXPECT_EQ(m.get(F::vm_instruction_error), number);
}

TEST(VmxInstructions, FailuresWithACurrentVmcsStoreTheirNumber) {
    M m = M::with_guest();
    u64 value = 0;
    expect_fail(m, vmcall(m.c), 1);
    expect_fail(m, vmclear(m.c, Hpa{0x2008}), 2);
    expect_fail(m, vmclear(m.c, Hpa{too_wide}), 2);
    expect_fail(m, vmclear(m.c, Hpa{vmxon_at}), 3);
    expect_fail(m, vmptrld(m.c, Hpa{0x3800}), 9);
    expect_fail(m, vmptrld(m.c, Hpa{vmxon_at}), 10);
    expect_fail(m, vmptrld(m.c, Hpa{0x9000}), 11);
    expect_fail(m, vmread(m.c, 0x2036, value), 12);
    expect_fail(m, vmwrite(m.c, 0x6c20, 0), 12);
    expect_fail(m, vmwrite(m.c, 0x4402, 0), 13);
    expect_fail(m, vmxon(m.c, Hpa{vmxon_at}), 15);
    expect_fail(m, invept(m.c, 0, 0x801e), 28);
    expect_fail(m, invept(m.c, 1, 0x8006), 28);
    expect_fail(m, invvpid(m.c, 4, 1, 0), 28);
    expect_fail(m, invvpid(m.c, 1, 0, 0), 28);
    expect_fail(m, invvpid(m.c, 0, 1, not_canonical), 28);
}

TEST(VmxInstructions, VmlaunchNeedsClearVmresumeNeedsLaunched) {
    M m = M::with_guest();
    bool entered = true;
    expect_fail(m, m.enter(entered, false), 5);
    EXPECT_FALSE(entered);
    m.run();
    exit(m.c, {.reason = BasicReason::hlt});
    expect_fail(m, m.enter(entered, true), 4);
    EXPECT_TRUE(m.enter(entered, false).ok());
    EXPECT_TRUE(entered);
}

TEST(VmxInstructions, EntryInTheShadowOfMovSsFailsWith26) {
    M m = M::with_guest();
    m.c.event.blocking.set(Interruptibility::mov_ss);
    bool entered = true;
    expect_fail(m, m.enter(entered), 26);
    m.c.event.blocking = InterruptibilityState::from_raw(1);  // STI does not matter
    m.run();
}

TEST(VmxInstructions, WithoutCurrentVmcsEverythingFailsInvalid) {
    M m;
    u64 value = 0;
    bool entered = true;
    const auto invalid = Status::Kind::fail_invalid;
    EXPECT_EQ(vmclear(m.c, Hpa{vmxon_at}).kind, invalid);
    EXPECT_EQ(vmptrld(m.c, Hpa{0x9000}).kind, invalid);
    EXPECT_EQ(vmread(m.c, 0x681e, value).kind, invalid);
    EXPECT_EQ(vmwrite(m.c, 0x681e, 0).kind, invalid);
    EXPECT_EQ(vmxon(m.c, Hpa{vmxon_at}).kind, invalid);
    EXPECT_EQ(invept(m.c, 7, 0).kind, invalid);
    EXPECT_EQ(m.enter(entered).kind, invalid);
    EXPECT_FALSE(entered);
}

TEST(VmxInstructions, VmxonRefusesARegionOfAnotherRevision) {
    M m;
    ASSERT_TRUE(vmxoff(m.c).ok());
    EXPECT_EQ(vmxon(m.c, Hpa{0x9000}).kind, Status::Kind::fail_invalid);
    EXPECT_EQ(vmxon(m.c, Hpa{vmxon_at + 8}).kind, Status::Kind::fail_invalid);
    const u64 revision = read_physical(m.c, Hpa{vmxon_at}, 4);
    write_physical(m.c, Hpa{vmxon_at}, 4, revision | 0x8000'0000);
    EXPECT_EQ(vmxon(m.c, Hpa{vmxon_at}).kind, Status::Kind::fail_invalid);
    EXPECT_FALSE(m.c.vmx.on);
}

TEST(VmxInstructions, AVmcsKeepsItsFieldsThroughVmclearAndVmptrld) {
    M m = M::with_guest();
    m.set(F::guest_rip, 0x1122'3344'5566'7788);
    m.set(F::tsc_offset, 0x99aa'bbcc'ddee'ff00);
    m.c.vmx.vmcs.launched = true;
    ASSERT_TRUE(vmclear(m.c, Hpa{vmcs_at}).ok());
    EXPECT_EQ(m.c.vmx.current, no_vmcs);

    ASSERT_TRUE(vmclear(m.c, Hpa{other_vmcs_at}).ok());
    ASSERT_TRUE(vmptrld(m.c, Hpa{other_vmcs_at}).ok());
    EXPECT_EQ(m.get(F::guest_rip), 0u);
    m.set(F::guest_rip, 0x77);
    m.c.vmx.vmcs.launched = true;

    // A switch without VMCLEAR keeps the launch state of the one left.
    ASSERT_TRUE(vmptrld(m.c, Hpa{vmcs_at}).ok());
    EXPECT_FALSE(m.c.vmx.vmcs.launched);
    EXPECT_EQ(m.get(F::guest_rip), 0x1122'3344'5566'7788u);
    EXPECT_EQ(m.get(F::tsc_offset), 0x99aa'bbcc'ddee'ff00u);
    ASSERT_TRUE(vmptrld(m.c, Hpa{other_vmcs_at}).ok());
    EXPECT_TRUE(m.c.vmx.vmcs.launched);
    EXPECT_EQ(m.get(F::guest_rip), 0x77u);

    // VMCLEAR of one that is not current clears its launch state and leaves the current one.
    ASSERT_TRUE(vmptrld(m.c, Hpa{vmcs_at}).ok());
    ASSERT_TRUE(vmclear(m.c, Hpa{other_vmcs_at}).ok());
    EXPECT_EQ(m.c.vmx.current, vmcs_at);
    ASSERT_TRUE(vmptrld(m.c, Hpa{other_vmcs_at}).ok());
    EXPECT_FALSE(m.c.vmx.vmcs.launched);
}

TEST(VmxInstructions, VmptrldOfTheCurrentVmcsChangesNothing) {
    M m = M::with_guest();
    m.set(F::guest_rip, 0x42);
    ASSERT_TRUE(vmptrld(m.c, Hpa{vmcs_at}).ok());
    EXPECT_EQ(m.get(F::guest_rip), 0x42u);
}

TEST(VmxInstructions, FieldsHaveTheirWidthAndA64BitFieldHasAHighHalf) {
    M m = M::with_guest();
    u64 value = 0;
    ASSERT_TRUE(vmwrite(m.c, 0x0800, 0x1'2345).ok());
    EXPECT_EQ(m.get(F::guest_es_selector), 0x2345u);
    ASSERT_TRUE(vmwrite(m.c, 0x4004, 0xabcd'0000'0001).ok());
    EXPECT_EQ(m.get(F::exception_bitmap), 1u);
    ASSERT_TRUE(vmwrite(m.c, 0x2010, 0x1111'1111'2222'2222).ok());
    ASSERT_TRUE(vmwrite(m.c, 0x2011, 0x3333'3333).ok());
    EXPECT_EQ(m.get(F::tsc_offset), 0x3333'3333'2222'2222u);
    ASSERT_TRUE(vmread(m.c, 0x2011, value).ok());
    EXPECT_EQ(value, 0x3333'3333u);
    EXPECT_EQ(vmread(m.c, 0x4005, value).error, VmInstructionError::unsupported_vmcs_component);
}

}  // namespace
}  // namespace postern::cpu::vmx
