// SPDX-License-Identifier: Apache-2.0
// Segments, returns, fast calls, flags and ports: what they do when they complete, and each of
// the checks of a descriptor.
#include <gtest/gtest.h>

#include "cpu/exec/system.h"
#include "cpu/flags.h"
#include "unit/cpu/event/machine.h"

namespace postern::cpu {
namespace {

const Insn none = register_insn(0, 0);
constexpr u64 stack = kernel_stack - 0x100;

void push_frame(Machine& m, u64 rip, u64 code, u64 flags, u64 rsp_value, u64 ss_value) {
    const u64 words[] = {rip, code, flags, rsp_value, ss_value};
    for (unsigned n = 0; n < 5; ++n) m.put<u64>(m.c.gpr[rsp] + 8 * n, words[n]);
}

TEST(Iret, ReturnsToUserAndDropsInnerSegments) {
    Machine m;
    m.c.segment[es] = {kernel_ss, 0, 0xc093, 0xffff'ffff, 0, 0};
    m.c.segment[gs] = {kernel_ss, 0, 0xc093, 0xffff'ffff, 0, 0x123};
    m.c.gpr[row_gs_base] = 0x123;
    push_frame(m, 0x4'0000, user_cs, 0x3202, user_stack, user_ss);
    EXPECT_TRUE(execute(m.c, exec_iret, none));
    EXPECT_EQ(m.c.next_rip, 0x4'0000u);
    EXPECT_EQ(m.c.cpl, 3u);
    EXPECT_EQ(m.c.gpr[rsp], user_stack);
    EXPECT_EQ(m.c.segment[ss].selector, user_ss);
    EXPECT_EQ(rflags(m.c), 0x3202u);
    EXPECT_TRUE(m.c.segment[es].unusable());
    EXPECT_TRUE(m.c.segment[gs].unusable());
    EXPECT_EQ(m.c.segment[gs].selector, 0u);
    EXPECT_EQ(m.c.segment[gs].base, 0x123u);  // 64-bit mode goes on using it
    EXPECT_EQ(m.c.gpr[row_gs_base], 0x123u);
    EXPECT_FALSE(m.c.segment[ds].unusable());
    EXPECT_EQ(m.c.tlb, &m.c.tlbs[tlb_user]);
}

/// FS and GS as a hypervisor may leave them: usable, of DPL 0, without a selector.
void give_bases_without_selectors(Machine& m) {
    for (const SegmentIndex index : {fs, gs}) m.c.segment[index] = {0, 0, 0xc093, ~u32{0}, 0, 0};
    m.c.segment[fs].base = m.c.gpr[row_fs_base] = 0x7f12'3456'7740;
    m.c.segment[gs].base = m.c.gpr[row_gs_base] = 0x7f12'3456'8880;
}

void expect_bases_in_use(const Machine& m) {
    EXPECT_EQ(m.c.segment[fs].selector, 0u);
    EXPECT_EQ(m.c.segment[fs].base, 0x7f12'3456'7740u);
    EXPECT_EQ(m.c.gpr[row_fs_base], 0x7f12'3456'7740u);
    EXPECT_EQ(m.c.segment[gs].selector, 0u);
    EXPECT_EQ(m.c.segment[gs].base, 0x7f12'3456'8880u);
    EXPECT_EQ(m.c.gpr[row_gs_base], 0x7f12'3456'8880u);
}

// SDM 2A, "IRET/IRETD/IRETQ", Operation: of FS and GS the selector becomes null, and no more.
TEST(Iret, ToUserLeavesTheBasesOfInnerSegmentsWithoutASelector) {
    Machine m;
    give_bases_without_selectors(m);
    push_frame(m, 0x4'0000, user_cs, 0x202, user_stack, user_ss);
    EXPECT_TRUE(execute(m.c, exec_iret, none));
    EXPECT_EQ(m.c.cpl, 3u);
    expect_bases_in_use(m);
}

TEST(Iret, SamePrivilegeWithANullStackSegment) {
    Machine m;
    push_frame(m, 0x4'0000, kernel_cs, 0x202, 0x1'8000, 0);
    EXPECT_TRUE(execute(m.c, exec_iret, none));
    EXPECT_EQ(m.c.cpl, 0u);
    EXPECT_EQ(m.c.gpr[rsp], 0x1'8000u);
    EXPECT_TRUE(m.c.segment[ss].unusable());
}

TEST(Iret, UserCannotRaiseIoplOrChangeIf) {
    Machine m;
    m.as_user();
    set_rflags(m.c, 0x202);
    push_frame(m, 0x4'0000, user_cs, 0x3002 | 0x24'0001, user_stack, user_ss);
    EXPECT_TRUE(execute(m.c, exec_iret, none));
    EXPECT_EQ(rflags(m.c), 0x24'0203u);  // ID, AC, CF; IF stays, IOPL stays 0
}

struct Bad {
    const char* name;
    void (*arrange)(Machine&);
    Vector vector;
    u32 error;
};

const Bad bad_irets[] = {
    {"nested task",
     [](Machine& m) {
         push_frame(m, 0, kernel_cs, 2, stack, kernel_ss);
         m.c.flags.set(Rflag::nt);
     },
     Vector::general_protection, 0},
    {"null CS", [](Machine& m) { push_frame(m, 0, 3, 2, stack, kernel_ss); },
     Vector::general_protection, 0},
    {"CS beyond the table", [](Machine& m) { push_frame(m, 0, 0x98, 2, stack, kernel_ss); },
     Vector::general_protection, 0x98},
    {"CS is data", [](Machine& m) { push_frame(m, 0, kernel_ss, 2, stack, kernel_ss); },
     Vector::general_protection, 0x10},
    {"to an inner level",
     [](Machine& m) {
         m.as_user();
         push_frame(m, 0, kernel_cs, 2, stack, kernel_ss);
     },
     Vector::general_protection, 8},
    {"RPL is not DPL", [](Machine& m) { push_frame(m, 0, kernel_cs | 3, 2, stack, user_ss); },
     Vector::general_protection, 8},
    {"conforming code less privileged than RPL",
     [](Machine& m) { push_frame(m, 0, user_conforming_cs, 2, stack, kernel_ss); },
     Vector::general_protection, user_conforming_cs},
    {"CS not present", [](Machine& m) { push_frame(m, 0, absent_cs, 2, stack, kernel_ss); },
     Vector::segment_not_present, absent_cs},
    {"RIP not canonical",
     [](Machine& m) { push_frame(m, u64{1} << 47, kernel_cs, 2, stack, kernel_ss); },
     Vector::general_protection, 0},
    {"null SS for CPL 3", [](Machine& m) { push_frame(m, 0, user_cs, 2, stack, 3); },
     Vector::general_protection, 0},
    {"SS's RPL is not CPL", [](Machine& m) { push_frame(m, 0, kernel_cs, 2, stack, user_ss); },
     Vector::general_protection, 0x18},
    {"SS is read-only", [](Machine& m) { push_frame(m, 0, kernel_cs, 2, stack, read_only); },
     Vector::general_protection, read_only},
    {"SS's DPL is not CPL", [](Machine& m) { push_frame(m, 0, user_cs, 2, stack, kernel_ss | 3); },
     Vector::general_protection, 0x10},
    {"SS not present", [](Machine& m) { push_frame(m, 0, kernel_cs, 2, stack, absent_data); },
     Vector::stack_fault, absent_data},
    {"RSP not canonical", [](Machine& m) { m.c.gpr[rsp] = u64{1} << 47; }, Vector::stack_fault, 0},
};

TEST(Iret, EachCheckFaultsAndChangesNothing) {
    for (const Bad& bad : bad_irets) {
        SCOPED_TRACE(bad.name);
        Machine m;
        bad.arrange(m);
        const auto gpr_before = m.c.gpr;
        const u64 flags = rflags(m.c);
        const u32 cpl = m.c.cpl;
        EXPECT_FALSE(execute(m.c, exec_iret, none));
        EXPECT_EQ(m.c.pending.vector, bad.vector);
        EXPECT_EQ(m.c.pending.error_code, bad.error);
        EXPECT_EQ(m.c.gpr, gpr_before);
        EXPECT_EQ(rflags(m.c), flags);
        EXPECT_EQ(m.c.cpl, cpl);
    }
}

TEST(Iret, GoesToCompatibilityModeWithinTheLimitOfItsSegment) {
    Machine m;
    push_frame(m, 0x1'0000'0000, compat_cs, 2, stack, kernel_ss);
    EXPECT_FALSE(execute(m.c, exec_iret, none));
    EXPECT_EQ(m.c.pending.vector, Vector::general_protection);
    EXPECT_EQ(m.c.pending.error_code, 0u);
    push_frame(m, 0x8000, compat_cs, 2, stack, kernel_ss);
    EXPECT_TRUE(execute(m.c, exec_iret, none));
    EXPECT_EQ(m.c.segment[cs].selector, compat_cs);
    EXPECT_FALSE(m.c.segment[cs].is_long());
}

TEST(Iret, CompatibilityModeTakesNoNullStackSegment) {
    Machine m;
    push_frame(m, 0x8000, compat_cs, 2, stack, 0);
    EXPECT_FALSE(execute(m.c, exec_iret, none));
    EXPECT_EQ(m.c.pending.vector, Vector::general_protection);
}

TEST(Syscall, SavesReturnAndFlagsAndLoadsFlatSegments) {
    Machine m;
    m.as_user();
    set_rflags(m.c, 0x647);
    m.c.msr.star = 0x0013'0008'0000'0000;
    m.c.msr.lstar = 0x8'0000;
    m.c.msr.fmask = 0x600;
    EXPECT_TRUE(execute(m.c, exec_syscall, none, 2));
    EXPECT_EQ(m.c.next_rip, 0x8'0000u);
    EXPECT_EQ(m.c.gpr[rcx], code_rip + 2);
    EXPECT_EQ(m.c.gpr[r11], 0x647u);
    EXPECT_EQ(rflags(m.c), 0x47u);
    EXPECT_EQ(m.c.cpl, 0u);
    EXPECT_EQ(m.c.gpr[rsp], user_stack);
    EXPECT_EQ(m.c.segment[cs], (Segment{0x08, 0, 0xa09b, 0xffff'ffff, 0, 0}));
    EXPECT_EQ(m.c.segment[ss], (Segment{0x10, 0, 0xc093, 0xffff'ffff, 0, 0}));
}

TEST(Sysret, GoesBackToUser) {
    Machine m;
    m.c.msr.star = 0x0013'0008'0000'0000;
    m.c.gpr[rcx] = 0x4'0000;
    m.c.gpr[r11] = 0xffff'ffff;
    EXPECT_TRUE(execute(m.c, exec_sysret, none, 3));
    EXPECT_EQ(m.c.next_rip, 0x4'0000u);
    EXPECT_EQ(rflags(m.c), 0x3c'7fd7u);
    EXPECT_EQ(m.c.cpl, 3u);
    EXPECT_EQ(m.c.segment[cs], (Segment{0x23, 0, 0xa0fb, 0xffff'ffff, 0, 0}));
    EXPECT_EQ(m.c.segment[ss], (Segment{0x1b, 0, 0xc0f3, 0xffff'ffff, 0, 0}));
}

TEST(Sysenter, AndSysexitUseTheMsrsSelectors) {
    Machine m;
    m.as_user();
    m.c.msr.sysenter_cs = 0x08;
    m.c.msr.sysenter_eip = 0x8'0000;
    m.c.msr.sysenter_esp = kernel_stack;
    EXPECT_TRUE(execute(m.c, exec_sysenter, none, 2));
    EXPECT_EQ(m.c.next_rip, 0x8'0000u);
    EXPECT_EQ(m.c.gpr[rsp], kernel_stack);
    EXPECT_EQ(rflags(m.c), 2u);
    EXPECT_EQ(m.c.segment[ss].selector, 0x10u);
    m.c.gpr[rcx] = user_stack;
    m.c.gpr[rdx] = 0x4'0000;
    EXPECT_TRUE(execute(m.c, exec_sysexit, none, 3));
    EXPECT_EQ(m.c.next_rip, 0x4'0000u);
    EXPECT_EQ(m.c.gpr[rsp], user_stack);
    EXPECT_EQ(m.c.segment[cs].selector, 0x2bu);
    EXPECT_EQ(m.c.segment[ss].selector, 0x33u);
    EXPECT_EQ(m.c.cpl, 3u);
}

// Segment registers.

TEST(MovSreg, LoadsTheDescriptorAndSetsItsAccessedBit) {
    Machine m;
    m.put<u64>(gdt_at + 0x18, 0x12cf'f234'5678'ffff);  // base 12345678H, not accessed
    m.c.gpr[rax] = 0xffff'001b;
    EXPECT_TRUE(execute(m.c, exec_mov_to_sreg, register_insn(fs, rax)));
    EXPECT_EQ(m.c.segment[fs], (Segment{0x1b, 0, 0xc0f3, 0xffff'ffff, 0, 0x1234'5678}));
    EXPECT_EQ(m.c.gpr[row_fs_base], 0x1234'5678u);
    EXPECT_EQ(m.word(gdt_at + 0x18), 0x12cf'f334'5678'ffffu);
}

TEST(MovSreg, NullMakesADataSegmentUnusable) {
    Machine m;
    m.c.gpr[row_gs_base] = m.c.segment[gs].base = 0x77;
    m.c.gpr[rax] = 2;
    EXPECT_TRUE(execute(m.c, exec_mov_to_sreg, register_insn(gs, rax)));
    EXPECT_TRUE(m.c.segment[gs].unusable());
    EXPECT_EQ(m.c.segment[gs].selector, 2u);
    EXPECT_EQ(m.c.gpr[row_gs_base], 0u);
}

TEST(MovSreg, FromTheLdt) {
    Machine m;
    m.put<u64>(ldt_at + 0x18, data_dpl3);
    m.put<u16>(data_at, 0x1f);
    Insn i = memory_insn(data_at, 2);
    i.dst = es;
    EXPECT_TRUE(execute(m.c, exec_mov_to_sreg, i));
    EXPECT_EQ(m.c.segment[es].selector, 0x1fu);
    m.c.segment[ldtr].access_rights |= access_rights_unusable;
    EXPECT_FALSE(execute(m.c, exec_mov_to_sreg, i));
    EXPECT_EQ(m.c.pending.error_code, 0x1cu);
}

struct BadLoad {
    const char* name;
    SegmentIndex index;
    u16 selector;
    bool user;
    Vector vector;
    u32 error;
};

const BadLoad bad_loads[] = {
    {"null SS at CPL 3", ss, 3, true, Vector::general_protection, 0},
    {"null SS with another RPL", ss, 1, false, Vector::general_protection, 0},
    {"SS with another RPL", ss, 0x11, false, Vector::general_protection, 0x10},
    {"SS of another DPL", ss, 0x18, false, Vector::general_protection, 0x18},
    {"SS read-only", ss, read_only, false, Vector::general_protection, read_only},
    {"SS is code", ss, kernel_cs, false, Vector::general_protection, kernel_cs},
    {"SS not present", ss, absent_data, false, Vector::stack_fault, absent_data},
    {"DS beyond the table", ds, 0x98, false, Vector::general_protection, 0x98},
    {"DS is a system segment", ds, tss_selector, false, Vector::general_protection, 0x28},
    {"DS of an inner level", ds, kernel_ss, true, Vector::general_protection, 0x10},
    {"DS with RPL above DPL", ds, 0x13, false, Vector::general_protection, 0x10},
    {"DS not present", ds, absent_data, false, Vector::segment_not_present, absent_data},
};

TEST(MovSreg, EachCheckFaults) {
    for (const BadLoad& bad : bad_loads) {
        SCOPED_TRACE(bad.name);
        Machine m;
        if (bad.user) m.as_user();
        const auto before = m.c.segment;
        m.c.gpr[rax] = bad.selector;
        EXPECT_FALSE(execute(m.c, exec_mov_to_sreg, register_insn(bad.index, rax)));
        EXPECT_EQ(m.c.pending.vector, bad.vector);
        EXPECT_EQ(m.c.pending.error_code, bad.error);
        EXPECT_EQ(m.c.segment, before);
        EXPECT_FALSE(m.c.event.blocking.has(Interruptibility::mov_ss));
    }
}

TEST(MovSreg, ConformingCodeMayBeReadByAnybody) {
    Machine m;
    m.as_user();
    m.c.gpr[rax] = conforming_cs | 3;
    EXPECT_TRUE(execute(m.c, exec_mov_to_sreg, register_insn(ds, rax)));
}

TEST(MovSreg, StoresToRegisterAndMemory) {
    Machine m;
    m.c.gpr[rax] = ~u64{0};
    EXPECT_TRUE(execute(m.c, exec_mov_from_sreg, register_insn(rax, cs, 4)));
    EXPECT_EQ(m.c.gpr[rax], 8u);
    m.put<u64>(data_at, ~u64{0});
    Insn i = memory_insn(data_at, 2);
    i.src = cs;
    EXPECT_TRUE(execute(m.c, exec_mov_from_sreg, i));
    EXPECT_EQ(m.word(data_at), 0xffff'ffff'ffff'0008u);
}

TEST(PushPop, FsGoesThroughTheStack) {
    Machine m;
    EXPECT_TRUE(execute(m.c, exec_push_fs, none));
    EXPECT_EQ(m.c.gpr[rsp], stack - 8);
    EXPECT_EQ(m.word(stack - 8), user_ss);
    m.put<u64>(stack - 8, 0);
    EXPECT_TRUE(execute(m.c, exec_pop_gs, none));
    EXPECT_TRUE(m.c.segment[gs].unusable());
    EXPECT_EQ(m.c.gpr[rsp], stack);
    m.c.gpr[rsp] = stack - 8;
    m.put<u64>(stack - 8, 0x98);
    EXPECT_FALSE(execute(m.c, exec_pop_gs, none));
    EXPECT_EQ(m.c.gpr[rsp], stack - 8);
}

TEST(FarPointer, LssLoadsRegisterAndSegment) {
    Machine m;
    m.put<u64>(data_at, 0x1122'3344'5566'7788);
    m.put<u16>(data_at + 8, kernel_ss);
    Insn i = memory_insn(data_at, 8);
    i.dst = rsp;
    i.src = ss;
    EXPECT_TRUE(execute(m.c, exec_lss_lfs_lgs, i));
    EXPECT_EQ(m.c.gpr[rsp], 0x1122'3344'5566'7788u);
    EXPECT_EQ(m.c.segment[ss].selector, kernel_ss);
    EXPECT_FALSE(m.c.event.blocking.has(Interruptibility::mov_ss));
}

TEST(FarPointer, JumpAndCallAndReturn) {
    Machine m;
    m.put<u64>(data_at, 0x5'0000);
    m.put<u16>(data_at + 8, conforming_cs);
    EXPECT_TRUE(execute(m.c, exec_far_jump, memory_insn(data_at, 8)));
    EXPECT_EQ(m.c.next_rip, 0x5'0000u);
    EXPECT_EQ(m.c.segment[cs].selector, conforming_cs);
    EXPECT_TRUE(execute(m.c, exec_far_call, memory_insn(data_at, 8), 3));
    EXPECT_EQ(m.word(stack - 8), conforming_cs);
    EXPECT_EQ(m.word(stack - 16), code_rip + 3);
    EXPECT_EQ(m.c.gpr[rsp], stack - 16);
    Insn i = register_insn(0, 0, 8);
    i.imm = 0x20;
    EXPECT_TRUE(execute(m.c, exec_far_return, i));
    EXPECT_EQ(m.c.next_rip, code_rip + 3);
    EXPECT_EQ(m.c.gpr[rsp], stack + 0x20);
}

TEST(FarPointer, ReturnToUserReleasesFromBothStacks) {
    Machine m;
    m.put<u64>(stack, 0x4'0000);
    m.put<u64>(stack + 8, user_cs);
    m.put<u64>(stack + 0x20, user_stack);
    m.put<u64>(stack + 0x28, user_ss);
    Insn i = register_insn(0, 0, 8);
    i.imm = 0x10;
    EXPECT_TRUE(execute(m.c, exec_far_return, i));
    EXPECT_EQ(m.c.cpl, 3u);
    EXPECT_EQ(m.c.gpr[rsp], user_stack + 0x10);
    EXPECT_EQ(m.c.segment[ss].selector, user_ss);
}

// SDM 2B, "RET", Operation.
TEST(FarPointer, ReturnToUserLeavesTheBasesOfInnerSegmentsWithoutASelector) {
    Machine m;
    give_bases_without_selectors(m);
    const u64 words[] = {0x4'0000, user_cs, user_stack, user_ss};
    for (unsigned n = 0; n < 4; ++n) m.put<u64>(stack + 8 * n, words[n]);
    EXPECT_TRUE(execute(m.c, exec_far_return, register_insn(0, 0, 8)));
    EXPECT_EQ(m.c.cpl, 3u);
    expect_bases_in_use(m);
}

TEST(FarPointer, SystemSegmentsAndInnerCodeFault) {
    Machine m;
    m.put<u16>(data_at + 8, tss_selector);
    EXPECT_FALSE(execute(m.c, exec_far_jump, memory_insn(data_at, 8)));
    EXPECT_EQ(m.c.pending.error_code, tss_selector);
    m.put<u16>(data_at + 8, user_cs);
    EXPECT_FALSE(execute(m.c, exec_far_jump, memory_insn(data_at, 8)));
    EXPECT_EQ(m.c.pending.error_code, 0x20u);
}

// Descriptor tables.

TEST(Tables, LgdtAndSgdtMoveTenBytes) {
    Machine m;
    m.put<u16>(data_at, 0x1234);
    m.put<u64>(data_at + 2, 0xffff'8000'0001'0000);
    EXPECT_TRUE(execute(m.c, exec_lgdt, memory_insn(data_at)));
    EXPECT_EQ(m.c.gdtr.limit, 0x1234u);
    EXPECT_EQ(m.c.gdtr.base, 0xffff'8000'0001'0000u);
    EXPECT_TRUE(execute(m.c, exec_sgdt, memory_insn(data_at + 0x10)));
    EXPECT_EQ(m.get<u16>(data_at + 0x10), 0x1234u);
    EXPECT_EQ(m.word(data_at + 0x12), 0xffff'8000'0001'0000u);
    m.put<u64>(data_at + 2, u64{1} << 47);
    EXPECT_FALSE(execute(m.c, exec_lidt, memory_insn(data_at)));
    EXPECT_EQ(m.c.idtr.base, idt_at);
}

TEST(Tables, LtrMakesTheTssBusy) {
    Machine m;
    m.put<u64>(gdt_at + 0x78, 0x1);  // base 31:0 = 8000H, 63:32 = 1
    m.c.gpr[rax] = free_tss;
    EXPECT_TRUE(execute(m.c, exec_ltr, register_insn(0, rax)));
    EXPECT_EQ(m.c.segment[tr], (Segment{free_tss, 0, 0x8b, 0xfff, 0, 0x1'0000'8000}));
    EXPECT_EQ(m.word(gdt_at + 0x70), 0x0000'8b00'8000'0fffu);
    EXPECT_FALSE(execute(m.c, exec_ltr, register_insn(0, rax)));  // busy now
    EXPECT_EQ(m.c.pending.error_code, free_tss);
    m.c.gpr[rax] = 0;
    EXPECT_FALSE(execute(m.c, exec_ltr, register_insn(0, rax)));
    EXPECT_EQ(m.c.pending.error_code, 0u);
}

TEST(Tables, LldtTakesNullAndLdtDescriptorsOfTheGdt) {
    Machine m;
    m.c.gpr[rax] = 0;
    EXPECT_TRUE(execute(m.c, exec_lldt, register_insn(0, rax)));
    EXPECT_TRUE(m.c.segment[ldtr].unusable());
    m.c.gpr[rax] = ldt_selector;
    EXPECT_TRUE(execute(m.c, exec_lldt, register_insn(0, rax)));
    EXPECT_EQ(m.c.segment[ldtr], (Segment{ldt_selector, 0, 0x82, 0x1f, 0, ldt_at}));
    for (const u16 wrong : {u16{0x3c}, tss_selector, kernel_cs}) {
        m.c.gpr[rax] = wrong;
        EXPECT_FALSE(execute(m.c, exec_lldt, register_insn(0, rax)));
        EXPECT_EQ(m.c.pending.error_code, wrong);
    }
}

TEST(Tables, SldtAndStrStoreTheSelector) {
    Machine m;
    m.c.gpr[rbx] = ~u64{0};
    EXPECT_TRUE(execute(m.c, exec_sldt, register_insn(rbx, rbx, 4)));
    EXPECT_EQ(m.c.gpr[rbx], ldt_selector);
    m.put<u64>(data_at, ~u64{0});
    EXPECT_TRUE(execute(m.c, exec_str, memory_insn(data_at, 2)));
    EXPECT_EQ(m.word(data_at), 0xffff'ffff'ffff'0028u);
}

TEST(Query, LarLslVerrVerwAnswerInZf) {
    Machine m;
    m.c.gpr[rax] = user_ss;
    EXPECT_TRUE(execute(m.c, exec_lar, register_insn(rbx, rax, 4)));
    EXPECT_TRUE(zf(m.c));
    EXPECT_EQ(m.c.gpr[rbx], 0x00c0'f300u);
    EXPECT_TRUE(execute(m.c, exec_lsl, register_insn(rbx, rax, 4)));
    EXPECT_EQ(m.c.gpr[rbx], 0xffff'ffffu);
    EXPECT_TRUE(execute(m.c, exec_verw, register_insn(0, rax)));
    EXPECT_TRUE(zf(m.c));
    m.c.gpr[rax] = read_only;
    EXPECT_TRUE(execute(m.c, exec_verw, register_insn(0, rax)));
    EXPECT_FALSE(zf(m.c));
    EXPECT_TRUE(execute(m.c, exec_verr, register_insn(0, rax)));
    EXPECT_TRUE(zf(m.c));
    m.as_user();
    for (const u16 hidden : {kernel_ss, u16{0}, u16{0x98}}) {
        m.c.gpr[rax] = hidden;
        m.c.gpr[rbx] = 7;
        EXPECT_TRUE(execute(m.c, exec_lar, register_insn(rbx, rax, 4)));
        EXPECT_FALSE(zf(m.c));
        EXPECT_EQ(m.c.gpr[rbx], 7u);
    }
}

// Flags.

TEST(Popf, KernelChangesEverythingButVmVipVifAndClearsRf) {
    Machine m;
    set_rflags(m.c, 0x10002);
    m.put<u64>(stack, 0xffff'ffff);
    EXPECT_TRUE(execute(m.c, exec_popf, none));
    EXPECT_EQ(rflags(m.c), 0x24'7fd7u);
    EXPECT_EQ(m.c.gpr[rsp], stack + 8);
}

TEST(Popf, UserCannotChangeIfOrIopl) {
    Machine m;
    m.as_user();
    set_rflags(m.c, 0x202);
    m.put<u64>(user_stack, 0x3000);
    EXPECT_TRUE(execute(m.c, exec_popf, none));
    EXPECT_EQ(rflags(m.c), 0x202u);
}

TEST(Popf, SixteenBitsLeaveTheUpperHalf) {
    Machine m;
    set_rflags(m.c, 0x24'0002);
    m.put<u64>(stack, 0x1);
    EXPECT_TRUE(execute(m.c, exec_popf, register_insn(0, 0, 2)));
    EXPECT_EQ(rflags(m.c), 0x24'0003u);
    EXPECT_EQ(m.c.gpr[rsp], stack + 2);
}

TEST(Popf, TfStaysClearAfterAnOptOutEntry) {
    Machine m;
    m.as_user();
    m.put<u64>(user_stack, 0x100);
    m.c.enclave.debug_opt_in = true;
    m.c.enclave.active = true;
    // The stack is ordinary memory outside the enclave.
    EXPECT_TRUE(execute(m.c, exec_popf, none));
    EXPECT_TRUE(m.c.flags.has(Rflag::tf));
    m.c.gpr[rsp] = user_stack;
    m.c.enclave.debug_opt_in = false;
    EXPECT_TRUE(execute(m.c, exec_popf, none));
    EXPECT_FALSE(m.c.flags.has(Rflag::tf));
}

TEST(Pushf, HidesRfAndVm) {
    Machine m;
    set_rflags(m.c, 0x24'7fd7 | 0x10000);
    EXPECT_TRUE(execute(m.c, exec_pushf, none));
    EXPECT_EQ(m.word(stack - 8), 0x24'7fd7u);
}

TEST(VirtualInterrupts, CliAndStiOfCpl3WorkOnVif) {
    Machine m;
    m.as_user();
    m.c.cr4.set(Cr4::pvi);
    set_rflags(m.c, 0x202);
    EXPECT_TRUE(execute(m.c, exec_sti, none));
    EXPECT_EQ(rflags(m.c), 0x8'0202u);
    EXPECT_TRUE(execute(m.c, exec_cli, none));
    EXPECT_EQ(rflags(m.c), 0x202u);
    set_rflags(m.c, 0x10'0202);
    EXPECT_FALSE(execute(m.c, exec_sti, none));
}

TEST(Swapgs, ExchangesTheBases) {
    Machine m;
    m.c.segment[gs].base = m.c.gpr[row_gs_base] = 1;
    m.c.msr.kernel_gs_base = 2;
    EXPECT_TRUE(execute(m.c, exec_swapgs, none));
    EXPECT_EQ(m.c.gpr[row_gs_base], 2u);
    EXPECT_EQ(m.c.segment[gs].base, 2u);
    EXPECT_EQ(m.c.msr.kernel_gs_base, 1u);
}

TEST(FsBase, IsReadAndWrittenIn32And64Bits) {
    Machine m;
    m.c.cr4.set(Cr4::fsgsbase);
    m.c.gpr[rbx] = 0xffff'8000'1234'5678;
    EXPECT_TRUE(execute(m.c, exec_wrfsbase, register_insn(0, rbx)));
    EXPECT_EQ(m.c.gpr[row_fs_base], 0xffff'8000'1234'5678u);
    EXPECT_TRUE(execute(m.c, exec_rdfsbase, register_insn(rcx, 0, 4)));
    EXPECT_EQ(m.c.gpr[rcx], 0x1234'5678u);
    EXPECT_TRUE(execute(m.c, exec_wrgsbase, register_insn(0, rbx, 4)));
    EXPECT_EQ(m.c.segment[gs].base, 0x1234'5678u);
}

// Ports.

TEST(Ports, TransferTheOperandsSize) {
    Machine m;
    Insn i = register_insn(0, 0, 1);
    i.imm = -16;  // F0H, sign-extended
    m.c.gpr[rax] = 0x1111'2222'3333'4455;
    EXPECT_TRUE(execute(m.c, exec_out_imm, i));
    m.c.gpr[rdx] = 0x1'03f8;
    EXPECT_TRUE(execute(m.c, exec_out_dx, register_insn(0, 0, 4)));
    EXPECT_EQ(m.bus.outs, (std::vector<FakeBus::Out>{{0xf0, 1, 0x55}, {0x3f8, 4, 0x3333'4455}}));
    m.bus.answer = 0xabcd'ef01;
    EXPECT_TRUE(execute(m.c, exec_in_dx, register_insn(0, 0, 2)));
    EXPECT_EQ(m.c.gpr[rax], 0x1111'2222'3333'ef01u);
    EXPECT_TRUE(execute(m.c, exec_in_dx, register_insn(0, 0, 4)));
    EXPECT_EQ(m.c.gpr[rax], 0xabcd'ef01u);
}

TEST(Ports, PermissionBitmapCoversEveryByteOfTheAccess) {
    Machine m;
    m.as_user();
    m.c.segment[tr].limit = 104 + 0x80;
    m.put<u8>(tss_at + 104 + 0x7f, 0x80);  // port 3FFH denied
    m.c.gpr[rdx] = 0x3f8;
    EXPECT_TRUE(execute(m.c, exec_out_dx, register_insn(0, 0, 1)));
    m.c.gpr[rdx] = 0x3fe;
    EXPECT_TRUE(execute(m.c, exec_out_dx, register_insn(0, 0, 1)));
    EXPECT_FALSE(execute(m.c, exec_out_dx, register_insn(0, 0, 2)));
    EXPECT_EQ(m.c.pending.vector, Vector::general_protection);
    m.c.gpr[rdx] = 0x400;  // its second byte would lie beyond the limit
    EXPECT_FALSE(execute(m.c, exec_out_dx, register_insn(0, 0, 1)));
    EXPECT_EQ(m.bus.outs.size(), 2u);
}

TEST(Ports, IoplLetsUserThrough) {
    Machine m;
    m.as_user();
    set_rflags(m.c, 0x3202);
    EXPECT_TRUE(execute(m.c, exec_in_dx, register_insn(0, 0, 1)));
}

TEST(StringPorts, RepeatOneIterationAtATime) {
    Machine m;
    Insn i = register_insn(0, 0, 2);
    i.form |= form_rep;
    m.c.gpr[rcx] = 2;
    m.c.gpr[rdi] = data_at;
    m.bus.answer = 0x1234;
    EXPECT_TRUE(execute(m.c, exec_ins, i, 2));
    EXPECT_EQ(m.c.next_rip, code_rip);
    EXPECT_TRUE(execute(m.c, exec_ins, i, 2));
    EXPECT_EQ(m.c.next_rip, code_rip + 2);
    EXPECT_EQ(m.c.gpr[rcx], 0u);
    EXPECT_EQ(m.c.gpr[rdi], data_at + 4);
    EXPECT_EQ(m.word(data_at), 0x1234'1234u);
    EXPECT_TRUE(execute(m.c, exec_ins, i, 2));
    EXPECT_EQ(m.bus.ins, 2u);
    EXPECT_EQ(m.c.next_rip, code_rip + 2);
}

TEST(StringPorts, GoDownWithDfAndUse32BitAddresses) {
    Machine m;
    set_rflags(m.c, 0x402);
    Insn i = register_insn(0, 0, 1);
    i.form |= form_address32;
    m.put<u8>(data_at, 0x5a);
    m.c.gpr[rsi] = 0x7'0000'0000 | data_at;
    EXPECT_TRUE(execute(m.c, exec_outs, i));
    EXPECT_EQ(m.bus.outs.at(0).value, 0x5au);
    EXPECT_EQ(m.c.gpr[rsi], data_at - 1);
}

TEST(StringPorts, ADestinationThatFaultsAsksNoDevice) {
    Machine m;
    m.c.gpr[rdi] = 0x5000'0000;
    EXPECT_FALSE(execute(m.c, exec_ins, register_insn(0, 0, 1)));
    EXPECT_EQ(m.c.pending.vector, Vector::page_fault);
    EXPECT_EQ(m.bus.ins, 0u);
}

}  // namespace
}  // namespace postern::cpu
