// SPDX-License-Identifier: Apache-2.0
// Asynchronous exit and ERESUME: what is saved, what is left, what comes back. The expectations
// are the manual's table of synthetic state, written out.
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "arch/vmx/controls.h"
#include "cpu/flags.h"
#include "cpu/x87/unit.h"
#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx {
namespace {

constexpr u64 inside_rip = elrange + code_offset + 0x123;
constexpr u64 status_flags = 0x8d5;
// DF, NT, AC, ID, IF, IOPL 3 and every status flag.
constexpr u64 inside_flags = 0x0024'7e02 | status_flags;

/// Enters with recognisable values outside, then sets recognisable values inside.
void run_inside(EnclaveMachine& m) {
    m.build_and_initialise();
    m.c.segment[fs] = {0x2b, 0, 0xc0f3, 0xffff'ffff, 0, 0x7000};
    m.c.segment[gs] = {0x63, 0, 0xc0f1, 0xfff, 0, 0x7100};
    m.c.gpr[rsp] = 0xe000;
    m.c.gpr[rbp] = 0xe100;
    ASSERT_TRUE(m.eenter().ok());
    m.c.rip = inside_rip;
    for (unsigned n = 0; n < gpr_count; ++n) m.c.gpr[n] = 0x1000 + n;
    m.c.segment[fs].base = m.c.gpr[row_fs_base] = 0x1234'5000;  // WRFSBASE
    m.c.segment[gs].base = m.c.gpr[row_gs_base] = 0x1234'6000;
    set_rflags(m.c, inside_flags);
    m.c.vector.mxcsr = 0x7fbf;
    m.c.vector.x87.fcw = 0x0f40 | 0x3f;
    m.c.vector.x87.fsw = 0x3800;
    m.c.vector.x87.tag = 0xa5;
    for (unsigned n = 0; n < 8; ++n) m.c.vector.x87.st[n].fill(static_cast<u8>(0x20 + n));
    for (auto& st : m.c.vector.x87.st) std::memset(st.data() + 10, 0, 6);
    for (unsigned n = 0; n < 16; ++n) m.c.vector.zmm[n].bytes.fill(static_cast<u8>(0x60 + n));
}

u16 word_at(EnclaveMachine& m, u64 offset) { return m.xsave<u16>(offset); }

TEST(Aex, FetchesTheX87StateFromTheHostsUnit) {
    EnclaveMachine m;
    run_inside(m);
    ASSERT_TRUE(prepare_x87(m.c).ok());
    m.c.vector.x87.st = {};  // what is left here is old
    m.c.vector.x87.fsw = 0;
    asynchronous_exit(m.c, {});
    EXPECT_EQ(m.c.x87_unit, X87Unit::absent);
    EXPECT_EQ(word_at(m, 0), 0x0f7f);
    EXPECT_EQ(word_at(m, 2), 0x3800);
    EXPECT_EQ(m.xsave<u8>(32 + 16 * 3 + 9), 0x23);
    EXPECT_EQ(m.c.vector.x87.fcw, 0x037f);
}

TEST(Aex, SavesEveryRegisterIntoTheSsaFrame) {
    EnclaveMachine m;
    run_inside(m);
    asynchronous_exit(m.c, {});

    const Gprsgx& s = m.gprsgx();
    EXPECT_EQ(s.rax, 0x1000u);
    EXPECT_EQ(s.rcx, 0x1001u);
    EXPECT_EQ(s.rdx, 0x1002u);
    EXPECT_EQ(s.rbx, 0x1003u);
    EXPECT_EQ(s.rsp, 0x1004u);
    EXPECT_EQ(s.rbp, 0x1005u);
    EXPECT_EQ(s.rsi, 0x1006u);
    EXPECT_EQ(s.rdi, 0x1007u);
    EXPECT_EQ(s.r8, 0x1008u);
    EXPECT_EQ(s.r9, 0x1009u);
    EXPECT_EQ(s.r10, 0x100au);
    EXPECT_EQ(s.r11, 0x100bu);
    EXPECT_EQ(s.r12, 0x100cu);
    EXPECT_EQ(s.r13, 0x100du);
    EXPECT_EQ(s.r14, 0x100eu);
    EXPECT_EQ(s.r15, 0x100fu);
    EXPECT_EQ(s.rip, inside_rip);
    EXPECT_EQ(s.rflags, inside_flags);
    EXPECT_EQ(s.fsbase, 0x1234'5000u);
    EXPECT_EQ(s.gsbase, 0x1234'6000u);
    EXPECT_EQ(s.ursp, 0xe000u);
    EXPECT_EQ(s.urbp, 0xe100u);

    EXPECT_EQ(word_at(m, 0), 0x0f7f);
    EXPECT_EQ(word_at(m, 2), 0x3800);
    EXPECT_EQ(word_at(m, 4), 0xa5);
    EXPECT_EQ(m.xsave<u32>(24), 0x7fbfu);
    EXPECT_EQ(m.xsave<u64>(32), 0x2020'2020'2020'2020u);
    EXPECT_EQ(m.xsave<u64>(32 + 7 * 16), 0x2727'2727'2727'2727u);
    EXPECT_EQ(m.xsave<u64>(160), 0x6060'6060'6060'6060u);
    EXPECT_EQ(m.xsave<u64>(160 + 15 * 16 + 8), 0x6f6f'6f6f'6f6f'6f6fu);
    EXPECT_EQ(m.xsave<u64>(512), 3u);
    EXPECT_EQ(m.xsave<u64>(520), 0u);
    EXPECT_EQ(m.xsave<u64>(528), 0u);
}

TEST(Aex, ZeroesTheXsaveHeaderThatTheEnclaveSpoiled) {
    EnclaveMachine m;
    run_inside(m);
    m.xsave<u64>(520) = m.xsave<u64>(528) = ~u64{0};
    asynchronous_exit(m.c, {});
    EXPECT_EQ(m.xsave<u64>(520), 0u);
    EXPECT_EQ(m.xsave<u64>(528), 0u);
}

TEST(Aex, LeavesTheSyntheticState) {
    EnclaveMachine m;
    run_inside(m);
    m.c.cr2 = 0xabc'def8;
    asynchronous_exit(m.c, {});

    EXPECT_EQ(m.c.rip, aep);
    EXPECT_EQ(m.c.gpr[rax], 3u);
    EXPECT_EQ(m.c.gpr[rbx], elrange + tcs_offset);
    EXPECT_EQ(m.c.gpr[rcx], aep);
    EXPECT_EQ(m.c.gpr[rdx], 0u);
    EXPECT_EQ(m.c.gpr[rsi], 0u);
    EXPECT_EQ(m.c.gpr[rdi], 0u);
    EXPECT_EQ(m.c.gpr[rsp], 0xe000u);
    EXPECT_EQ(m.c.gpr[rbp], 0xe100u);
    for (unsigned n = r8; n <= r15; ++n) EXPECT_EQ(m.c.gpr[n], 0u) << n;
    // DF, NT, AC, ID, IF and IOPL stay.
    EXPECT_EQ(rflags(m.c), inside_flags & ~status_flags);
    EXPECT_EQ(m.c.vector.x87.fcw, 0x037f);
    EXPECT_EQ(m.c.vector.x87.fsw, 0);
    EXPECT_EQ(m.c.vector.x87.tag, 0);
    EXPECT_EQ(m.c.vector.mxcsr, 0x1fb0u);
    for (unsigned n = 0; n < 8; ++n)
        for (const u8 byte : m.c.vector.x87.st[n]) EXPECT_EQ(byte, 0) << n;
    for (unsigned n = 0; n < 16; ++n)
        for (unsigned b = 0; b < 16; ++b) EXPECT_EQ(m.c.vector.zmm[n].bytes[b], 0) << n;
    EXPECT_EQ(m.c.segment[fs], (Segment{0x2b, 0, 0xc0f3, 0xffff'ffff, 0, 0x7000}));
    EXPECT_EQ(m.c.segment[gs], (Segment{0x63, 0, 0xc0f1, 0xfff, 0, 0x7100}));
    EXPECT_EQ(m.c.gpr[row_fs_base], 0x7000u);
    EXPECT_EQ(m.c.gpr[row_gs_base], 0x7100u);
    EXPECT_EQ(m.c.xcr0, 7u);
    EXPECT_EQ(m.c.cr2, 0xabc'def8u);
    EXPECT_EQ(m.c.cpl, 3u);
    EXPECT_FALSE(m.c.enclave.active);
    EXPECT_EQ(m.c.tlb, &m.c.tlbs[tlb_user]);
    EXPECT_EQ(m.tcs().cssa, 1u);
    EXPECT_EQ(m.tcs().state, TcsState::inactive);
    EXPECT_EQ(m.epc.hidden(secs_page).active_threads, 0u);
}

TEST(Aex, WithXfrm3LeavesTheUpperHalvesOfYmmAlone) {
    EnclaveMachine m;
    run_inside(m);
    asynchronous_exit(m.c, {});
    EXPECT_EQ(m.c.vector.zmm[5].bytes[16], 0x65);
    EXPECT_EQ(m.c.vector.zmm[20].bytes[0], 0);
}

TEST(Aex, WithAvxInXfrmSavesAndClearsTheUpperHalves) {
    EnclaveMachine m;
    m.build_and_initialise();
    m.secs().attributes.xfrm.set(Xcr0::avx);
    ASSERT_TRUE(m.eenter().ok());
    EXPECT_EQ(m.c.xcr0, 7u);
    m.c.rip = inside_rip;
    for (unsigned n = 0; n < 16; ++n) m.c.vector.zmm[n].bytes.fill(static_cast<u8>(0x60 + n));
    asynchronous_exit(m.c, {});
    EXPECT_EQ(m.xsave<u64>(512), 7u);
    EXPECT_EQ(m.xsave<u64>(576), 0x6060'6060'6060'6060u);
    EXPECT_EQ(m.xsave<u64>(576 + 15 * 16 + 8), 0x6f6f'6f6f'6f6f'6f6fu);
    EXPECT_EQ(m.c.vector.zmm[15].bytes[31], 0);
    EXPECT_EQ(m.c.vector.zmm[15].bytes[32], 0x6f);

    ASSERT_TRUE(m.eresume().ok());
    EXPECT_EQ(m.c.vector.zmm[15].bytes[31], 0x6f);
    EXPECT_EQ(m.c.vector.zmm[0].bytes[16], 0x60);
}

TEST(Aex, KeepsTfOutOfTheSsaAndBringsTheOuterOneBack) {
    EnclaveMachine m;
    m.build_and_initialise();
    m.c.flags.set(Rflag::tf);
    ASSERT_TRUE(m.eenter().ok());
    asynchronous_exit(m.c, {});
    EXPECT_TRUE(m.c.flags.has(Rflag::tf));
    EXPECT_EQ(m.gprsgx().rflags & 0x100, 0u);
    EXPECT_FALSE(m.c.event.trap_pending);
}

TEST(Aex, AfterOptInLeavesTfAsItIsAndSavesItAsZero) {
    EnclaveMachine m;
    m.build_and_initialise();
    m.tcs().flags = {TcsFlag::dbgoptin};
    ASSERT_TRUE(m.eenter().ok());
    m.c.flags.set(Rflag::tf);
    asynchronous_exit(m.c, {});
    EXPECT_TRUE(m.c.flags.has(Rflag::tf));
    EXPECT_EQ(m.gprsgx().rflags & 0x100, 0u);
}

TEST(Aex, SavesRfAsAFaultWouldPushItAndClearsIt) {
    constexpr u64 rf = 0x1'0000;
    EnclaveMachine fault;
    run_inside(fault);
    asynchronous_exit(fault.c, {.fault_like = true});
    EXPECT_EQ(fault.gprsgx().rflags & rf, rf);
    EXPECT_EQ(rflags(fault.c) & rf, 0u);

    EnclaveMachine trap;
    run_inside(trap);
    asynchronous_exit(trap.c, {.fault_like = false});
    EXPECT_EQ(trap.gprsgx().rflags & rf, 0u);

    EnclaveMachine resumed;
    run_inside(resumed);
    resumed.c.flags.set(Rflag::rf);
    asynchronous_exit(resumed.c, {.fault_like = false});
    EXPECT_EQ(resumed.gprsgx().rflags & rf, rf);
    EXPECT_EQ(rflags(resumed.c) & rf, 0u);
}

TEST(Aex, MakesAnMtfExitPendingIfTheControlAsksForIt) {
    EnclaveMachine m;
    run_inside(m);
    m.c.vmx.non_root = true;
    m.c.vmx.vmcs.set<VmcsField::primary_processor_based_controls>(
        PrimaryControls{PrimaryControl::monitor_trap_flag}.to_raw());
    asynchronous_exit(m.c, {});
    EXPECT_TRUE(m.c.event.mtf_pending);
}

TEST(Aex, WritesTheFrameThatWasCachedAtEntryWhateverThePageTablesSayNow) {
    EnclaveMachine m;
    run_inside(m);
    m.map(elrange + ssa_offset, 0, 0);
    m.map(elrange + tcs_offset, 0, 0);
    asynchronous_exit(m.c, {});
    EXPECT_EQ(m.gprsgx().rip, inside_rip);
    EXPECT_EQ(m.tcs().cssa, 1u);
}

constexpr ExitCause exception(Vector vector, u32 error_code = 0, u64 address = 0) {
    return {true, vector, error_code, address, true};
}

/// The frame's second page is another of the EPC than the one after the first.
void use_frame_of_two_pages(EnclaveMachine& m) {
    m.build_and_initialise();
    m.secs().ssaframesize = 2;
    m.tcs().nssa = 1;
    m.entry(9) = m.entry(ssa_page + 1);
    m.entry(ssa_page + 1) = {};
    m.map(elrange + ssa_offset + page_size, epc_physical + 9 * page_size, pte_p | pte_w | pte_u);
}

TEST(Aex, OfAFrameOfTwoPagesWritesRegistersToTheEndOfTheSecond) {
    EnclaveMachine m;
    use_frame_of_two_pages(m);
    m.c.gpr[rsp] = 0xe000;
    ASSERT_TRUE(m.eenter().ok());
    m.c.rip = inside_rip;
    m.c.gpr[rdx] = 0x1234;
    m.c.vector.mxcsr = 0x1f85;
    m.epc.at<u64>(4 * page_size - 184 + 136) = 0x5a;  // where RIP is in a frame of one page
    asynchronous_exit(m.c, exception(Vector::page_fault, 0x8007, elrange + 0x4567));
    const Gprsgx& s = m.epc.at<Gprsgx>(10 * page_size - 184);
    EXPECT_EQ(s.rip, inside_rip);
    EXPECT_EQ(s.rdx, 0x1234u);
    EXPECT_EQ(s.ursp, 0xe000u);
    EXPECT_EQ(s.exitinfo.to_raw(), 0x8000'030eu);
    EXPECT_EQ(m.epc.at<u64>(10 * page_size - 200), elrange + 0x4567);
    EXPECT_EQ(m.xsave<u32>(24), 0x1f85u);
    EXPECT_EQ(m.epc.at<u64>(4 * page_size - 184 + 136), 0x5au);
    ASSERT_TRUE(m.eresume().ok());
    EXPECT_EQ(m.c.next_rip, inside_rip);
    EXPECT_EQ(m.c.gpr[rdx], 0x1234u);
    EXPECT_EQ(m.c.vector.mxcsr, 0x1f85u);
}

TEST(Aex, EntryWantsBothPagesOfAFrame) {
    EnclaveMachine m;
    use_frame_of_two_pages(m);
    m.entry(9).blocked = true;
    EXPECT_FALSE(m.eenter().ok());
    EXPECT_EQ(pending_fault(m.c), pf(elrange + ssa_offset + page_size, sgx_fault(true, true)));
}

// EXITINFO and EXINFO.

struct Cause {
    const char* name;
    ExitCause cause;
    u32 exitinfo;          // with MISCSELECT.EXINFO
    u32 exitinfo_without;  // without it
};

class ExitinfoOf : public testing::TestWithParam<Cause> {};

u32 exitinfo_after(EnclaveMachine& m, const ExitCause& cause) {
    run_inside(m);
    m.gprsgx().exitinfo = Exitinfo::from_raw(0x8000'07ff);  // stale
    asynchronous_exit(m.c, cause);
    return m.gprsgx().exitinfo.to_raw();
}

TEST_P(ExitinfoOf, IsTheManuals) {
    EnclaveMachine m;
    EXPECT_EQ(exitinfo_after(m, GetParam().cause), GetParam().exitinfo);
}

TEST_P(ExitinfoOf, IsTheManualsWithoutExinfo) {
    EnclaveMachine m;
    m.build_and_initialise();
    m.secs().miscselect = {};
    ASSERT_TRUE(m.eenter().ok());
    m.gprsgx().exitinfo = Exitinfo::from_raw(0x8000'07ff);
    asynchronous_exit(m.c, GetParam().cause);
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), GetParam().exitinfo_without);
}

constexpr Cause causes[] = {
    {"DivideError", exception(Vector::divide_error), 0x8000'0300, 0x8000'0300},
    {"Debug", exception(Vector::debug), 0x8000'0301, 0x8000'0301},
    {"Breakpoint", exception(Vector::breakpoint), 0x8000'0603, 0x8000'0603},
    {"BoundRange", exception(Vector::bound_range), 0x8000'0305, 0x8000'0305},
    {"InvalidOpcode", exception(Vector::invalid_opcode), 0x8000'0306, 0x8000'0306},
    {"GeneralProtection", exception(Vector::general_protection), 0x8000'030d, 0},
    {"PageFault", exception(Vector::page_fault, 6, 0x4000'0008), 0x8000'030e, 0},
    {"X87", exception(Vector::x87_floating_point), 0x8000'0310, 0x8000'0310},
    {"AlignmentCheck", exception(Vector::alignment_check), 0x8000'0311, 0x8000'0311},
    {"Simd", exception(Vector::simd_floating_point), 0x8000'0313, 0x8000'0313},
    {"DeviceNotAvailable", exception(Vector::device_not_available), 0, 0},
    {"Overflow", exception(Vector::overflow), 0, 0},
    {"SegmentNotPresent", exception(Vector::segment_not_present), 0, 0},
    {"StackFault", exception(Vector::stack_fault), 0, 0},
    {"InvalidTss", exception(Vector::invalid_tss), 0, 0},
    {"DoubleFault", exception(Vector::double_fault), 0, 0},
    {"MachineCheck", exception(Vector::machine_check), 0, 0},
    {"VirtualizationException", exception(Vector::virtualization), 0, 0},
    {"ControlProtectionWithoutCpinfo", exception(Vector::control_protection), 0, 0},
    {"Interrupt", {}, 0, 0},
    {"InterruptWithAnExceptionsVector", {.vector = Vector::page_fault}, 0, 0},
};

INSTANTIATE_TEST_SUITE_P(Aex, ExitinfoOf, testing::ValuesIn(causes),
                         [](const auto& test) { return std::string{test.param.name}; });

TEST(Exinfo, OfAPageFaultHasTheWholeAddressAndTheErrorCode) {
    EnclaveMachine m;
    run_inside(m);
    m.exinfo() = {~u64{0}, ~0u, ~0u};
    asynchronous_exit(m.c, exception(Vector::page_fault, 0x8007, elrange + 0x4567));
    EXPECT_EQ(m.exinfo().maddr, elrange + 0x4567);
    EXPECT_EQ(m.exinfo().errcd, 0x8007u);
    EXPECT_EQ(m.exinfo().reserved_12, 0u);
}

TEST(Exinfo, OfAGeneralProtectionHasNoAddress) {
    EnclaveMachine m;
    run_inside(m);
    m.exinfo() = {~u64{0}, ~0u, ~0u};
    asynchronous_exit(m.c, exception(Vector::general_protection, 0x18, 0x999));
    EXPECT_EQ(m.exinfo().maddr, 0u);
    EXPECT_EQ(m.exinfo().errcd, 0x18u);
}

TEST(Exinfo, IsLeftAloneByOtherCausesAndBySupervisorFaults) {
    for (const ExitCause& cause : {ExitCause{}, exception(Vector::invalid_opcode),
                                   exception(Vector::page_fault, 0x2, 0x1000)}) {
        EnclaveMachine m;
        run_inside(m);
        m.exinfo() = {0x77, 0x88, 0};
        asynchronous_exit(m.c, cause);
        EXPECT_EQ(m.exinfo().maddr, 0x77u);
        EXPECT_EQ(m.exinfo().errcd, 0x88u);
    }
}

TEST(Exinfo, IsNotWrittenWithoutMiscselect) {
    EnclaveMachine m;
    m.build_and_initialise();
    m.secs().miscselect = {};
    ASSERT_TRUE(m.eenter().ok());
    m.exinfo() = {0x77, 0x88, 0};
    asynchronous_exit(m.c, exception(Vector::page_fault, 6, 0x1000));
    EXPECT_EQ(m.exinfo().maddr, 0x77u);
}

TEST(Aex, OnMfLeavesAnUnmaskedExceptionInTheX87State) {
    EnclaveMachine m;
    run_inside(m);
    asynchronous_exit(m.c, exception(Vector::x87_floating_point));
    EXPECT_EQ(m.c.vector.x87.fcw, 0x037e);
    EXPECT_EQ(m.c.vector.x87.fsw, 0x8081);
    EXPECT_EQ(m.c.vector.mxcsr, 0x1fb0u);
}

TEST(Aex, OnXmLeavesAnUnmaskedExceptionInMxcsr) {
    EnclaveMachine m;
    run_inside(m);
    asynchronous_exit(m.c, exception(Vector::simd_floating_point));
    EXPECT_EQ(m.c.vector.mxcsr, 0x1f01u);
    EXPECT_EQ(m.c.vector.x87.fcw, 0x037f);
    EXPECT_EQ(m.c.vector.x87.fsw, 0);
}

TEST(Aex, AnInterruptOfVector16Or19IsNoException) {
    EnclaveMachine m;
    run_inside(m);
    asynchronous_exit(m.c, {.vector = Vector::simd_floating_point});
    EXPECT_EQ(m.c.vector.mxcsr, 0x1fb0u);
}

// ERESUME.

TEST(Eresume, BringsBackEverythingThatTheAexSaved) {
    EnclaveMachine m;
    run_inside(m);
    asynchronous_exit(m.c, {.fault_like = true});
    // As the AEX left it: RAX = 3, RBX = TCS, RCX = AEP.
    m.c.next_rip = aep + 3;
    m.c.gpr[rsp] = 0xf000;  // the trampoline's business; the recorded stack does not follow
    ASSERT_TRUE(sgx::enclu(m.c).ok());

    for (unsigned n = 0; n < gpr_count; ++n) EXPECT_EQ(m.c.gpr[n], 0x1000 + n) << n;
    EXPECT_EQ(m.c.next_rip, inside_rip);
    EXPECT_EQ(rflags(m.c), inside_flags | 0x1'0000);
    EXPECT_EQ(m.c.segment[fs].base, 0x1234'5000u);
    EXPECT_EQ(m.c.segment[gs].base, 0x1234'6000u);
    EXPECT_EQ(m.c.gpr[row_fs_base], 0x1234'5000u);
    EXPECT_EQ(m.c.gpr[row_gs_base], 0x1234'6000u);
    EXPECT_EQ(m.c.segment[fs].selector, 0x0b);
    EXPECT_EQ(m.c.segment[fs].limit, 0xffffu);
    EXPECT_EQ(m.c.segment[gs].limit, 0x1'ffffu);
    EXPECT_EQ(m.c.vector.mxcsr, 0x7fbfu);
    EXPECT_EQ(m.c.vector.x87.fcw, 0x0f7f);
    EXPECT_EQ(m.c.vector.x87.fsw, 0x3800);
    EXPECT_EQ(m.c.vector.x87.tag, 0xa5);
    EXPECT_EQ(m.c.vector.x87.st[3][9], 0x23);
    for (unsigned n = 0; n < 16; ++n) EXPECT_EQ(m.c.vector.zmm[n].bytes[15], 0x60 + n) << n;
    EXPECT_EQ(m.c.xcr0, 3u);
    EXPECT_TRUE(m.c.enclave.active);
    EXPECT_EQ(m.c.tlb, &m.c.tlbs[tlb_enclave]);
    EXPECT_TRUE(m.c.event.resume_loaded);
    EXPECT_EQ(m.tcs().cssa, 0u);
    EXPECT_EQ(m.tcs().state, TcsState::active);
    EXPECT_EQ(m.tcs().aep, aep);
    EXPECT_EQ(m.gprsgx().ursp, 0xe000u);

    m.c.rip = m.c.next_rip;
    asynchronous_exit(m.c, {});
    EXPECT_EQ(m.c.gpr[rsp], 0xe000u);
    EXPECT_EQ(m.tcs().cssa, 1u);
}

TEST(Eresume, TakesANewAep) {
    EnclaveMachine m;
    run_inside(m);
    asynchronous_exit(m.c, {});
    ASSERT_TRUE(m.enclu(EncluLeaf::eresume, elrange + tcs_offset, 0xa000).ok());
    asynchronous_exit(m.c, {});
    EXPECT_EQ(m.c.rip, 0xa000u);
    EXPECT_EQ(m.c.gpr[rcx], 0xa000u);
}

TEST(Eresume, LoadsIfOnlyWithIopl3AndNeverIoplVifVipOrTf) {
    EnclaveMachine m;
    run_inside(m);
    asynchronous_exit(m.c, {});
    m.gprsgx().rflags = 0x200 | 0x3000 | 0x8'0000 | 0x10'0000 | 0x100 | 2;
    set_rflags(m.c, 0x2);
    ASSERT_TRUE(m.eresume().ok());
    EXPECT_EQ(rflags(m.c), 0x2u);

    EnclaveMachine n;
    run_inside(n);
    asynchronous_exit(n.c, {});
    n.gprsgx().rflags = 2;
    set_rflags(n.c, 0x3202 | 0x8'0000);
    ASSERT_TRUE(n.eresume().ok());
    EXPECT_EQ(rflags(n.c), 0x3002u | 0x8'0000);
}

TEST(Eresume, HidesTfAfterOptOutAndDropsItsTrapEvenAfterOptIn) {
    EnclaveMachine m;
    run_inside(m);
    asynchronous_exit(m.c, {});
    m.c.flags.set(Rflag::tf);
    ASSERT_TRUE(m.eresume().ok());
    EXPECT_FALSE(m.c.flags.has(Rflag::tf));
    EXPECT_TRUE(m.c.event.trap_inhibited);
    asynchronous_exit(m.c, {});
    EXPECT_TRUE(m.c.flags.has(Rflag::tf));

    m.tcs().flags = {TcsFlag::dbgoptin};
    m.c.event.trap_inhibited = false;
    ASSERT_TRUE(m.eresume().ok());
    EXPECT_TRUE(m.c.flags.has(Rflag::tf));
    EXPECT_TRUE(m.c.event.trap_inhibited);
}

TEST(Eresume, ComponentsMissingFromXstateBvGetTheirInitialState) {
    EnclaveMachine m;
    run_inside(m);
    asynchronous_exit(m.c, {});
    m.xsave<u64>(512) = 0;
    ASSERT_TRUE(m.eresume().ok());
    EXPECT_EQ(m.c.vector.x87.fcw, 0x037f);
    EXPECT_EQ(m.c.vector.x87.tag, 0);
    EXPECT_EQ(m.c.vector.zmm[3].bytes[0], 0);
    EXPECT_EQ(m.c.vector.mxcsr, 0x7fbfu);  // MXCSR comes from memory all the same
}

TEST(Eresume, WithoutOsxsaveTheHeaderIsNeitherWrittenNorRead) {
    EnclaveMachine m;
    m.build_and_initialise();
    m.c.cr4.set(Cr4::osxsave, false);
    m.xsave<u64>(512) = m.xsave<u64>(520) = 0x55;
    ASSERT_TRUE(m.eenter().ok());
    EXPECT_EQ(m.c.xcr0, 7u);
    m.c.rip = inside_rip;
    m.c.vector.zmm[2].bytes[3] = 0x42;
    asynchronous_exit(m.c, {});
    EXPECT_EQ(m.xsave<u64>(512), 0x55u);
    EXPECT_EQ(m.c.vector.zmm[2].bytes[3], 0);
    ASSERT_TRUE(m.eresume().ok());
    EXPECT_EQ(m.c.vector.zmm[2].bytes[3], 0x42);
    EXPECT_EQ(m.c.xcr0, 7u);
}

TEST(Eresume, OfTheInnerFrameLeavesTheOuterOneAlone) {
    EnclaveMachine m;
    run_inside(m);
    asynchronous_exit(m.c, {});
    ASSERT_TRUE(m.eenter().ok());
    m.c.rip = elrange + code_offset + 0x777;
    asynchronous_exit(m.c, {});
    EXPECT_EQ(m.tcs().cssa, 2u);
    EXPECT_EQ(m.gprsgx(0).rip, inside_rip);
    EXPECT_EQ(m.gprsgx(1).rip, elrange + code_offset + 0x777);
    ASSERT_TRUE(m.eresume().ok());
    EXPECT_EQ(m.c.next_rip, elrange + code_offset + 0x777);
    EXPECT_EQ(m.tcs().cssa, 1u);
}

}  // namespace
}  // namespace postern::cpu::sgx
