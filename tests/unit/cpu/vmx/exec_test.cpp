// SPDX-License-Identifier: Apache-2.0
// VMX instructions of guest software: VM exits before the privilege check, #UD before both.
#include "cpu/vmx/exec.h"

#include "unit/cpu/vmx/vmx_machine.h"

namespace postern::cpu::vmx {
namespace {

using M = VmxMachine;

Insn instruction(u16 reason, bool memory = false) {
    Insn i{};
    i.imm = reason;
    i.base = i.index = i.segment = row_zero;
    i.form = memory ? form_memory : 0;
    return i;
}

M in_guest_at(u32 cpl) {
    M m = M::with_guest();
    m.run();
    m.c.cpl = cpl;
    m.c.next_rip = m.c.rip + 3;
    return m;
}

struct Row {
    u16 reason;
    bool memory;
};
constexpr Row rows[]{{19, true},  {20, false}, {21, true}, {22, true}, {23, false}, {24, false},
                     {25, false}, {26, false}, {27, true}, {50, true}, {53, true}};

TEST(VmxInstructionInGuest, ExitsWithItsOwnReasonWhateverThePrivilege) {
    for (const Row& row : rows)
        for (const u32 cpl : {0u, 3u}) {
            SCOPED_TRACE(row.reason);
            M m = in_guest_at(cpl);
            EXPECT_FALSE(exec_vmx_instruction(m.c, instruction(row.reason, row.memory)).ok());
            EXPECT_EQ(m.c.pending.kind, PendingKind::vm_exit);
            EXPECT_EQ(static_cast<u16>(m.c.pending.reason), row.reason);
            EXPECT_EQ(m.c.pending.instruction_length, 3u);
        }
    M m = in_guest_at(3);
    EXPECT_FALSE(exec_vmcall(m.c, instruction(18)).ok());
    EXPECT_EQ(m.c.pending.reason, BasicReason::vmcall);
}

TEST(VmxInstructionInGuest, VmfuncAndRegisterOperandsAreInvalid) {
    for (const Insn& i : {instruction(59), instruction(19), instruction(50)}) {
        M m = in_guest_at(0);
        EXPECT_FALSE(exec_vmx_instruction(m.c, i).ok());
        EXPECT_EQ(m.c.pending.kind, PendingKind::exception);
        EXPECT_EQ(m.c.pending.vector, Vector::invalid_opcode);
    }
}

TEST(VmxInstructionInGuest, CompatibilityModeIsInvalidExceptForVmcall) {
    M m = in_guest_at(0);
    m.c.segment[cs].access_rights = 0xc09b;
    EXPECT_FALSE(exec_vmx_instruction(m.c, instruction(20)).ok());
    EXPECT_EQ(m.c.pending.vector, Vector::invalid_opcode);
    EXPECT_FALSE(exec_vmcall(m.c, instruction(18)).ok());
    EXPECT_EQ(m.c.pending.kind, PendingKind::vm_exit);
}

TEST(VmxInstructionInGuest, ReportsItsOperands) {
    M m = in_guest_at(0);
    // VMCLEAR [r9 + rcx * 8 + 20H]
    Insn i = instruction(19, true);
    i.base = r9;
    i.index = rcx;
    i.scale = 3;
    i.disp = 0x20;
    EXPECT_FALSE(exec_vmx_instruction(m.c, i).ok());
    EXPECT_EQ(m.c.pending.qualification, 0x20u);
    EXPECT_EQ(m.c.pending.instruction_information, 0x0485'8103u);

    // VMREAD rdx, rbx: the value goes to RDX, RBX holds the encoding
    i = instruction(23);
    i.dst = rdx;
    i.src = rbx;
    EXPECT_FALSE(exec_vmx_instruction(m.c, i).ok());
    EXPECT_EQ(m.c.pending.qualification, 0u);
    EXPECT_EQ(m.c.pending.instruction_information, 0x3000'0410u);

    // INVEPT rsi, [rbp - 8]: SS
    i = instruction(50, true);
    i.dst = rsi;
    i.base = rbp;
    i.disp = -8;
    EXPECT_FALSE(exec_vmx_instruction(m.c, i).ok());
    EXPECT_EQ(m.c.pending.qualification, 0xffff'ffff'ffff'fff8u);
    EXPECT_EQ(m.c.pending.instruction_information, 0x62c1'0100u);
}

TEST(VmxInstructionOutside, IsInvalidWithoutVmxOperation) {
    M m;
    ASSERT_TRUE(vmxoff(m.c).ok());
    m.c.segment[cs].access_rights = 0xa09b;
    for (const Row& row : rows) {
        if (row.reason == 27) continue;
        EXPECT_FALSE(exec_vmx_instruction(m.c, instruction(row.reason, row.memory)).ok());
        EXPECT_EQ(m.c.pending.vector, Vector::invalid_opcode) << row.reason;
        EXPECT_EQ(m.c.pending.kind, PendingKind::exception);
    }
    m.c.cr4.set(Cr4::vmxe, false);
    EXPECT_FALSE(exec_vmx_instruction(m.c, instruction(27, true)).ok());
    EXPECT_EQ(m.c.pending.kind, PendingKind::exception);
    EXPECT_EQ(m.c.pending.vector, Vector::invalid_opcode);
}

TEST(VmxInstructionInRoot, IsForCpl0Only) {
    M m;
    m.c.segment[cs].access_rights = 0xa09b;
    m.c.cpl = 3;
    for (const Row& row : rows) {
        EXPECT_FALSE(exec_vmx_instruction(m.c, instruction(row.reason, row.memory)).ok());
        EXPECT_EQ(m.c.pending.kind, PendingKind::exception) << row.reason;
        EXPECT_EQ(m.c.pending.vector, Vector::general_protection) << row.reason;
    }
    EXPECT_FALSE(exec_vmcall(m.c, instruction(18)).ok());
    EXPECT_EQ(m.c.pending.vector, Vector::general_protection);
}

}  // namespace
}  // namespace postern::cpu::vmx
