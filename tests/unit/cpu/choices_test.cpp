// SPDX-License-Identifier: Apache-2.0
// The choices: their names, their defaults, and what each changes.
#include "cpu/choices.h"

#include "cpu/vmx/exec.h"
#include "unit/cpu/event/inside.h"

namespace postern::cpu {
namespace {

TEST(Choices, AreSetByNameAndValue) {
    Choices choices;
    EXPECT_TRUE(set_choice(choices, "vmx-instruction-in-enclave", "ud"));
    EXPECT_TRUE(choices.vmx_instruction_in_enclave_is_ud);
    EXPECT_TRUE(set_choice(choices, "vmx-instruction-in-enclave", "exit"));
    EXPECT_FALSE(choices.vmx_instruction_in_enclave_is_ud);
    EXPECT_TRUE(set_choice(choices, "int1-in-debug-enclave", "type3"));
    EXPECT_TRUE(choices.int1_in_debug_enclave_is_type3);
    EXPECT_TRUE(set_choice(choices, "exitinfo-after-ept", "stale"));
    EXPECT_TRUE(choices.exitinfo_after_ept_is_stale);
    EXPECT_FALSE(set_choice(choices, "exitinfo-after-ept", "exit"));
    EXPECT_FALSE(set_choice(choices, "exitinfo", "stale"));
    EXPECT_TRUE(choices.exitinfo_after_ept_is_stale);
}

TEST(Choices, TheFirstValueOfEachIsTheDefault) {
    for (const ChoiceRow& row : choice_rows()) EXPECT_FALSE(Choices{}.*row.member) << row.name;
    EXPECT_EQ(choice_rows().size(), 5u);
}

TEST(Choices, AVmxInstructionInAnEnclaveExitsOrIsUndefined) {
    for (const bool ud : {false, true}) {
        Inside m;
        m.system.choices.vmx_instruction_in_enclave_is_ud = ud;
        m.set(VmcsField::exception_bitmap, 1u << 6);
        Insn vmread = register_insn(rdx, rbx);
        vmread.imm = 23;
        EXPECT_FALSE(vmx::exec_vmx_instruction(m.c, vmread).ok());
        EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
        m.expect_synthetic(ud ? 0 : 23);
        EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), ud ? 0x8000'0306 : 0u);
    }
}

TEST(Choices, AVmxInstructionOutsideExitsUnderBoth) {
    Outside m;
    m.system.choices.vmx_instruction_in_enclave_is_ud = true;
    Insn vmread = register_insn(rdx, rbx);
    vmread.imm = 23;
    EXPECT_FALSE(vmx::exec_vmx_instruction(m.c, vmread).ok());
    EXPECT_EQ(m.c.pending.kind, PendingKind::vm_exit);
}

void ept_exit(Inside& m) {
    m.gprsgx().exitinfo = Exitinfo::from_raw(0x8000'0300);
    m.c.pending = {};
    m.c.pending.kind = PendingKind::vm_exit;
    m.c.pending.reason = BasicReason::ept_violation;
    EXPECT_EQ(take_pending(m.c), Delivery::vm_exit);
}

TEST(Choices, ExitinfoAfterAnEptViolationIsClearedOrStale) {
    Inside cleared;
    ept_exit(cleared);
    EXPECT_EQ(cleared.gprsgx().exitinfo.to_raw(), 0u);
    Inside stale;
    stale.system.choices.exitinfo_after_ept_is_stale = true;
    ept_exit(stale);
    EXPECT_EQ(stale.gprsgx().exitinfo.to_raw(), 0x8000'0300u);
}

TEST(Choices, ExitinfoAfterAnInterruptIsClearedUnderBoth) {
    Inside m;
    m.system.choices.exitinfo_after_ept_is_stale = true;
    m.gprsgx().exitinfo = Exitinfo::from_raw(0x8000'0300);
    m.c.vmx.preemption_deadline = now(m.c);
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0u);
}

}  // namespace
}  // namespace postern::cpu
