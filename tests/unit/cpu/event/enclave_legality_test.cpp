// SPDX-License-Identifier: Apache-2.0
// What instructions do inside an enclave: SDM 3D, "Illegal Instructions", and the rest of the
// system instructions, each run by the run loop with every exiting control on. The same bytes
// outside the enclave show which of them would have exited.
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "cpu/run.h"
#include "unit/cpu/event/inside.h"

namespace postern::cpu {
namespace {

enum class End : u8 { runs, exception, exit, other };

/// How an instruction ended: by its successor, in a handler, or in the hypervisor.
struct Ending {
    End end;
    u64 number = 0;  // vector, or exit reason
    friend bool operator==(const Ending&, const Ending&) = default;
};
void PrintTo(const Ending& r, std::ostream* os) {
    *os << (r.end == End::runs        ? "runs"
            : r.end == End::exception ? "exception "
            : r.end == End::exit      ? "exit "
                                      : "other ")
        << std::hex << r.number;
}

constexpr Ending runs{End::runs}, ud{End::exception, 6}, gp{End::exception, 13};
constexpr Ending exits(u64 reason) { return {End::exit, reason}; }
constexpr Ending exits_inside(u64 reason) { return {End::exit, 0x0800'0000 | reason}; }

struct Instruction {
    const char* name;
    std::vector<u8> bytes;
    Ending inside;   // after an opt-out entry
    Ending outside;  // at CPL 3, with the same controls
};

/// Exiting and enabling controls that act on instructions, all of them.
void ask_for_every_exit(Outside& m) {
    constexpr u32 hlt = 1u << 7, invlpg = 1u << 9, mwait = 1u << 10, rdpmc = 1u << 11,
                  rdtsc = 1u << 12, cr3 = 3u << 15, cr8 = 3u << 19, mov_dr = 1u << 23,
                  io = 1u << 24, monitor = 1u << 29, pause = 1u << 30, secondary = 1u << 31;
    constexpr u32 tables = 1u << 2, rdtscp = 1u << 3, wbinvd = 1u << 6, pause_loop = 1u << 10,
                  rdrand = 1u << 11, invpcid = 1u << 12, encls = 1u << 15, rdseed = 1u << 16,
                  xsaves = 1u << 20, user_wait = 1u << 26;
    m.set(VmcsField::primary_processor_based_controls, hlt | invlpg | mwait | rdpmc | rdtsc | cr3 |
                                                           cr8 | mov_dr | io | monitor | pause |
                                                           secondary);
    m.set(VmcsField::secondary_processor_based_controls, tables | rdtscp | wbinvd | pause_loop |
                                                             rdrand | invpcid | encls | rdseed |
                                                             xsaves | user_wait);
    m.set(VmcsField::encls_exiting_bitmap, ~u64{0});
}

/// RCX, RDX and RAX are 0, for XGETBV and WRPKRU; every handler loops.
void settle(Outside& m) {
    for (u64 n = 0; n < 256; ++n) m.at<u16>(0x10'0000 + 16 * n) = 0xfeeb;
    m.c.gpr[rax] = m.c.gpr[rcx] = m.c.gpr[rdx] = 0;
    m.c.cr4.set(Cr4::pke);
    m.c.cr4.set(Cr4::pce);
    m.c.cr4.set(Cr4::vmxe);
    flush_translations(m.c);
}

/// Runs the instruction at `at`, where the processor is.
Ending run_one(Outside& m, u64 at, size_t length) {
    const RunOutcome outcome = run(m.c, now(m.c) + 1);
    if (outcome == RunOutcome::vm_exit) return {End::exit, m.vmcs(VmcsField::exit_reason)};
    if (outcome == RunOutcome::unimplemented) return {End::other};
    if (m.c.rip == at + length) return runs;
    if (m.c.rip >= 0x10'0000 && m.c.rip < 0x10'1000)
        return {End::exception, (m.c.rip - 0x10'0000) / 16};
    return {End::other, m.c.rip};
}

void arrange_inside(Inside& m, const std::vector<u8>& bytes) {
    settle(m);
    std::ranges::copy(bytes, m.epc.page(sgx::code_page) + 0x10);
}

const Instruction instructions[] = {
    // Illegal: #UD, before any VM exit.
    {"CPUID", {0x0f, 0xa2}, ud, exits(10)},
    {"GETSEC", {0x0f, 0x37}, ud, ud},
    {"RDPMC", {0x0f, 0x33}, ud, exits(15)},
    {"SGDT", {0x0f, 0x01, 0x04, 0x24}, ud, exits(46)},
    {"SIDT", {0x0f, 0x01, 0x0c, 0x24}, ud, exits(46)},
    {"SLDT", {0x0f, 0x00, 0xc0}, ud, exits(47)},
    {"STR", {0x0f, 0x00, 0xc8}, ud, exits(47)},
    {"SMSW", {0x0f, 0x01, 0xe0}, ud, runs},
    {"VMCALL", {0x0f, 0x01, 0xc1}, ud, exits(18)},
    {"VMFUNC", {0x0f, 0x01, 0xd4}, ud, ud},
    {"INImmediate", {0xe4, 0x60}, ud, exits(30)},
    {"INDx", {0xed}, ud, exits(30)},
    {"OUTImmediate", {0xe6, 0x60}, ud, exits(30)},
    {"OUTDx", {0xee}, ud, exits(30)},
    {"INSB", {0x6c}, ud, exits(30)},
    {"INSD", {0x6d}, ud, exits(30)},
    {"REPINSB", {0xf3, 0x6c}, ud, runs},  // RCX = 0
    {"OUTSB", {0x6e}, ud, exits(30)},
    {"OUTSD", {0x6f}, ud, exits(30)},
    {"REPOUTSB", {0xf3, 0x6e}, ud, runs},
    {"CALLFar", {0xff, 0x1c, 0x24}, ud, gp},
    {"JMPFar", {0xff, 0x2c, 0x24}, ud, gp},
    {"RETFar", {0xcb}, ud, gp},
    {"RETFarImmediate", {0xca, 8, 0}, ud, gp},
    {"INTn", {0xcd, 0x80}, ud, gp},  // the gate's DPL is 0
    {"IRETD", {0xcf}, ud, gp},
    {"IRETQ", {0x48, 0xcf}, ud, gp},
    {"LFS", {0x0f, 0xb4, 0x04, 0x24}, ud, runs},
    {"LGS", {0x0f, 0xb5, 0x04, 0x24}, ud, runs},
    {"LSS", {0x0f, 0xb2, 0x04, 0x24}, ud, gp},
    {"MOVtoDS", {0x8e, 0xd8}, ud, runs},
    {"MOVtoES", {0x8e, 0xc0}, ud, runs},
    {"MOVtoSS", {0x8e, 0xd0}, ud, gp},
    {"MOVtoFS", {0x8e, 0xe0}, ud, runs},
    {"MOVtoGS", {0x8e, 0xe8}, ud, runs},
    {"POPFS", {0x0f, 0xa1}, ud, runs},
    {"POPGS", {0x0f, 0xa9}, ud, runs},
    {"SYSENTER", {0x0f, 0x34}, ud, gp},
    {"RDTSCWithoutSgx2", {0x0f, 0x31}, ud, exits(16)},
    {"RDTSCPWithoutSgx2", {0x0f, 0x01, 0xf9}, ud, exits(51)},
    {"ENCLS", {0x0f, 0x01, 0xcf}, ud, ud},
    {"ENCLV", {0x0f, 0x01, 0xc0}, ud, ud},
    {"INT3", {0xcc}, ud, gp},
    {"INT1", {0xf1}, ud, {End::exception, 1}},
    {"UIRET", {0xf3, 0x0f, 0x01, 0xec}, ud, ud},
    {"CLUI", {0xf3, 0x0f, 0x01, 0xee}, ud, ud},
    {"STUI", {0xf3, 0x0f, 0x01, 0xef}, ud, ud},
    // Privileged: what they are at CPL 3 anywhere.
    {"HLT", {0xf4}, gp, gp},
    {"CLTS", {0x0f, 0x06}, gp, gp},
    {"LGDT", {0x0f, 0x01, 0x14, 0x24}, gp, gp},
    {"LIDT", {0x0f, 0x01, 0x1c, 0x24}, gp, gp},
    {"LLDT", {0x0f, 0x00, 0xd0}, gp, gp},
    {"LTR", {0x0f, 0x00, 0xd8}, gp, gp},
    {"LMSW", {0x0f, 0x01, 0xf0}, gp, gp},
    {"MOVtoCR0", {0x0f, 0x22, 0xc0}, gp, gp},
    {"MOVfromCR0", {0x0f, 0x20, 0xc0}, gp, gp},
    {"MOVtoCR3", {0x0f, 0x22, 0xd8}, gp, gp},
    {"MOVfromCR8", {0x44, 0x0f, 0x20, 0xc0}, gp, gp},
    {"INVLPG", {0x0f, 0x01, 0x3c, 0x24}, gp, gp},
    {"INVPCID", {0x66, 0x0f, 0x38, 0x82, 0x04, 0x24}, gp, gp},
    {"INVD", {0x0f, 0x08}, gp, gp},
    {"WBINVD", {0x0f, 0x09}, gp, gp},
    {"RDMSR", {0x0f, 0x32}, gp, gp},
    {"WRMSR", {0x0f, 0x30}, gp, gp},
    {"SWAPGS", {0x0f, 0x01, 0xf8}, gp, gp},
    {"SYSRET", {0x48, 0x0f, 0x07}, gp, gp},
    {"SYSEXIT", {0x0f, 0x35}, gp, gp},
    {"XSETBV", {0x0f, 0x01, 0xd1}, gp, gp},
    {"XSAVES", {0x0f, 0xc7, 0x2c, 0x24}, gp, gp},
    {"XRSTORS", {0x0f, 0xc7, 0x1c, 0x24}, gp, gp},
    {"CLI", {0xfa}, gp, gp},
    {"STI", {0xfb}, gp, gp},
    {"MONITOR", {0x0f, 0x01, 0xc8}, ud, ud},
    {"MWAIT", {0x0f, 0x01, 0xc9}, ud, ud},
    {"CLAC", {0x0f, 0x01, 0xca}, ud, ud},
    {"STAC", {0x0f, 0x01, 0xcb}, ud, ud},
    {"RSM", {0x0f, 0xaa}, ud, ud},
    // Legal, without a control.
    {"XGETBV", {0x0f, 0x01, 0xd0}, runs, runs},
    {"RDFSBASE", {0xf3, 0x48, 0x0f, 0xae, 0xc0}, runs, runs},
    {"RDGSBASE", {0xf3, 0x48, 0x0f, 0xae, 0xc8}, runs, runs},
    {"WRFSBASE", {0xf3, 0x48, 0x0f, 0xae, 0xd0}, runs, runs},
    {"WRGSBASE", {0xf3, 0x48, 0x0f, 0xae, 0xd8}, runs, runs},
    {"RDPKRU", {0x0f, 0x01, 0xee}, runs, runs},
    {"WRPKRU", {0x0f, 0x01, 0xef}, runs, runs},
    {"MOVfromDS", {0x8c, 0xd8}, runs, runs},
    {"PUSHFS", {0x0f, 0xa0}, runs, runs},
    {"LAR", {0x0f, 0x02, 0xc0}, runs, runs},
    {"LSL", {0x0f, 0x03, 0xc0}, runs, runs},
    {"VERR", {0x0f, 0x00, 0xe0}, runs, runs},
    {"VERW", {0x0f, 0x00, 0xe8}, runs, runs},
    {"PUSHF", {0x9c}, runs, runs},
    {"FXSAVE", {0x0f, 0xae, 0x04, 0x24}, runs, runs},
    {"XSAVE", {0x0f, 0xae, 0x24, 0x24}, runs, runs},
    {"CLFLUSH", {0x0f, 0xae, 0x3c, 0x24}, runs, runs},
    {"UMONITOR", {0xf3, 0x0f, 0xae, 0xf0}, runs, runs},
    // Legal, and may exit: an AEX first.
    {"PAUSE", {0xf3, 0x90}, exits_inside(40), exits(40)},
    {"RDRAND", {0x0f, 0xc7, 0xf0}, exits_inside(57), exits(57)},
    {"RDSEED", {0x0f, 0xc7, 0xf8}, exits_inside(61), exits(61)},
    {"UMWAIT", {0xf2, 0x0f, 0xae, 0xf0}, exits_inside(67), exits(67)},
    {"TPAUSE", {0x66, 0x0f, 0xae, 0xf0}, exits_inside(68), exits(68)},
    // Not in the manual's list, and their exits come before the check of CPL.
    {"MOVfromDR0", {0x0f, 0x21, 0xc0}, exits_inside(29), exits(29)},
    {"MOVtoDR0", {0x0f, 0x23, 0xc0}, exits_inside(29), exits(29)},
    {"VMCLEAR", {0x66, 0x0f, 0xc7, 0x34, 0x24}, exits_inside(19), exits(19)},
    {"VMLAUNCH", {0x0f, 0x01, 0xc2}, exits_inside(20), exits(20)},
    {"VMPTRLD", {0x0f, 0xc7, 0x34, 0x24}, exits_inside(21), exits(21)},
    {"VMPTRST", {0x0f, 0xc7, 0x3c, 0x24}, exits_inside(22), exits(22)},
    {"VMREAD", {0x0f, 0x78, 0xc0}, exits_inside(23), exits(23)},
    {"VMRESUME", {0x0f, 0x01, 0xc3}, exits_inside(24), exits(24)},
    {"VMWRITE", {0x0f, 0x79, 0xc0}, exits_inside(25), exits(25)},
    {"VMXOFF", {0x0f, 0x01, 0xc4}, exits_inside(26), exits(26)},
    {"VMXON", {0xf3, 0x0f, 0xc7, 0x34, 0x24}, exits_inside(27), exits(27)},
    {"INVEPT", {0x66, 0x0f, 0x38, 0x80, 0x04, 0x24}, exits_inside(50), exits(50)},
    {"INVVPID", {0x66, 0x0f, 0x38, 0x81, 0x04, 0x24}, exits_inside(53), exits(53)},
};

class EnclaveLegality : public testing::TestWithParam<Instruction> {};
INSTANTIATE_TEST_SUITE_P(Enclave, EnclaveLegality, testing::ValuesIn(instructions),
                         [](const auto& test) { return std::string{test.param.name}; });

TEST_P(EnclaveLegality, IsAsTheTableSaysWithEveryExitAskedFor) {
    const Instruction& instruction = GetParam();
    Inside m;
    arrange_inside(m, instruction.bytes);
    ask_for_every_exit(m);
    EXPECT_EQ(run_one(m, inside_rip, instruction.bytes.size()), instruction.inside);
    if (instruction.inside == runs) {
        EXPECT_TRUE(m.c.enclave.active);
        return;
    }
    EXPECT_EQ(m.gprsgx().rip, inside_rip);
    const u32 exitinfo = instruction.inside == ud   ? 0x8000'0306
                         : instruction.inside == gp ? 0x8000'030d
                                                    : 0;
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), exitinfo);
    // Faults set RF; the exits of instructions do not.
    EXPECT_EQ(m.gprsgx().rflags & 0x1'0000, exitinfo != 0 ? 0x1'0000u : 0u);
    if (instruction.inside.end == End::exit)
        m.expect_synthetic(instruction.inside.number & 0xffff);
    else
        EXPECT_EQ(m.at<u64>(rsp0 - 0x28), sgx::aep);
}

TEST_P(EnclaveLegality, HasTheOutcomeOutsideThatShowsTheControlsWork) {
    const Instruction& instruction = GetParam();
    Outside m;
    settle(m);
    std::ranges::copy(instruction.bytes, &m.at<u8>(sgx::outside_rip));
    ask_for_every_exit(m);
    EXPECT_EQ(run_one(m, sgx::outside_rip, instruction.bytes.size()), instruction.outside);
}

Ending inside_result(Inside& m, const std::vector<u8>& bytes) {
    arrange_inside(m, bytes);
    return run_one(m, inside_rip, bytes.size());
}

TEST(EnclaveLegality, SyscallIsUd) {
    Inside m;
    ask_for_every_exit(m);
    EXPECT_EQ(inside_result(m, {0x0f, 0x05}), ud);
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0x8000'0306u);
}

/// And no control that exits.
void enable_rdtscp(Inside& m) {
    m.set(VmcsField::primary_processor_based_controls, 1u << 31);
    m.set(VmcsField::secondary_processor_based_controls, 1u << 3);
}

TEST(EnclaveLegality, WithSgx2TimeIsLegalAndMayExit) {
    for (const auto& [bytes, reason] :
         {std::pair{std::vector<u8>{0x0f, 0x31}, 16u}, {std::vector<u8>{0x0f, 0x01, 0xf9}, 51u}}) {
        Inside quiet;
        quiet.model.features.set(Feature::sgx2);
        enable_rdtscp(quiet);
        EXPECT_EQ(inside_result(quiet, bytes), runs);
        Inside exiting;
        exiting.model.features.set(Feature::sgx2);
        ask_for_every_exit(exiting);
        EXPECT_EQ(inside_result(exiting, bytes), exits_inside(reason));
        Inside forbidden;
        forbidden.model.features.set(Feature::sgx2);
        enable_rdtscp(forbidden);
        forbidden.c.cr4.set(Cr4::tsd);
        EXPECT_EQ(inside_result(forbidden, bytes), gp);
    }
}

TEST(EnclaveLegality, WithoutTheirControlsTheExitingInstructionsRun) {
    for (const auto& bytes :
         {std::vector<u8>{0xf3, 0x90}, {0x0f, 0xc7, 0xf0}, {0x0f, 0xc7, 0xf8}}) {
        Inside m;
        EXPECT_EQ(inside_result(m, bytes), runs);
    }
}

TEST(EnclaveLegality, PauseLoopExitingIsForCpl0) {
    Inside m;
    m.set(VmcsField::primary_processor_based_controls, 1u << 31);
    m.set(VmcsField::secondary_processor_based_controls, 1u << 10);
    m.set(VmcsField::ple_gap, 100);
    m.set(VmcsField::ple_window, 1);
    arrange_inside(m, {0xf3, 0x90, 0xeb, 0xfc});  // PAUSE; JMP to it
    EXPECT_EQ(run(m.c, now(m.c) + 100), RunOutcome::time);
    EXPECT_TRUE(m.c.enclave.active);
}

TEST(EnclaveLegality, ByChoiceVmxInstructionsAreUd) {
    Inside m;
    m.system.choices.vmx_instruction_in_enclave_is_ud = true;
    EXPECT_EQ(inside_result(m, {0x0f, 0x01, 0xc4}), ud);
}

TEST(EnclaveLegality, AfterAnOptInEntryInt3AndInt1AreFaultsOfTheirOwn) {
    Inside int3{true};
    EXPECT_EQ(inside_result(int3, {0xcc}), (Ending{End::exception, 3}));
    EXPECT_EQ(int3.gprsgx().rip, inside_rip);
    EXPECT_EQ(int3.gprsgx().exitinfo.to_raw(), 0x8000'0603u);
    Inside int1{true};
    EXPECT_EQ(inside_result(int1, {0xf1}), (Ending{End::exception, 1}));
    EXPECT_EQ(int1.gprsgx().rip, inside_rip);
    EXPECT_EQ(int1.gprsgx().exitinfo.to_raw(), 0x8000'0301u);
}

TEST(EnclaveLegality, XgetbvReturnsXfrm) {
    Inside m;
    EXPECT_EQ(inside_result(m, {0x0f, 0x01, 0xd0}), runs);
    EXPECT_EQ(m.c.gpr[rax], 3u);
    EXPECT_EQ(m.c.gpr[rdx], 0u);
}

TEST(EnclaveLegality, InstructionsOfComponentsThatXfrmLacksAreUd) {
    Inside m;                                                   // XCR0 has AVX outside
    EXPECT_EQ(inside_result(m, {0xc5, 0xfc, 0x57, 0xc0}), ud);  // VXORPS YMM0, YMM0, YMM0
}

TEST(EnclaveLegality, PopfSetsTfAfterAnOptInEntryOnly) {
    for (const bool opt_in : {false, true}) {
        Inside m{opt_in};
        m.at<u64>(outer_rsp) = 0x102;
        EXPECT_EQ(inside_result(m, {0x9d}), runs);
        EXPECT_EQ(m.c.flags.has(Rflag::tf), opt_in);
    }
}

TEST(EnclaveLegality, WrittenSegmentBasesLastOverAnAexAndEresume) {
    Inside m;
    m.c.gpr[rax] = 0;
    arrange_inside(m, {0xf3, 0x48, 0x0f, 0xae, 0xd2, 0x0f, 0x0b});  // WRFSBASE RDX; UD2
    m.c.gpr[rdx] = 0x1234'5000;
    EXPECT_EQ(run(m.c, now(m.c) + 2), RunOutcome::time);
    EXPECT_EQ(m.gprsgx().fsbase, 0x1234'5000u);
    EXPECT_EQ(m.c.segment[fs].base, 0u);
}

}  // namespace
}  // namespace postern::cpu
