// SPDX-License-Identifier: Apache-2.0
// ENCLS: the checks of the instruction itself, in their order.
#include <gtest/gtest.h>

#include <string>

#include "arch/vmx/controls.h"
#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx {
namespace {

constexpr u32 undefined_leaf = 0x17;

void set_encls_exiting(Cpu& c, u64 bitmap) {
    c.vmx.non_root = true;
    c.vmx.vmcs.set<VmcsField::primary_processor_based_controls>(
        PrimaryControls{PrimaryControl::activate_secondary_controls}.to_raw());
    c.vmx.vmcs.set<VmcsField::secondary_processor_based_controls>(
        SecondaryControls{SecondaryControl::enable_encls_exiting}.to_raw());
    c.vmx.vmcs.set<VmcsField::encls_exiting_bitmap>(bitmap);
}

bool exits(EnclaveMachine& m, u64 eax) {
    m.c.gpr[rax] = eax;
    m.c.pending = {};
    return !sgx::encls(m.c) && m.c.pending.kind == PendingKind::vm_exit &&
           m.c.pending.reason == BasicReason::encls && m.c.pending.qualification == 0;
}

class EnclsViolation : public testing::TestWithParam<Violation> {};

TEST_P(EnclsViolation, FaultsAndChangesNothing) {
    EnclaveMachine m;
    m.prepare_ecreate();
    m.c.gpr[rax] = static_cast<u64>(EnclsLeaf::ecreate);
    m.c.gpr[rbx] = pageinfo_at;
    m.c.gpr[rcx] = window_of(secs_page);
    GetParam().arrange(m);
    m.c.pending = {};
    const State before{m};
    EXPECT_FALSE(sgx::encls(m.c).ok());
    EXPECT_EQ(pending_fault(m.c), GetParam().fault);
    EXPECT_TRUE(State{m} == before);
}

constexpr Violation violations[] = {
    {"OutsideProtectedMode", [](EnclaveMachine& m) { m.c.cr0.set(Cr0::pe, false); }, ud},
    {"InVirtual8086Mode", [](EnclaveMachine& m) { m.c.flags.set(Rflag::vm); }, ud},
    {"WithoutAnEpc", [](EnclaveMachine& m) { m.system.epc = nullptr; }, ud},
    {"AtPrivilegeLevel3", [](EnclaveMachine& m) { m.as_user(); }, ud},
    {"WithFeatureControlUnlocked", [](EnclaveMachine& m) { m.c.msr.feature_control &= ~u64{1}; },
     gp0},
    {"WithSgxNotEnabledInFeatureControl",
     [](EnclaveMachine& m) { m.c.msr.feature_control &= ~(u64{1} << 18); }, gp0},
    {"WithAnUndefinedLeaf", [](EnclaveMachine& m) { m.c.gpr[rax] = undefined_leaf; }, gp0},
    {"WithALeafOfSgx2ThatTheModelLacks", [](EnclaveMachine& m) { m.c.gpr[rax] = 0xd; }, gp0},
    {"Erdinfo", [](EnclaveMachine& m) { m.c.gpr[rax] = 0x10; }, gp0},
    {"Etrackc", [](EnclaveMachine& m) { m.c.gpr[rax] = 0x11; }, gp0},
    {"Eldbc", [](EnclaveMachine& m) { m.c.gpr[rax] = 0x12; }, gp0},
    {"Elduc", [](EnclaveMachine& m) { m.c.gpr[rax] = 0x13; }, gp0},
    {"Eupdatesvn", [](EnclaveMachine& m) { m.c.gpr[rax] = 0x18; }, gp0},
    {"WithPagingOff", [](EnclaveMachine& m) { m.c.cr0.set(Cr0::pg, false); }, gp0},
};

INSTANTIATE_TEST_SUITE_P(Encls, EnclsViolation, testing::ValuesIn(violations),
                         [](const auto& test) { return std::string{test.param.name}; });

TEST(Encls, ALeafThatIsNotOfferedIsNamedWhereTheModelHasItAllTheSame) {
    EnclaveMachine m;
    m.model.features.set(Feature::sgx_oversub);
    m.c.gpr[rax] = 0x10;
    ASSERT_FALSE(sgx::encls(m.c).ok());
    EXPECT_EQ(m.c.pending.kind, PendingKind::unimplemented);
    EXPECT_STREQ(m.c.pending.what, "ENCLS[ERDINFO]");
}

TEST(Encls, TheUpperHalfOfRaxIsIgnored) {
    EnclaveMachine m;
    m.prepare_ecreate();
    m.c.gpr[rax] = u64{1} << 32;
    m.c.gpr[rbx] = pageinfo_at;
    m.c.gpr[rcx] = window_of(secs_page);
    EXPECT_TRUE(sgx::encls(m.c).ok());
}

TEST(EnclsExiting, ASetBitGivesExit60BeforeFeatureControlLeafAndPagingAreLookedAt) {
    EnclaveMachine m;
    set_encls_exiting(m.c, u64{1} << undefined_leaf);
    m.c.msr.feature_control = 0;
    m.c.cr0.set(Cr0::pg, false);
    EXPECT_TRUE(exits(m, undefined_leaf));
}

TEST(EnclsExiting, TheBitmapIsIndexedByEaxAndBit63ServesAllLeavesFrom63On) {
    EnclaveMachine m;
    set_encls_exiting(m.c, u64{1} << 63 | u64{1} << 2);
    EXPECT_TRUE(exits(m, 2));
    EXPECT_FALSE(exits(m, 3));
    EXPECT_FALSE(exits(m, 62));
    EXPECT_TRUE(exits(m, 63));
    EXPECT_TRUE(exits(m, 64));
    EXPECT_TRUE(exits(m, 66));
    EXPECT_TRUE(exits(m, 0xffff'ffff));
    EXPECT_FALSE(exits(m, u64{2} << 32 | 3));
}

TEST(EnclsExiting, LosesToCpl3AndToAProcessorWithoutSgx) {
    EnclaveMachine m;
    set_encls_exiting(m.c, ~u64{0});
    m.as_user();
    EXPECT_FALSE(exits(m, 0));
    EXPECT_EQ(pending_fault(m.c), ud);
    m.as_kernel();
    m.system.epc = nullptr;
    EXPECT_FALSE(exits(m, 0));
    EXPECT_EQ(pending_fault(m.c), ud);
}

TEST(EnclsExiting, NeedsTheControlTheSecondaryControlsAndNonRootOperation) {
    EnclaveMachine m;
    set_encls_exiting(m.c, ~u64{0});
    m.c.vmx.non_root = false;
    EXPECT_FALSE(exits(m, 0));
    m.c.vmx.non_root = true;
    m.c.vmx.vmcs.set<VmcsField::secondary_processor_based_controls>(0);
    EXPECT_FALSE(exits(m, 0));
    set_encls_exiting(m.c, ~u64{0});
    m.c.vmx.vmcs.set<VmcsField::primary_processor_based_controls>(0);
    EXPECT_FALSE(exits(m, 0));
}

}  // namespace
}  // namespace postern::cpu::sgx
