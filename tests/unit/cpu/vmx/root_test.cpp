// SPDX-License-Identifier: Apache-2.0
// The VMX instructions in VMX root operation: operands, faults, flags.
#include "cpu/vmx/exec.h"
#include "unit/cpu/vmx/vmx_machine.h"

namespace postern::cpu::vmx {
namespace {

using M = VmxMachine;

constexpr u64 operand_at = 0x1'8000;
constexpr u64 all_status_flags = 0x8d5;
constexpr u64 carry = 1, zero = 0x40;

enum Which : u16 {
    vmcall_ = 18,
    vmclear_,
    vmlaunch_,
    vmptrld_,
    vmptrst_,
    vmread_,
    vmresume_,
    vmwrite_,
    vmxoff_,
    vmxon_,
    invept_ = 50,
    invvpid_ = 53
};

/// 64-bit code at CPL 0 with an identity map; status flags all set.
void at_cpl_0(M& m) {
    write_physical(m.c, Hpa{0x1'0000}, 8, 0x1'1003);
    write_physical(m.c, Hpa{0x1'1000}, 8, 0x83);
    m.c.cr3 = 0x1'0000;
    m.c.segment[cs].access_rights = 0xa09b;
    m.c.rip = 0x5000;
    m.c.next_rip = 0x5004;
    from_image(m.c, all_status_flags);
}

/// With `[operand_at]` as memory operand, or registers only.
Insn instruction(Which which, bool memory = true, u16 dst = 0, u16 src = 0) {
    Insn i{};
    i.imm = which;
    i.base = i.index = i.segment = row_zero;
    i.disp = operand_at;
    i.form = memory ? form_memory : 0;
    i.dst = static_cast<decltype(i.dst)>(dst);
    i.src = static_cast<decltype(i.src)>(src);
    return i;
}

void put(M& m, u64 low, u64 high = 0) {
    write_physical(m.c, Hpa{operand_at}, 8, low);
    write_physical(m.c, Hpa{operand_at + 8}, 8, high);
}

bool run(M& m, const Insn& i) { return exec_vmx_instruction(m.c, i).ok(); }

bool faults(M& m, const Insn& i, Vector vector) {
    m.c.pending = {};
    return !run(m, i) && m.c.pending.kind == PendingKind::exception && m.c.pending.vector == vector;
}

M outside() {
    M m;
    at_cpl_0(m);
    EXPECT_TRUE(vmxoff(m.c).ok());
    m.c.msr.feature_control = 5;
    put(m, vmxon_at);
    return m;
}

TEST(Vmxon, EntersVmxOperationAndClearsEveryStatusFlag) {
    M m = outside();
    m.c.monitor.armed = true;
    ASSERT_TRUE(run(m, instruction(vmxon_)));
    EXPECT_TRUE(m.c.vmx.on);
    EXPECT_EQ(m.c.vmx.vmxon_region, vmxon_at);
    EXPECT_EQ(m.c.vmx.current, no_vmcs);
    EXPECT_EQ(materialise(m.c), 0u);
    EXPECT_FALSE(m.c.monitor.armed);
}

TEST(Vmxon, OutsideIsForCpl0WithTheFixedBitsAndAFirmwareThatAllowsIt) {
    const auto cpl3 = [](M& m) { m.c.cpl = 3; };
    const auto no_ne = [](M& m) { m.c.cr0 = Cr0Word::from_raw(0x8000'0011); };
    const auto unlocked = [](M& m) { m.c.msr.feature_control = 4; };
    const auto disabled = [](M& m) { m.c.msr.feature_control = 1; };
    const auto smx_only = [](M& m) { m.c.msr.feature_control = 3; };
    for (void (*spoil)(M&) : {+cpl3, +no_ne, +unlocked, +disabled, +smx_only}) {
        M m = outside();
        spoil(m);
        EXPECT_TRUE(faults(m, instruction(vmxon_), Vector::general_protection));
        EXPECT_FALSE(m.c.vmx.on);
    }
}

TEST(Vmxon, WithABadRegionIsVmFailInvalid) {
    for (const u64 region : {u64{vmxon_at + 8}, too_wide, u64{0xd000}}) {
        M m = outside();
        put(m, region);
        ASSERT_TRUE(run(m, instruction(vmxon_))) << region;
        EXPECT_EQ(materialise(m.c), carry);
        EXPECT_FALSE(m.c.vmx.on);
    }
}

TEST(Vmxon, InRootIsError15OrInvalidWithoutAVmcs) {
    M m = M::with_guest();
    at_cpl_0(m);
    ASSERT_TRUE(run(m, instruction(vmxon_)));
    EXPECT_EQ(materialise(m.c), zero);
    EXPECT_EQ(m.get(VmcsField::vm_instruction_error), 15u);
    M without;
    at_cpl_0(without);
    ASSERT_TRUE(run(without, instruction(vmxon_)));
    EXPECT_EQ(materialise(without.c), carry);
}

TEST(VmxRoot, PointersComeFromMemoryAndGoThere) {
    M m;
    at_cpl_0(m);
    put(m, 0);
    ASSERT_TRUE(run(m, instruction(vmptrst_)));
    EXPECT_EQ(read_physical(m.c, Hpa{operand_at}, 8), ~u64{0});
    put(m, vmcs_at);
    ASSERT_TRUE(run(m, instruction(vmclear_)));
    ASSERT_TRUE(run(m, instruction(vmptrld_)));
    EXPECT_EQ(m.c.vmx.current, vmcs_at);
    EXPECT_EQ(materialise(m.c), 0u);
    put(m, 0);
    ASSERT_TRUE(run(m, instruction(vmptrst_)));
    EXPECT_EQ(read_physical(m.c, Hpa{operand_at}, 8), vmcs_at);
}

TEST(VmxRoot, OperandsThatCannotBeReachedFaultAndChangeNothing) {
    for (const Which which : {vmclear_, vmptrld_, vmptrst_, vmread_, vmwrite_, invept_, invvpid_}) {
        SCOPED_TRACE(which);
        M m = M::with_guest();
        at_cpl_0(m);
        m.c.gpr[rbx] = 0x681e;  // guest RIP
        m.c.gpr[rcx] = 1;
        Insn i = instruction(which, true, rbx, rbx);
        if (which == invept_ || which == invvpid_) i.dst = rcx;
        i.base = rsi;
        m.c.gpr[rsi] = u64{1} << 40;
        EXPECT_TRUE(faults(m, i, Vector::page_fault));
        EXPECT_EQ(m.c.vmx.current, vmcs_at);
        EXPECT_EQ(materialise(m.c), all_status_flags);
    }
}

TEST(VmxRoot, VmreadAndVmwriteMoveRegistersAndMemory) {
    M m = M::with_guest();
    at_cpl_0(m);
    m.c.gpr[rbx] = 0x681c;  // guest RSP
    m.c.gpr[rdx] = 0x1234'5678'9abc'def0;
    ASSERT_TRUE(run(m, instruction(vmwrite_, false, rbx, rdx)));
    EXPECT_EQ(materialise(m.c), 0u);
    ASSERT_TRUE(run(m, instruction(vmread_, false, rax, rbx)));
    EXPECT_EQ(m.c.gpr[rax], 0x1234'5678'9abc'def0u);
    put(m, 0x42);
    ASSERT_TRUE(run(m, instruction(vmwrite_, true, rbx)));
    EXPECT_EQ(m.get(VmcsField::guest_rsp), 0x42u);
    put(m, 0);
    ASSERT_TRUE(run(m, instruction(vmread_, true, 0, rbx)));
    EXPECT_EQ(read_physical(m.c, Hpa{operand_at}, 8), 0x42u);
}

TEST(VmxRoot, FieldsThatDoNotExistAreError12AndReadOnlyOnesError13) {
    struct Case {
        Which which;
        u64 encoding;
        u64 error;
    };
    constexpr Case cases[]{{vmread_, 0x681c | u64{1} << 32, 12},
                           {vmread_, 0x7000, 12},
                           {vmwrite_, 0x681c | u64{1} << 32, 12},
                           {vmwrite_, 0x7000, 12},
                           {vmwrite_, 0x4402, 13}};  // exit reason
    for (const Case& k : cases) {
        M m = M::with_guest();
        at_cpl_0(m);
        m.c.gpr[rbx] = k.encoding;
        ASSERT_TRUE(run(m, instruction(k.which, false, rbx, rbx)));
        EXPECT_EQ(materialise(m.c), zero);
        EXPECT_EQ(m.get(VmcsField::vm_instruction_error), k.error);
    }
}

TEST(VmxRoot, WithoutACurrentVmcsFieldsAreVmFailInvalidWhateverTheEncoding) {
    for (const Which which : {vmread_, vmwrite_, vmlaunch_, vmresume_}) {
        M m;
        at_cpl_0(m);
        m.c.gpr[rbx] = ~u64{0};
        // VMWRITE does not even look at its operand.
        Insn i = instruction(which, which == vmwrite_, rbx, rbx);
        i.disp = 0x7000'0000;
        ASSERT_TRUE(run(m, i));
        EXPECT_EQ(materialise(m.c), carry);
    }
}

TEST(VmxRoot, InvalidationsCheckTypeThenDescriptor) {
    struct Case {
        Which which;
        u64 type, low, high;
        bool good;
    };
    constexpr Case cases[]{{invept_, 1, 0x801e, 0, true},
                           {invept_, 2, 0, 0, true},
                           {invept_, 0, 0x801e, 0, false},
                           {invept_, 3, 0x801e, 0, false},
                           {invept_, 1, 0x801e, 1, false},
                           {invept_, 1, 0x8007, 0, false},
                           {invvpid_, 0, 5, 0x1000, true},
                           {invvpid_, 1, 5, 0, true},
                           {invvpid_, 2, 0, 0, true},
                           {invvpid_, 3, 5, 0, true},
                           {invvpid_, 4, 5, 0, false},
                           {invvpid_, 1, 0, 0, false},
                           {invvpid_, 1, 0x1'0005, 0, false},
                           {invvpid_, 0, 5, not_canonical, false},
                           {invvpid_, u64{1} << 32, 5, 0, false}};
    for (const Case& k : cases) {
        SCOPED_TRACE(k.which * 1000 + static_cast<int>(k.type));
        M m = M::with_guest();
        at_cpl_0(m);
        m.c.gpr[rcx] = k.type;
        put(m, k.low, k.high);
        ASSERT_TRUE(run(m, instruction(k.which, true, rcx)));
        EXPECT_EQ(materialise(m.c), k.good ? 0 : zero);
        EXPECT_EQ(m.get(VmcsField::vm_instruction_error), k.good ? 0 : 28u);
    }
}

TEST(VmxRoot, VmxoffLeavesAndVmcallIsError1) {
    M m = M::with_guest();
    at_cpl_0(m);
    ASSERT_TRUE(exec_vmcall(m.c, instruction(vmcall_, false)).ok());
    EXPECT_EQ(materialise(m.c), zero);
    EXPECT_EQ(m.get(VmcsField::vm_instruction_error), 1u);
    ASSERT_TRUE(run(m, instruction(vmxoff_, false)));
    EXPECT_EQ(materialise(m.c), 0u);
    EXPECT_FALSE(m.c.vmx.on);
    EXPECT_TRUE(faults(m, instruction(vmxoff_, false), Vector::invalid_opcode));
}

TEST(VmxRoot, VmlaunchGoesToTheGuestAndKeepsItsFlags) {
    M m = M::with_guest();
    at_cpl_0(m);
    m.set(VmcsField::guest_rflags, 0x10202 | carry);
    ASSERT_TRUE(run(m, instruction(vmlaunch_, false)));
    EXPECT_TRUE(m.c.vmx.non_root);
    EXPECT_EQ(m.c.next_rip, guest_rip_value);
    EXPECT_EQ(rflags(m.c), 0x10202u | carry);
    EXPECT_TRUE(m.c.event.resume_loaded);
    EXPECT_TRUE(m.c.event.trap_inhibited);
}

TEST(VmxRoot, AnEntryThatFailsLateGoesToTheHost) {
    M m = M::with_guest();
    at_cpl_0(m);
    m.set(VmcsField::guest_rflags, 0);
    ASSERT_TRUE(run(m, instruction(vmlaunch_, false)));
    EXPECT_FALSE(m.c.vmx.non_root);
    EXPECT_EQ(m.c.next_rip, host_rip_value);
    EXPECT_EQ(m.get(VmcsField::exit_reason), 0x8000'0021u);
    EXPECT_EQ(rflags(m.c), 2u);
}

TEST(VmxRoot, VmresumeNeedsALaunchedVmcs) {
    M m = M::with_guest();
    at_cpl_0(m);
    ASSERT_TRUE(run(m, instruction(vmresume_, false)));
    EXPECT_EQ(materialise(m.c), zero);
    EXPECT_EQ(m.get(VmcsField::vm_instruction_error), 5u);
    EXPECT_EQ(m.c.next_rip, 0x5004u);
}

TEST(VmxRoot, TheTimerStartsAfterTheEntryHasRetired) {
    M m = M::with_guest();
    at_cpl_0(m);
    m.turn_on(VmcsField::pin_based_controls, 0x40);
    m.set(VmcsField::vmx_preemption_timer_value, 100);
    const u64 before = now(m.c);
    ASSERT_TRUE(run(m, instruction(vmlaunch_, false)));
    EXPECT_EQ(m.c.vmx.preemption_deadline, before + 1 + 100);
}

TEST(VmxRoot, AnInitWaitsForVmxoffThroughEntriesAndExits) {
    M m = M::with_guest();
    at_cpl_0(m);
    m.c.event.init_pending = true;
    m.c.event.activity = ActivityState::hlt;
    EXPECT_FALSE(wakes(m.c));
    m.c.event.activity = ActivityState::active;
    EXPECT_EQ(poll(m.c), Delivery::nothing);
    ASSERT_TRUE(run(m, instruction(vmlaunch_, false)));
    EXPECT_TRUE(m.c.event.init_pending);
    m.c.rip = m.c.next_rip;
    EXPECT_EQ(poll(m.c), Delivery::vm_exit);
    EXPECT_EQ(m.get(VmcsField::exit_reason), 3u);
    EXPECT_FALSE(m.c.event.init_pending);
}

}  // namespace
}  // namespace postern::cpu::vmx
