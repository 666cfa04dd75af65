// SPDX-License-Identifier: Apache-2.0
// What VM entry and INVEPT take for an EPT pointer, and when VM entry asks. EPTP: type 2:0, levels
// less one 5:3, accessed and dirty flags bit 6, supervisor shadow stacks bit 7. Secondary controls:
// EPT bit 1, VPID bit 5, PML bit 17.
#include "unit/cpu/vmx/vmx_machine.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using M = VmxMachine;

constexpr u64 ept_and_vpid = 0x22, vpid_alone = 0x20;
constexpr u64 pml = 0x2'0000;

u32 error_of_entry(M& m) {
    bool entered = true;
    const Status status = m.enter(entered);
    EXPECT_EQ(entered, status.ok());
    return static_cast<u32>(status.error);
}

TEST(EptChecks, EptPointerIsNotAskedAboutWithoutEpt) {
    M m = M::with_guest();
    m.set(F::secondary_processor_based_controls, vpid_alone);
    m.set(F::ept_pointer, ~u64{0});
    EXPECT_EQ(error_of_entry(m), 0u);
}

TEST(EptChecks, UncacheableTablesAndAccessedAndDirtyFlagsAreOffered) {
    for (const u64 eptp : {u64{0x8018}, u64{0x801e}, u64{0x805e}, u64{0x3fff'ffff'f05e}}) {
        M m = M::with_guest();
        m.set(F::ept_pointer, eptp);
        EXPECT_EQ(error_of_entry(m), 0u) << std::hex << eptp;
    }
}

TEST(EptChecks, PmlAddressAndEptPointerBeyondThePhysicalWidthAreRefused) {
    M m = M::with_guest();
    m.set(F::ept_pointer, too_wide | 0x1e);
    EXPECT_EQ(error_of_entry(m), 7u);
    m.set(F::ept_pointer, 0x801e);
    m.set(F::secondary_processor_based_controls, ept_and_vpid | pml);
    m.set(F::pml_address, too_wide);
    EXPECT_EQ(error_of_entry(m), 7u);
    m.set(F::pml_address, too_wide - 0x1000);
    EXPECT_EQ(error_of_entry(m), 0u);
}

/// SDM 3C, "Page-Modification Logging": the log is on only with accessed and dirty flags; VM entry
/// does not ask for them.
TEST(EptChecks, PmlWithoutAccessedAndDirtyFlagsEnters) {
    M m = M::with_guest();
    m.set(F::secondary_processor_based_controls, ept_and_vpid | pml);
    m.set(F::pml_address, 0x9000);
    m.set(F::pml_index, 0xffff);
    EXPECT_EQ(error_of_entry(m), 0u);
}

TEST(EptChecks, InveptOfOneContextAsksTheSameOfItsOperand) {
    M m = M::with_guest();
    const auto invept_error = [&](u64 eptp) {
        return static_cast<u32>(invept(m.c, 1, eptp).error);
    };
    for (const u64 eptp : {u64{0x8018}, u64{0x801e}, u64{0x805e}})
        EXPECT_EQ(invept_error(eptp), 0u) << std::hex << eptp;
    for (const u64 eptp : {u64{0x801c}, u64{0x8026}, u64{0x809e}, u64{0x811e}, too_wide | 0x1e})
        EXPECT_EQ(invept_error(eptp), 28u) << std::hex << eptp;
}

}  // namespace
}  // namespace postern::cpu::vmx
