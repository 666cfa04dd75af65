// SPDX-License-Identifier: Apache-2.0
// Delivery through the IDT outside VMX operation: frames, stacks, error codes, double faults.
#include <gtest/gtest.h>

#include "cpu/event/event.h"
#include "cpu/exec/system.h"
#include "cpu/flags.h"
#include "unit/cpu/event/machine.h"

namespace postern::cpu {
namespace {

// RSP of CPL 0 here is 1FF00H: aligned. A frame without error code takes 28H bytes, with it 30H.
constexpr u64 same_stack = kernel_stack - 0x100;

Delivery take(Cpu& c) { return take_pending(c); }

Delivery raise_ud(Machine& m) {
    (void)raise(m.c, Vector::invalid_opcode);
    return take(m.c);
}

Insn int_n(u8 vector) {
    Insn i = register_insn(0, 0);
    i.imm = vector;
    return i;
}

TEST(Delivery, FaultAtCpl0PushesFiveWordsOnTheCurrentStack) {
    Machine m;
    set_rflags(m.c, 0x0000'0000'0000'4b47);  // NT, IF, DF, TF, ZF, PF, CF
    EXPECT_EQ(raise_ud(m), Delivery::delivered);
    EXPECT_EQ(m.c.rip, 0x100060u);
    EXPECT_EQ(m.c.gpr[rsp], 0x1fed8u);
    EXPECT_EQ(m.word(0x1fed8), 0x12340u);  // RIP
    EXPECT_EQ(m.word(0x1fee0), 0x08u);     // CS
    EXPECT_EQ(m.word(0x1fee8), 0x14b47u);  // RFLAGS with RF
    EXPECT_EQ(m.word(0x1fef0), 0x1ff00u);  // RSP
    EXPECT_EQ(m.word(0x1fef8), 0x10u);     // SS
    EXPECT_EQ(rflags(m.c), 0x0847u);       // TF, NT, RF, IF gone
    EXPECT_EQ(m.c.segment[ss].selector, 0x10u);
}

TEST(Delivery, TrapGateLeavesInterruptsEnabled) {
    Machine m;
    m.gate(6, GateKind::trap);
    EXPECT_EQ(raise_ud(m), Delivery::delivered);
    EXPECT_EQ(rflags(m.c), 0x202u);
}

TEST(Delivery, StackIsAlignedTo16BytesFirst) {
    Machine m;
    m.c.gpr[rsp] = same_stack + 9;
    EXPECT_EQ(raise_ud(m), Delivery::delivered);
    EXPECT_EQ(m.c.gpr[rsp], same_stack - 0x28);
    EXPECT_EQ(m.word(same_stack - 0x10), same_stack + 9);
}

TEST(Delivery, FromCpl3UsesRsp0AndANullStackSegment) {
    Machine m;
    m.as_user();
    (void)general_protection(m.c, 0x1234);
    EXPECT_EQ(take(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.cpl, 0u);
    EXPECT_EQ(m.c.gpr[rsp], 0x1ffd0u);
    EXPECT_EQ(m.word(0x1ffd0), 0x1234u);
    EXPECT_EQ(m.word(0x1ffd8), 0x12340u);
    EXPECT_EQ(m.word(0x1ffe0), 0x23u);
    EXPECT_EQ(m.word(0x1ffe8), 0x10202u);
    EXPECT_EQ(m.word(0x1fff0), 0x30000u);
    EXPECT_EQ(m.word(0x1fff8), 0x1bu);
    EXPECT_EQ(m.c.segment[ss].selector, 0u);
    EXPECT_TRUE(m.c.segment[ss].unusable());
    EXPECT_EQ(m.c.segment[cs].selector, 0x08u);
    EXPECT_EQ(m.c.tlb, &m.c.tlbs[tlb_supervisor]);
}

TEST(Delivery, ConformingHandlerKeepsCplAndStack) {
    Machine m;
    m.as_user();
    m.gate(6, GateKind::interrupt, 0, conforming_cs);
    EXPECT_EQ(raise_ud(m), Delivery::delivered);
    EXPECT_EQ(m.c.cpl, 3u);
    EXPECT_EQ(m.c.segment[cs].selector, conforming_cs | 3);
    EXPECT_EQ(m.c.gpr[rsp], user_stack - 0x28);
    EXPECT_EQ(m.c.segment[ss].selector, user_ss);
}

TEST(Delivery, IstIsUsedAtTheSamePrivilegeToo) {
    Machine m;
    m.gate(6, GateKind::interrupt, 1);
    EXPECT_EQ(raise_ud(m), Delivery::delivered);
    EXPECT_EQ(m.c.gpr[rsp], 0x22000u - 0x28);  // IST1 is 22008H: aligned down
    EXPECT_EQ(m.word(0x22000 - 0x10), same_stack);
}

TEST(Delivery, AccessedBitOfTheHandlersSegmentIsSet) {
    Machine m;
    m.put<u64>(gdt_at + 0x08, code64_dpl0 & ~(u64{1} << 40));
    EXPECT_EQ(raise_ud(m), Delivery::delivered);
    EXPECT_EQ(m.word(gdt_at + 0x08), code64_dpl0);
}

TEST(Delivery, PageFaultSetsCr2) {
    Machine m;
    (void)raise_page_fault(m.c, 0xdead'beef, 6);
    EXPECT_EQ(take(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.cr2, 0xdead'beefu);
    EXPECT_EQ(m.word(m.c.gpr[rsp]), 6u);
    EXPECT_EQ(m.c.rip, handler_of(14));
}

TEST(Delivery, SoftwareInterruptPushesTheNextInstructionAndRetires) {
    Machine m;
    const u64 before = now(m.c);
    set_rflags(m.c, 0x10202);
    EXPECT_FALSE(execute(m.c, exec_int_n, int_n(0x80), 2));
    EXPECT_EQ(take(m.c), Delivery::delivered);
    EXPECT_EQ(m.word(m.c.gpr[rsp]), code_rip + 2);
    // RF is cleared at the start of a software interrupt: SDM 3B, "Instruction-Breakpoint Exception
    // Condition", and so INT3 of an Intel processor does it.
    EXPECT_EQ(m.word(m.c.gpr[rsp] + 16), 0x202u);
    EXPECT_EQ(now(m.c), before + 1);
}

TEST(Delivery, FaultDoesNotRetire) {
    Machine m;
    const u64 before = now(m.c);
    raise_ud(m);
    EXPECT_EQ(now(m.c), before);
}

// What the nested #GP or #NP pushed: error code, then RIP.
struct Refusal {
    const char* name;
    void (*arrange)(Machine&);
    unsigned vector;
    u64 error;
};

// INT 40H: software, so EXT = 0. 40H * 8 + 2 = 202H.
const Refusal software_refusals[] = {
    {"gate beyond the limit", [](Machine& m) { m.c.idtr.limit = 0x40e; }, 13, 0x202},
    {"call gate", [](Machine& m) { m.gate(0x40, GateKind::call); }, 13, 0x202},
    {"gate not present", [](Machine& m) { m.gate(0x40, GateKind::absent); }, 11, 0x202},
    {"gate's DPL below CPL", [](Machine& m) { m.as_user(); }, 13, 0x202},
    {"null code segment", [](Machine& m) { m.gate(0x40, GateKind::interrupt, 0, 3); }, 13, 0},
    {"code beyond the table", [](Machine& m) { m.gate(0x40, GateKind::interrupt, 0, 0x98); }, 13,
     0x98},
    {"data segment", [](Machine& m) { m.gate(0x40, GateKind::interrupt, 0, kernel_ss); }, 13, 0x10},
    {"code less privileged", [](Machine& m) { m.gate(0x40, GateKind::interrupt, 0, 0x20); }, 13,
     0x20},
    {"32-bit code", [](Machine& m) { m.gate(0x40, GateKind::interrupt, 0, compat_cs); }, 13, 0x50},
    {"code not present", [](Machine& m) { m.gate(0x40, GateKind::interrupt, 0, absent_cs); }, 11,
     0x58},
    {"offset not canonical", [](Machine& m) { m.put<u64>(idt_at + 0x408, 0x0000'0000'0001'0000); },
     13, 0},
};

TEST(Delivery, SoftwareInterruptRefusedFaultsOnTheInstructionWithoutExt) {
    for (const Refusal& r : software_refusals) {
        SCOPED_TRACE(r.name);
        Machine m;
        r.arrange(m);
        EXPECT_FALSE(execute(m.c, exec_int_n, int_n(0x40), 2));
        EXPECT_EQ(take(m.c), Delivery::delivered);
        EXPECT_EQ(m.c.rip, handler_of(r.vector));
        EXPECT_EQ(m.word(m.c.gpr[rsp]), r.error);
        EXPECT_EQ(m.word(m.c.gpr[rsp] + 8), code_rip);
        EXPECT_EQ(m.word(m.c.gpr[rsp] + 24) & 0x10000, 0x10000u);
    }
}

TEST(Delivery, ExternalEventRefusedSetsExt) {
    for (const Refusal& r : software_refusals) {
        if (r.name == software_refusals[3].name) continue;  // DPL is not asked for these
        SCOPED_TRACE(r.name);
        Machine m;
        r.arrange(m);
        m.controller.vector = 0x40;
        EXPECT_EQ(poll(m.c), Delivery::delivered);
        EXPECT_EQ(m.c.rip, handler_of(r.vector));
        EXPECT_EQ(m.word(m.c.gpr[rsp]), r.error | 1);
    }
}

TEST(Delivery, UserMayUseAGateOfDpl3) {
    Machine m;
    m.as_user();
    m.gate(0x80, GateKind::user_interrupt);
    EXPECT_FALSE(execute(m.c, exec_int_n, int_n(0x80), 2));
    EXPECT_EQ(take(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, handler_of(0x80));
}

TEST(Delivery, Int1AsksNoDpl) {
    Machine m;
    m.as_user();
    EXPECT_FALSE(execute(m.c, exec_int1, int_n(0), 1));
    EXPECT_EQ(take(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, handler_of(1));
    EXPECT_EQ(m.word(m.c.gpr[rsp]), code_rip + 1);
    EXPECT_EQ(m.c.dr6, 0xffff'0ff0u);
}

TEST(Delivery, StackPointerBeyondTheTssIsInvalidTss) {
    Machine m;
    m.c.segment[tr].limit = 0x2a;  // the last byte of IST1 is at 2BH
    m.gate(0x40, GateKind::interrupt, 1);
    m.controller.vector = 0x40;
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, handler_of(10));
    EXPECT_EQ(m.word(m.c.gpr[rsp]), 0x29u);  // TR's selector with EXT
}

TEST(Delivery, StackPointerNotCanonicalIsAStackFault) {
    Machine m;
    m.put<u64>(tss_at + 36, 0x8000'0000'0000);
    m.gate(0x40, GateKind::interrupt, 1);
    m.controller.vector = 0x40;
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, handler_of(12));
    EXPECT_EQ(m.word(m.c.gpr[rsp]), 1u);
}

TEST(Delivery, AStackAcrossTwoPagesFaultsOnTheHighestMissingWord) {
    Machine m;
    m.put<u64>(tss_at + 36, 0x41010);  // frame: 40FE8H to 4100FH
    m.gate(0x40, GateKind::interrupt, 1);
    m.map(0x40000, 0);
    m.controller.vector = 0x40;
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, handler_of(14));
    EXPECT_EQ(m.c.cr2, 0x40ff8u);
    EXPECT_EQ(m.word(m.c.gpr[rsp]), 2u);  // supervisor write, not present
    EXPECT_EQ(m.word(0x41000), 0u);       // nothing of the first frame was written
}

TEST(Delivery, FailureLeavesRegistersAsTheyWere) {
    Machine m;
    m.as_user();
    m.gate(0x40, GateKind::absent);
    m.gate(11, GateKind::absent);
    m.gate(8, GateKind::absent);
    const auto gpr_before = m.c.gpr;
    m.controller.vector = 0x40;
    EXPECT_EQ(poll(m.c), Delivery::shutdown);
    EXPECT_EQ(m.c.gpr, gpr_before);
    EXPECT_EQ(m.c.rip, code_rip);
    EXPECT_EQ(m.c.cpl, 3u);
    EXPECT_EQ(m.c.event.activity, ActivityState::shutdown);
    EXPECT_FALSE(m.c.event.delivering.valid);
}

TEST(DoubleFault, ContributoryUponContributoryPushesErrorCode0) {
    Machine m;
    m.gate(13, GateKind::absent);  // #GP, then #NP
    (void)general_protection(m.c, 0x88);
    EXPECT_EQ(take(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, handler_of(8));
    EXPECT_EQ(m.word(m.c.gpr[rsp]), 0u);
    EXPECT_EQ(m.word(m.c.gpr[rsp] + 8), code_rip);
}

TEST(DoubleFault, PageFaultUponContributoryIsServedAlone) {
    Machine m;
    m.put<u64>(tss_at + 36, page_end_hole);
    m.map(page_end_hole - 8, 0);
    m.gate(13, GateKind::interrupt, 1);
    (void)general_protection(m.c, 0x88);
    EXPECT_EQ(take(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, handler_of(14));
    EXPECT_EQ(m.c.cr2, page_end_hole - 8);
}

TEST(DoubleFault, PageFaultUponPageFaultLeavesTheSecondAddressInCr2) {
    Machine m;
    m.put<u64>(tss_at + 36, page_end_hole);
    m.map(page_end_hole - 8, 0);
    m.gate(14, GateKind::interrupt, 1);
    (void)raise_page_fault(m.c, 0x9999, 0);
    EXPECT_EQ(take(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, handler_of(8));
    EXPECT_EQ(m.c.cr2, page_end_hole - 8);
}

TEST(DoubleFault, InterruptOfAnExceptionsVectorIsBenign) {
    Machine m;
    m.gate(14, GateKind::absent);  // external interrupt 14, then #NP: no double fault
    m.controller.vector = 14;
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, handler_of(11));
    EXPECT_EQ(m.word(m.c.gpr[rsp]), 14u * 8 + 3);
}

TEST(Debug, TrapSetsDr6AndClearsGdAndPushesTheNextInstruction) {
    Machine m;
    m.c.dr7 = 0x2400;
    set_rflags(m.c, 0x302);
    EXPECT_TRUE(must_step(m.c));
    m.c.rip = code_rip + 5;
    after_step(m.c, true, {});
    EXPECT_EQ(poll(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.rip, handler_of(1));
    EXPECT_EQ(m.c.dr6, 0xffff'4ff0u);
    EXPECT_EQ(m.c.dr7, 0x400u);
    EXPECT_EQ(m.word(m.c.gpr[rsp]), code_rip + 5);
    EXPECT_EQ(m.word(m.c.gpr[rsp] + 16), 0x302u);  // TF, and no RF: a trap
    EXPECT_EQ(poll(m.c), Delivery::nothing);
}

TEST(Debug, GeneralDetectIsAFault) {
    Machine m;
    m.c.dr7 = 0x2400;
    EXPECT_FALSE(execute(m.c, exec_mov_from_dr, register_insn(rax, 0)));
    EXPECT_EQ(take(m.c), Delivery::delivered);
    EXPECT_EQ(m.c.dr6, 0xffff'2ff0u);
    EXPECT_EQ(m.c.dr7, 0x400u);
    EXPECT_EQ(m.word(m.c.gpr[rsp]), code_rip);
    EXPECT_EQ(m.word(m.c.gpr[rsp] + 16), 0x10202u);
}

TEST(ResumeFlag, LoadedByIretItCoversOneInstruction) {
    Machine m;
    m.put<u64>(same_stack, code_rip);
    m.put<u64>(same_stack + 8, kernel_cs);
    m.put<u64>(same_stack + 16, 0x10202);
    m.put<u64>(same_stack + 24, same_stack);
    m.put<u64>(same_stack + 32, kernel_ss);
    EXPECT_TRUE(execute(m.c, exec_iret, register_insn(0, 0)));
    after_step(m.c, false, {});  // IRET itself was stepped
    EXPECT_TRUE(m.c.flags.has(Rflag::rf));
    EXPECT_EQ(poll(m.c), Delivery::nothing);
    EXPECT_TRUE(must_step(m.c));
    after_step(m.c, false, {});
    EXPECT_FALSE(m.c.flags.has(Rflag::rf));
    EXPECT_FALSE(must_step(m.c));
}

TEST(Delivery, ATaskGateIsRefusedLoudly) {
    Machine m;
    m.c.cr0.set(Cr0::pg, false);
    m.c.efer.set(Efer::lma, false);
    m.put<u64>(m.c.idtr.base + 8 * 6, 0x0000'8500'0070'0000);
    EXPECT_EQ(raise_ud(m), Delivery::unimplemented);
    EXPECT_STREQ(m.c.pending.what, "task switch");
}

}  // namespace
}  // namespace postern::cpu
