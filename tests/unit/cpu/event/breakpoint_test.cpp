// SPDX-License-Identifier: Apache-2.0
// DR0 to DR3: data breakpoints trap, instruction breakpoints fault, and what an enclave suppresses.
// DR7 by SDM 3B: L0 is bit 0; R/W0 in bits 17:16 (0 fetch, 1 write, 2 port, 3 read or write); LEN0
// in bits 19:18 (0: 1 byte, 1: 2, 3: 4, 2: 8).
#include <gtest/gtest.h>

#include "cpu/event/breakpoint.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/run.h"
#include "unit/cpu/event/inside.h"

namespace postern::cpu {
namespace {

constexpr u64 l0 = 1, on_write = u64{1} << 16, on_port = u64{2} << 16, on_access = u64{3} << 16;
constexpr u64 frame = kernel_stack - 0x100 - 0x28;  // of an event at CPL 0: RIP, CS, RFLAGS
constexpr u64 rf = 0x10000;

void code(Machine& m, u64 at, std::initializer_list<u8> bytes) {
    for (const u8 byte : bytes) m.put<u8>(at++, byte);
}

void watch(Cpu& c, u64 address, u64 dr7) {
    c.dr[0] = address;
    c.dr7 = 0x400 | dr7;
    flush_translations(c);
}

/// Runs to the HLT of #DB's handler, or to the code's own.
bool traps(Machine& m) {
    code(m, handler_of(1), {0xf4});
    EXPECT_EQ(run(m.c, now(m.c) + 100), RunOutcome::halted);
    return m.c.rip == handler_of(1) + 1;
}

using Bytes = std::initializer_list<u8>;
constexpr Bytes mov_to_memory{0x88, 0x04, 0x25, 0x00, 0x10, 0x01, 0x00};    // MOV [11000H], AL
constexpr Bytes mov_from_memory{0x8a, 0x04, 0x25, 0x00, 0x10, 0x01, 0x00};  // MOV AL, [11000H]
constexpr Bytes nop_hlt{0x90, 0xf4};

/// What runs, piece by piece.
void program(Machine& m, std::initializer_list<Bytes> pieces) {
    u64 at = code_rip;
    for (const Bytes piece : pieces) {
        code(m, at, piece);
        at += piece.size();
    }
}

TEST(DataBreakpoint, OnWriteTrapsAfterTheStoreAndNotAfterTheLoad) {
    Machine m;
    watch(m.c, data_at, l0 | on_write);
    m.c.gpr[rax] = 0x77;
    program(m, {mov_from_memory, {0xb0, 0x77}, mov_to_memory, nop_hlt});
    ASSERT_TRUE(traps(m));
    EXPECT_EQ(m.c.dr6, 0xffff'0ff1u);
    EXPECT_EQ(m.word(frame), code_rip + 16);
    EXPECT_EQ(m.word(frame + 16) & rf, 0u);
    EXPECT_EQ(m.get<u8>(data_at), 0x77u);
}

TEST(DataBreakpoint, OnAccessTrapsAfterTheLoad) {
    Machine m;
    watch(m.c, data_at, l0 | on_access);
    program(m, {mov_from_memory, nop_hlt});
    ASSERT_TRUE(traps(m));
    EXPECT_EQ(m.word(frame), code_rip + 7);
}

TEST(DataBreakpoint, NeitherWithoutItsEnableBitNorOnAFetch) {
    Machine m;
    watch(m.c, data_at, on_access);
    program(m, {mov_to_memory, nop_hlt});
    EXPECT_FALSE(traps(m));

    Machine fetch;
    watch(fetch.c, code_rip, l0 | on_access);
    code(fetch, code_rip, {0x90, 0xf4});
    EXPECT_FALSE(traps(fetch));
}

TEST(DataBreakpoint, EachNumberHasItsOwnBitsInDr7AndDr6) {
    for (unsigned n = 0; n < 4; ++n) {
        for (const unsigned enable : {2 * n, 2 * n + 1}) {
            Machine m;
            m.c.dr[n] = data_at;
            m.c.dr7 = 0x400 | u64{1} << enable | u64{1} << (16 + 4 * n);
            program(m, {mov_to_memory, nop_hlt});
            ASSERT_TRUE(traps(m)) << n;
            EXPECT_EQ(m.c.dr6, 0xffff'0ff0u | u64{1} << n);
        }
    }
}

struct Overlap {
    u64 length_field;
    u64 address;  // in DR0
    u64 at;       // of the access
    unsigned size;
    bool hit;
};

TEST(DataBreakpoint, WatchesTheBytesOfItsAlignedLength) {
    constexpr Overlap overlaps[]{
        {0, 0x11005, 0x11005, 1, true},  {0, 0x11005, 0x11004, 1, false},
        {0, 0x11005, 0x11006, 1, false}, {0, 0x11005, 0x11000, 8, true},
        {0, 0x11005, 0x11001, 4, false}, {1, 0x11005, 0x11004, 1, true},
        {1, 0x11004, 0x11006, 1, false}, {3, 0x11004, 0x11007, 1, true},
        {3, 0x11004, 0x11008, 1, false}, {3, 0x11004, 0x11002, 2, false},
        {3, 0x11006, 0x11002, 4, true},  {2, 0x11008, 0x1100f, 1, true},
        {2, 0x11008, 0x11010, 8, false}, {2, 0x11008, 0x11001, 8, true},
        {0, 0x11000, 0x10ffc, 8, true},  {0, 0x11004, 0x10ffc, 8, false},
    };
    for (const Overlap& o : overlaps) {
        SCOPED_TRACE(testing::Message() << std::hex << o.address << ' ' << o.at);
        Machine m;
        watch(m.c, o.address, l0 | on_write | o.length_field << 18);
        EXPECT_TRUE(store(m.c, Gva{o.at}, o.size, 0).ok());
        EXPECT_EQ(m.c.event.watch_hits, o.hit ? 1u : 0u);
    }
}

TEST(DataBreakpoint, SeesWhatManyBytesAtOnceTouch) {
    Machine m;
    watch(m.c, data_at + 0x103, l0 | on_access);
    u8 bytes[512]{};
    EXPECT_TRUE(store_bytes(m.c, Gva{data_at + 0x104}, bytes, 512).ok());
    EXPECT_EQ(m.c.event.watch_hits, 0u);
    EXPECT_TRUE(load_bytes(m.c, Gva{data_at}, bytes, 512).ok());
    EXPECT_EQ(m.c.event.watch_hits, 1u);
}

TEST(DataBreakpoint, ArmedByCodeItCatchesAPageThatWasInUse) {
    Machine m;
    m.c.gpr[rax] = data_at;
    m.c.gpr[rbx] = 0x0001'0401;
    // MOV [11000H], AL twice; MOV DR0, RAX; MOV DR7, RBX; MOV [11000H], AL
    program(m, {mov_to_memory,
                mov_to_memory,
                {0x0f, 0x23, 0xc0, 0x0f, 0x23, 0xfb},
                mov_to_memory,
                nop_hlt});
    ASSERT_TRUE(traps(m));
    EXPECT_EQ(m.word(frame), code_rip + 27);
}

TEST(DataBreakpoint, AFaultDropsWhatItsInstructionHadMet) {
    Machine m;
    watch(m.c, data_at, l0 | on_access);
    m.c.gpr[rsp] = page_end_hole;
    m.map(page_end_hole - 0x1000, 0);
    m.gate(14, GateKind::interrupt, 1);
    code(m, handler_of(14), {0xf4});
    code(m, code_rip, {0xff, 0x34, 0x25, 0x00, 0x10, 0x01, 0x00});  // PUSH qword [11000H]
    EXPECT_FALSE(traps(m));
    EXPECT_EQ(m.c.rip, handler_of(14) + 1);
    EXPECT_EQ(m.c.dr6, 0xffff'0ff0u);
    EXPECT_EQ(m.c.event.pending_debug, 0u);
}

TEST(DataBreakpoint, InARepeatedStringTrapsBetweenIterationsWithRf) {
    Machine m;
    watch(m.c, data_at + 2, l0 | on_write);
    m.c.gpr[rdi] = data_at;
    m.c.gpr[rcx] = 10;
    code(m, code_rip, {0xf3, 0xaa, 0xf4});  // REP STOSB
    ASSERT_TRUE(traps(m));
    EXPECT_EQ(m.c.gpr[rcx], 7u);
    EXPECT_EQ(m.word(frame), code_rip);
    EXPECT_EQ(m.word(frame + 16) & rf, rf);
}

TEST(DataBreakpoint, InTheShadowOfMovSsWaitsForTheNextInstruction) {
    Machine m;
    watch(m.c, data_at, l0 | on_access);
    m.put<u16>(data_at, kernel_ss);
    // MOV SS, [11000H]; NOP; NOP
    code(m, code_rip, {0x8e, 0x14, 0x25, 0x00, 0x10, 0x01, 0x00, 0x90, 0x90, 0xf4});
    ASSERT_TRUE(traps(m));
    EXPECT_EQ(m.word(frame), code_rip + 8);
}

// SDM 3B, "Debug Status Register (DR6)".
TEST(DataBreakpoint, ClearsTheBitsOfOthersInDr6AndNothingElse) {
    Machine m;
    m.c.dr6 = 0xffff'6ff6;
    watch(m.c, data_at, l0 | on_write);
    program(m, {mov_to_memory, nop_hlt});
    ASSERT_TRUE(traps(m));
    EXPECT_EQ(m.c.dr6, 0xffff'6ff1u);
}

// SDM 3A, "Masking Exceptions and Interrupts When Switching Stacks": the single-step trap is lost,
// the data breakpoint waits.
TEST(SingleStep, OfMovSsIsLostIfAnInterruptInstructionFollows) {
    Machine m;
    set_rflags(m.c, 0x102);
    m.c.gpr[rax] = kernel_ss;
    code(m, code_rip, {0x8e, 0xd0, 0xf1});  // MOV SS, EAX; INT1
    ASSERT_TRUE(traps(m));
    EXPECT_EQ(m.word(frame), code_rip + 3);
    EXPECT_EQ(m.c.gpr[rsp], frame);
    EXPECT_EQ(m.c.dr6, 0xffff'0ff0u);
}

TEST(SingleStep, OfMovSsIsLostIfAFaultFollows) {
    Machine m;
    set_rflags(m.c, 0x102);
    m.c.gpr[rax] = kernel_ss;
    m.gate(6, GateKind::interrupt);
    code(m, handler_of(6), {0x90, 0xf4});
    code(m, code_rip, {0x8e, 0xd0, 0x0f, 0x0b});  // MOV SS, EAX; UD2
    EXPECT_FALSE(traps(m));
    EXPECT_EQ(m.c.rip, handler_of(6) + 2);
    EXPECT_EQ(m.c.dr6, 0xffff'0ff0u);
}

TEST(DataBreakpoint, OfMovSsTrapsAtTheHandlerOfAnInterruptInstruction) {
    Machine m;
    watch(m.c, data_at, l0 | on_access);
    m.put<u16>(data_at, kernel_ss);
    m.gate(3, GateKind::interrupt);
    code(m, handler_of(3), {0x90, 0xf4});
    code(m, code_rip, {0x8e, 0x14, 0x25, 0x00, 0x10, 0x01, 0x00, 0xcc});  // MOV SS, [11000H]; INT3
    ASSERT_TRUE(traps(m));
    EXPECT_EQ(m.c.dr6, 0xffff'0ff1u);
    EXPECT_EQ(m.word(m.c.gpr[rsp]), handler_of(3));
}

TEST(DataBreakpoint, OfMovSsIsOneTrapWithInt1) {
    Machine m;
    watch(m.c, data_at, l0 | on_access);
    m.put<u16>(data_at, kernel_ss);
    code(m, code_rip, {0x8e, 0x14, 0x25, 0x00, 0x10, 0x01, 0x00, 0xf1});  // MOV SS, [11000H]; INT1
    ASSERT_TRUE(traps(m));
    EXPECT_EQ(m.c.dr6, 0xffff'0ff1u);
    EXPECT_EQ(m.word(frame), code_rip + 8);
    EXPECT_EQ(m.c.gpr[rsp], frame);
}

TEST(DataBreakpoint, TogetherWithASingleStepIsOneTrap) {
    Machine m;
    watch(m.c, data_at, l0 | on_write);
    set_rflags(m.c, 0x102);
    program(m, {mov_to_memory, nop_hlt});
    ASSERT_TRUE(traps(m));
    EXPECT_EQ(m.c.dr6, 0xffff'4ff1u);
}

TEST(DataBreakpoint, ThatExitsReportsItsNumberAndLeavesDr6) {
    Machine m;
    m.as_guest();
    m.set(VmcsField::exception_bitmap, 1u << 1);
    watch(m.c, data_at, l0 | on_write);
    program(m, {mov_to_memory, nop_hlt});
    EXPECT_EQ(run(m.c, now(m.c) + 100), RunOutcome::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0u);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 1u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), code_rip + 7);
    EXPECT_EQ(m.c.dr6, 0xffff'0ff0u);
}

TEST(PortBreakpoint, TrapsAfterTheAccessAndOnlyWithDebugExtensions) {
    for (const bool extensions : {true, false}) {
        Machine m;
        m.c.cr4.set(Cr4::de, extensions);
        watch(m.c, 0x80, l0 | on_port);
        code(m, code_rip, {0xe6, 0x81, 0xe6, 0x80, 0x90, 0xf4});  // OUT 81H; OUT 80H
        EXPECT_EQ(traps(m), extensions);
        EXPECT_EQ(m.word(frame), extensions ? code_rip + 4 : 0);
    }
}

TEST(InstructionBreakpoint, FaultsBeforeTheInstructionWithRfAsItWas) {
    Machine m;
    watch(m.c, code_rip + 1, l0);
    code(m, code_rip, {0x90, 0xb0, 0x77, 0xf4});
    ASSERT_TRUE(traps(m));
    EXPECT_EQ(m.c.dr6, 0xffff'0ff1u);
    EXPECT_EQ(m.word(frame), code_rip + 1);
    EXPECT_EQ(m.word(frame + 16) & rf, 0u);
    EXPECT_NE(m.c.gpr[rax] & 0xff, 0x77u);
}

TEST(InstructionBreakpoint, IsPassedByAHandlerThatSetsRf) {
    Machine m;
    watch(m.c, code_rip + 1, l0);
    // OR dword [RSP + 16], 10000H; INC RBX; IRETQ
    code(m, handler_of(1), {0x81, 0x4c, 0x24, 0x10, 0, 0, 1, 0, 0x48, 0xff, 0xc3, 0x48, 0xcf});
    code(m, code_rip, {0x90, 0x90, 0x90, 0xf4});
    EXPECT_EQ(run(m.c, now(m.c) + 100), RunOutcome::halted);
    EXPECT_EQ(m.c.rip, code_rip + 4);
    EXPECT_EQ(m.c.gpr[rbx], 1u);
    EXPECT_EQ(rflags(m.c) & rf, 0u);
}

TEST(InstructionBreakpoint, OnARepeatedInstructionFaultsOnce) {
    Machine m;
    watch(m.c, code_rip, l0);
    m.c.gpr[rdi] = data_at;
    m.c.gpr[rcx] = 5;
    code(m, handler_of(1), {0x81, 0x4c, 0x24, 0x10, 0, 0, 1, 0, 0x48, 0xff, 0xc3, 0x48, 0xcf});
    code(m, code_rip, {0xf3, 0xaa, 0xf4});
    EXPECT_EQ(run(m.c, now(m.c) + 100), RunOutcome::halted);
    EXPECT_EQ(m.c.gpr[rbx], 1u);
    EXPECT_EQ(m.c.gpr[rcx], 0u);
}

TEST(InstructionBreakpoint, AfterMovSsIsSuppressed) {
    Machine m;
    watch(m.c, code_rip + 2, l0);
    m.c.gpr[rax] = kernel_ss;
    code(m, code_rip, {0x8e, 0xd0, 0x90, 0xf4});  // MOV SS, EAX; NOP
    EXPECT_FALSE(traps(m));
}

TEST(InstructionBreakpoint, ThatExitsSavesRfAsItWas) {
    Machine m;
    m.as_guest();
    m.set(VmcsField::exception_bitmap, 1u << 1);
    watch(m.c, code_rip, l0);
    EXPECT_EQ(run(m.c, now(m.c) + 100), RunOutcome::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 1u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), code_rip);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rflags) & rf, 0u);
}

TEST(Breakpoints, CostNothingWhileNoneIsEnabled) {
    Machine m;
    m.c.dr[0] = data_at;
    m.c.dr7 = 0x400 | on_write;
    EXPECT_FALSE(must_step(m.c));
    EXPECT_TRUE(fill_tlb(m.c, Gva{data_at}, Access::write, 8));
    watch(m.c, data_at, l0 | on_write);
    EXPECT_TRUE(must_step(m.c));
    EXPECT_FALSE(fill_tlb(m.c, Gva{data_at + 8}, Access::write, 8));
    EXPECT_FALSE(fill_tlb(m.c, Gva{data_at + 8}, Access::read, 8));
    EXPECT_TRUE(fill_tlb(m.c, Gva{data_at + 0x1000}, Access::write, 8));
}

// Enclaves. Data in ELRANGE at 4000H, the stack outside.

constexpr u64 enclave_data = sgx::elrange + sgx::data_offset;

u64 hits_of_store(Cpu& c, u64 at) {
    c.event.watch_hits = 0;
    EXPECT_TRUE(store(c, Gva{at}, 8, 0).ok());
    return c.event.watch_hits;
}

TEST(EnclaveBreakpoint, OptOutSuppressesDataBreakpointsInElrangeOnly) {
    Inside m;
    watch(m.c, enclave_data, l0 | on_write);
    EXPECT_EQ(hits_of_store(m.c, enclave_data), 0u);
    watch(m.c, outer_rsp, l0 | on_write);
    EXPECT_EQ(hits_of_store(m.c, outer_rsp), 1u);
}

TEST(EnclaveBreakpoint, OptInSuppressesNoDataBreakpoint) {
    Inside m{true};
    watch(m.c, enclave_data, l0 | on_write);
    EXPECT_EQ(hits_of_store(m.c, enclave_data), 1u);
    watch(m.c, outer_rsp, l0 | on_write);
    EXPECT_EQ(hits_of_store(m.c, outer_rsp), 1u);
}

TEST(EnclaveBreakpoint, DataBreakpointOutsideElrangeInterruptsAnOptOutEnclave) {
    Inside m;
    m.set(VmcsField::exception_bitmap, 1u << 1);
    m.c.gpr[rbx] = outer_rsp;
    m.enclave_code({0x88, 0x03, 0x90});  // MOV [RBX], AL; NOP
    watch(m.c, outer_rsp, l0 | on_write);
    ASSERT_EQ(run(m.c, now(m.c) + 10), RunOutcome::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0x0800'0000u);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 1u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), sgx::aep);
    EXPECT_EQ(m.gprsgx().rip, inside_rip + 2);
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0x8000'0301u);
}

TEST(EnclaveBreakpoint, InstructionBreakpointsWorkOnlyAfterAnOptInEntry) {
    for (const bool opt_in : {true, false}) {
        Inside m{opt_in};
        m.set(VmcsField::exception_bitmap, 1u << 1);
        m.enclave_code({0x90, 0x90, 0x90, 0x90, 0x90});
        watch(m.c, inside_rip + 1, l0);
        EXPECT_EQ(run(m.c, now(m.c) + 4), opt_in ? RunOutcome::vm_exit : RunOutcome::time);
        if (!opt_in) continue;
        EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0x0800'0000u);
        EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 1u);
        EXPECT_EQ(m.gprsgx().rip, inside_rip + 1);
        EXPECT_EQ(m.gprsgx().rflags & rf, 0u);
        EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0x8000'0301u);
    }
}

TEST(EnclaveBreakpoint, OneAtTheAepWorksOnceTheEnclaveIsLeft) {
    Inside m;
    watch(m.c, sgx::aep, l0);
    EXPECT_EQ(instruction_breakpoints(m.c), 0u);
    sgx::asynchronous_exit(m.c, {});
    EXPECT_EQ(instruction_breakpoints(m.c), 1u);
}

TEST(EnclaveBreakpoint, LeavesSeeThoseOfOrdinaryOperandsAndNotThoseOfTheEpc) {
    sgx::EnclaveMachine m;
    m.build();
    m.prepare_einit();
    watch(m.c, sgx::sigstruct_at, l0 | on_access);
    EXPECT_TRUE(m.einit().ok());
    EXPECT_EQ(m.c.event.watch_hits, 1u);
    m.c.event.watch_hits = 0;
    watch(m.c, sgx::window_of(sgx::data_page), l0 | on_access);
    EXPECT_TRUE(m.encls(EnclsLeaf::edbgwr, 7, sgx::window_of(sgx::data_page)).ok());
    EXPECT_EQ(m.c.event.watch_hits, 0u);
}

}  // namespace
}  // namespace postern::cpu
