// SPDX-License-Identifier: Apache-2.0
// The capability MSRs and the checks of VM entry say the same.
#include "cpu/vmx/capability.h"
#include "unit/cpu/vmx/vmx_machine.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using M = VmxMachine;

u64 capability(u32 msr) {
    u64 value = 0;
    EXPECT_TRUE(read_capability(msr, value)) << std::hex << msr;
    return value;
}

TEST(VmxCapability, TheMsrsThatExist) {
    u64 value = 0;
    for (u32 msr = 0x480; msr <= 0x490; ++msr) EXPECT_TRUE(read_capability(msr, value));
    // VMFUNC, PROCBASED_CTLS3 and EXIT_CTLS2 come with controls that are not implemented.
    for (const u32 msr : {0x47fu, 0x491u, 0x492u, 0x493u, 0x494u})
        EXPECT_FALSE(read_capability(msr, value));
}

TEST(VmxCapability, MiscellaneousData) {
    const u64 misc = capability(0x485);
    EXPECT_EQ(misc & 0x1f, 0u);    // the timer counts at the rate of the TSC
    EXPECT_EQ(misc >> 5 & 1, 1u);  // LMA is stored: unrestricted guest
    EXPECT_EQ(misc >> 6 & 7, 7u);  // activity: HLT, shutdown, wait-for-SIPI
    EXPECT_EQ(misc >> 16 & 0x1ff, 4u);
    EXPECT_EQ(misc >> 29 & 1, 0u);
    const u64 basic = capability(0x480);
    EXPECT_EQ(basic >> 31 & 1, 0u);
    EXPECT_EQ(basic >> 32 & 0x1fff, 4096u);
    EXPECT_EQ(basic >> 50 & 0xf, 6u);
    EXPECT_EQ(basic >> 55 & 1, 1u);
}

TEST(VmxCapability, EptAndVpid) {
    // Execute-only, 4 levels, UC, WB, 2M, 1G, INVEPT both types, A/D, advanced information of
    // violations, INVVPID all four types.
    EXPECT_EQ(capability(0x48c), 0x0000'0f01'0673'4141u);
}

TEST(VmxCapability, ControlsThatAHypervisorOfA64BitGuestNeeds) {
    EXPECT_EQ(capability(0x481) >> 32, 0xffu);
    EXPECT_EQ(capability(0x482) >> 32, 0xfff9'fffeu);
    EXPECT_EQ(capability(0x48b), 0x0613'9fff'0000'0000u);
    EXPECT_EQ(capability(0x483) >> 32, 0x007f'efffu);
    EXPECT_EQ(capability(0x484) >> 32, 0x0000'd3ffu);
    EXPECT_EQ(capability(0x48e) & 0xffff'ffff, 0x0400'6172u);
    EXPECT_EQ(capability(0x482) & 0xffff'ffff, 0x0401'e172u);
}

TEST(VmxCapability, FixedBitsOfCr4AreTheModels) {
    M m = M::with_guest();
    u64 value = 0;
    ASSERT_TRUE(read_capability(m.c, 0x489, value));
    EXPECT_EQ(value, supported_cr4(default_model()).to_raw());
    EXPECT_EQ(capability(0x489), value);
    EXPECT_EQ(value >> 12 & 1, 0u) << "5-level paging";
    Model model = default_model();
    model.features.set(Feature::smap, false);
    m.system.model = &model;
    m.turn_on(F::guest_cr4, u64{1} << 21);
    bool entered = true;
    EXPECT_TRUE(m.enter(entered).ok());
    EXPECT_FALSE(entered);
    ASSERT_TRUE(read_capability(m.c, 0x489, value));
    EXPECT_EQ(value >> 21 & 1, 0u);
}

struct Word {
    u32 msr;  // the TRUE one
    F field;
};
constexpr Word words[]{{0x48d, F::pin_based_controls},
                       {0x48e, F::primary_processor_based_controls},
                       {0x48b, F::secondary_processor_based_controls},
                       {0x48f, F::vm_exit_controls},
                       {0x490, F::vm_entry_controls}};

/// A control that is not offered cannot be set, one that must be 1 cannot be cleared.
TEST(VmxCapability, WhatIsNotOfferedFailsEntryWith7) {
    for (const Word& word : words) {
        const u64 offered = capability(word.msr);
        for (unsigned position = 0; position < 32; ++position) {
            const u64 mask = u64{1} << position;
            const bool may_be_1 = (offered >> 32 & mask) != 0;
            const bool must_be_1 = (offered & mask) != 0;
            if (may_be_1 && !must_be_1) continue;
            SCOPED_TRACE(std::string{name_of(word.field)} + " bit " + std::to_string(position));
            M m = M::with_guest();
            m.set(word.field, may_be_1 ? m.get(word.field) & ~mask : m.get(word.field) | mask);
            bool entered = true;
            const Status status = m.enter(entered);
            EXPECT_EQ(static_cast<u32>(status.error), 7u);
        }
    }
}

TEST(VmxCapability, FieldsExistWithTheirControls) {
    M m = M::with_guest();
    u64 value = 0;
    EXPECT_TRUE(vmread(m.c, 0x202e, value).ok());  // ENCLS-exiting bitmap
    EXPECT_TRUE(vmread(m.c, 0x482e, value).ok());  // preemption timer
    EXPECT_TRUE(vmread(m.c, 0x2014, value).ok());  // APIC-access address
    EXPECT_TRUE(vmread(m.c, 0x0812, value).ok());  // PML index
    EXPECT_TRUE(vmread(m.c, 0x200e, value).ok());  // PML address
    EXPECT_TRUE(vmread(m.c, 0x2012, value).ok());  // virtual-APIC address
    EXPECT_TRUE(vmread(m.c, 0x401c, value).ok());  // TPR threshold
    EXPECT_TRUE(vmread(m.c, 0x0002, value).ok());  // notification vector
    EXPECT_TRUE(vmread(m.c, 0x0810, value).ok());  // guest interrupt status
    EXPECT_TRUE(vmread(m.c, 0x2016, value).ok());  // posted-interrupt descriptor
    for (const u32 bitmap : {0x201cu, 0x201eu, 0x2020u, 0x2022u})
        EXPECT_TRUE(vmread(m.c, bitmap, value).ok());  // EOI-exit bitmap
    EXPECT_FALSE(vmread(m.c, 0x2036, value).ok());     // ENCLV-exiting bitmap
    // The highest index of those that exist: 19H of 2032H, the TSC multiplier.
    EXPECT_EQ(capability(0x48a), 0x32u);
}

}  // namespace
}  // namespace postern::cpu::vmx
