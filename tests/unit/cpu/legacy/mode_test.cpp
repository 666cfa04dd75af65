// SPDX-License-Identifier: Apache-2.0
// What instruction tests cannot show of the modes other than 64-bit mode: what is refused, the same
// bytes in two modes, blocks at the end of a code segment.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "cpu/mode.h"
#include "cpu/sgx/epc.h"
#include "support/guest_code.h"

namespace postern::cpu {
namespace {

using Code = std::vector<u8>;

struct Legacy : testing::Test {
    GuestCode m;
    Cpu& c = m.c;

    GuestStop run_in(GuestMode mode, const Code& code, u64 limit = 1000) {
        m.set_mode(mode);
        m.set_plain_state(guest_at::code);
        m.write(guest_at::code, code);
        return m.run(limit);
    }
};

TEST_F(Legacy, CodeAddressesAreOfThirtyTwoBits) {
    m.set_mode(GuestMode::protected32);
    c.segment[cs].base = 0xffff'0000;
    EXPECT_EQ(code_linear(c, 0x2'0000), 0x1'0000u);
    EXPECT_FALSE(in_64_bit_mode(c));
}

TEST_F(Legacy, TheSameBytesAreOtherInstructionsInOtherModes) {
    // 64-bit mode: lea rax, [rax + 1]; elsewhere: dec eax; lea eax, [eax + 1].
    const Code code{0x48, 0x8d, 0x40, 0x01, 0xf4};
    m.set_plain_state(guest_at::code);
    m.write(guest_at::code, code);
    c.gpr[rax] = 5;
    EXPECT_EQ(m.run(1000).state.gpr[rax], 6u);
    m.set_mode(GuestMode::compat32);
    m.set_plain_state(guest_at::code);
    c.gpr[rax] = 5;
    const GuestStop stop = m.run(1000);
    EXPECT_EQ(stop.state.gpr[rax], 5u);
    EXPECT_EQ(stop.instructions, 2u);
}

TEST_F(Legacy, AMemoryOperandTakesNoTime) {
    // add eax, [20000H]; add [20000H], eax; hlt
    const Code code{0x03, 0x05, 0, 0, 2, 0, 0x01, 0x05, 0, 0, 2, 0, 0xf4};
    EXPECT_EQ(run_in(GuestMode::protected32, code).instructions, 2u);
}

TEST_F(Legacy, AnInstructionMayEndAtTheLimitButNotBeyond) {
    m.set_mode(GuestMode::protected32);
    m.set_plain_state(guest_at::code);
    // inc eax; mov ecx, 1; hlt
    m.write(guest_at::code, Code{0x40, 0xb9, 1, 0, 0, 0, 0xf4});
    c.segment[cs].limit = guest_at::code + 4;  // one byte short for MOV
    c.gpr[rax] = 1;
    const GuestStop stop = m.run(1000);
    ASSERT_TRUE(stop.fault.has_value());
    EXPECT_EQ(stop.fault->vector, Vector::general_protection);
    EXPECT_EQ(stop.fault->error_code, 0u);
    EXPECT_EQ(stop.state.rip, guest_at::code + 1);
    EXPECT_EQ(stop.state.gpr[rax], 2u);
    EXPECT_EQ(stop.instructions, 1u);
}

TEST_F(Legacy, ACachedBlockIsCutWhenTheLimitHasShrunk) {
    m.set_mode(GuestMode::protected32);
    const Code code{0x40, 0x40, 0x40, 0xf4};  // three times inc eax; hlt
    m.write(guest_at::code, code);
    m.set_plain_state(guest_at::code);
    EXPECT_EQ(m.run(1000).instructions, 3u);
    m.set_plain_state(guest_at::code);
    c.segment[cs].limit = guest_at::code + 1;
    const GuestStop stop = m.run(1000);
    ASSERT_TRUE(stop.fault.has_value());
    EXPECT_EQ(stop.state.rip, guest_at::code + 2);
}

TEST_F(Legacy, AnInstructionBreakpointIsMetAtTheLinearAddress) {
    m.set_mode(GuestMode::real16);
    m.set_plain_state(guest_at::code);
    m.write(guest_at::code, Code{0x90, 0x90, 0x90, 0xf4});
    c.dr[0] = guest_at::code + 2;
    c.dr7 |= 1;  // L0, execution
    const GuestStop stop = m.run(1000);
    ASSERT_TRUE(stop.fault.has_value());
    EXPECT_EQ(stop.fault->vector, Vector::debug);
    EXPECT_EQ(stop.state.rip, 2u);
}

TEST_F(Legacy, RealModeExceptionsHaveNoErrorCode) {
    run_in(GuestMode::real16, {0x8a, 0x07, 0xf4});  // mov al, [bx]
    m.set_plain_state(guest_at::code);
    c.segment[ds].limit = 0;
    c.gpr[rbx] = 1;
    const GuestStop stop = m.run(1000);
    ASSERT_TRUE(stop.fault.has_value());
    EXPECT_EQ(stop.fault->vector, Vector::general_protection);
    EXPECT_FALSE(c.pending.has_error_code);
    EXPECT_EQ(stop.state.gpr[rsp] + c.segment[ss].base, guest_at::stack - 0x1000);
}

TEST_F(Legacy, AStackOfFourGigabytesIsOfSixteenBitsOnlyByItsBBit) {
    // push eax, with SS.B = 0
    m.set_mode(GuestMode::protected32);
    m.set_plain_state(guest_at::code);
    m.write(guest_at::code, Code{0x50, 0xf4});
    c.segment[ss].access_rights &= ~0x4000u;
    c.gpr[rsp] = 0x5'0000;
    c.gpr[rax] = 0x1234'5678;
    EXPECT_EQ(m.run(1000).state.gpr[rsp], 0x5'fffcu);
    EXPECT_EQ(m.at<u32>(0xfffc), 0x1234'5678u);
}

/// With an EPC, so that SGX is there.
struct LegacySgx : Legacy {
    struct alignas(page_size) Page {
        u8 byte[page_size];
    };
    std::vector<Page> pages = std::vector<Page>(2);
    Epc epc{0x1'4000'0000, pages.front().byte, pages.size() * page_size};
    const Code encls{0x0f, 0x01, 0xcf}, enclu{0x0f, 0x01, 0xd7};

    LegacySgx() { m.system.epc = &epc; }
    void enable() { c.msr.feature_control = 0x4'0001; }  // locked, SGX enabled
    Vector fault_in(GuestMode mode, const Code& code) {
        const GuestStop stop = run_in(mode, code);
        return stop.fault ? stop.fault->vector : Vector{};
    }
};

TEST_F(LegacySgx, RealModeHasNone) {
    enable();
    EXPECT_EQ(fault_in(GuestMode::real16, encls), Vector::invalid_opcode);
    EXPECT_EQ(fault_in(GuestMode::real16, enclu), Vector::invalid_opcode);
}

TEST_F(LegacySgx, FaultsAreThoseOf64BitMode) {
    EXPECT_EQ(fault_in(GuestMode::protected32, enclu), Vector::invalid_opcode) << "at CPL 0";
    EXPECT_EQ(fault_in(GuestMode::protected32, encls), Vector::general_protection) << "disabled";
    enable();
    EXPECT_EQ(fault_in(GuestMode::compat32, encls), Vector::general_protection) << "no such leaf";
}

TEST_F(LegacySgx, LeavesRun) {
    m.set_mode(GuestMode::compat32);
    enable();
    m.set_plain_state(guest_at::code);
    m.write(guest_at::code, encls);
    c.gpr[rax] = 0;  // ECREATE
    c.gpr[rbx] = 0;
    c.gpr[rcx] = guest_at::code & ~u64{0xfff};  // mapped, but no EPC
    const GuestStop stop = m.run(1000);
    ASSERT_TRUE(stop.fault.has_value());
    EXPECT_EQ(stop.fault->vector, Vector::page_fault);
}

TEST_F(LegacySgx, WithoutPagingLeavesFault) {
    m.set_mode(GuestMode::protected32);
    enable();
    m.set_plain_state(guest_at::code);
    m.write(guest_at::code, encls);
    c.gpr[rax] = 0;
    const GuestStop stop = m.run(1000);
    ASSERT_TRUE(stop.fault.has_value());
    EXPECT_EQ(stop.fault->vector, Vector::general_protection);
}

struct Refused {
    const char* name;
    GuestMode mode;
    Code code;
    const char* what;
};

class RefusedByName : public testing::TestWithParam<Refused> {};

TEST_P(RefusedByName, AndNothingRetires) {
    const Refused& p = GetParam();
    GuestCode m;
    m.set_mode(p.mode);
    m.set_plain_state(guest_at::code);
    m.write(guest_at::code, p.code);
    // IRETD: to virtual-8086 mode; a far pointer to the TSS.
    constexpr u32 vm = 0x2'0002;
    m.at<std::array<u32, 3>>(guest_at::stack - 0x1000) = {0, 0, vm};
    m.at<u64>(guest_at::gdt + 0x30) = 0x0000'8900'0000'0067;
    const GuestStop stop = m.run(1000);
    EXPECT_EQ(stop.outcome, RunOutcome::unimplemented);
    EXPECT_STREQ(m.c.pending.what, p.what);
    EXPECT_EQ(stop.instructions, 0u);
    EXPECT_EQ(stop.state.rip, guest_at::code);
}

INSTANTIATE_TEST_SUITE_P(
    Legacy, RefusedByName,
    testing::Values(
        Refused{"Virtual8086", GuestMode::protected32, {0xcf}, "IRET to virtual-8086 mode"},
        Refused{"TaskSwitch", GuestMode::protected32, {0xea, 0, 0, 0, 0, 0x30, 0}, "task switch"}),
    [](const auto& p) { return std::string{p.param.name}; });

}  // namespace
}  // namespace postern::cpu
