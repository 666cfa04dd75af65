// SPDX-License-Identifier: Apache-2.0
// What an L1 is shown of exits from enclaves: pure functions.
#include "hv/nested/reflect.h"

#include <gtest/gtest.h>

#include "hv/exit/table.h"

namespace postern::hv::test {
namespace {

constexpr auto state(u32 raw) { return InterruptibilityState::from_raw(raw); }

// A reflected exit keeps every flag.
static_assert(reflected_reason(ExitReason::from_vmcs(0x0c00'0030), all_protections).to_vmcs() ==
              0x0c00'0030);
static_assert(reflected_reason(ExitReason::from_vmcs(0x0000'0030), all_protections).to_vmcs() ==
              0x30);
static_assert(shown_interruptibility(state(0x18), all_protections).to_raw() == 0x18);

// Without the protection L1 has the number alone, and what VMX had before SGX.
constexpr Protections not_passed_on = all_protections.with(Protection::pass_on, false);
static_assert(reflected_reason(ExitReason::from_vmcs(0x0800'0030), not_passed_on).to_vmcs() ==
              0x30);
static_assert(shown_interruptibility(state(0x18), not_passed_on).to_raw() == 0x08);

// A synthesized one has bit 27 exactly if the state L1 reads has bit 4: the last exit, which a
// save and restore would lose, has no say.
static_assert(synthesized_reason(BasicReason::external_interrupt, state(0x10)).to_vmcs() ==
              0x0800'0001);
static_assert(synthesized_reason(BasicReason::external_interrupt, state(0x00)).to_vmcs() == 1);
static_assert(synthesized_reason(BasicReason::exception_or_nmi, state(0x11)).to_vmcs() ==
              0x0800'0000);

TEST(WantedByL1, FollowsL1sControls) {
    const auto wanted = [](u16 number, const Vmcs12& l1) {
        return index_exit_rows(exit_rows)[number]->wanted(l1);
    };
    const auto with = [](PrimaryControls primary, SecondaryControls secondary) {
        Vmcs12 l1;
        primary.set(PrimaryControl::activate_secondary_controls, secondary.to_raw() != 0);
        l1.set<VmcsField::primary_processor_based_controls>(primary.to_raw());
        l1.set<VmcsField::secondary_processor_based_controls>(secondary.to_raw());
        return l1;
    };
    const Vmcs12 nothing;
    const Vmcs12 pauses = with({PrimaryControl::pause_exiting}, {});
    const Vmcs12 loops = with({}, {SecondaryControl::pause_loop_exiting});
    Vmcs12 inactive = loops;
    inactive.set<VmcsField::primary_processor_based_controls>(0);
    EXPECT_FALSE(wanted(40, nothing));
    EXPECT_TRUE(wanted(40, pauses));
    EXPECT_TRUE(wanted(40, loops));
    EXPECT_FALSE(wanted(40, inactive)) << "secondary controls that are not activated";
    EXPECT_TRUE(wanted(10, nothing)) << "CPUID exits always";
    EXPECT_FALSE(wanted(48, nothing)) << "EPT is ours";
    EXPECT_FALSE(wanted(60, nothing));
    const Vmcs12 encls = with({}, {SecondaryControl::enable_encls_exiting});
    EXPECT_TRUE(wanted(60, encls));
}

}  // namespace
}  // namespace postern::hv::test
