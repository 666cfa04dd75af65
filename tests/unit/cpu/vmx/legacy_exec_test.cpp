// SPDX-License-Identifier: Apache-2.0
// The VMX instructions and their like outside 64-bit mode: operands of 32 bits, segments, which
// modes have them, and VM exits before the operand's faults. Bytes and values are the manual's.
#include <gtest/gtest.h>

#include <array>

#include "cpu/vmx/exec.h"
#include "unit/cpu/vmx/running_guest.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using G = RunningGuest;

constexpr u32 invlpg_exiting = 1u << 9, tables = 1u << 2, invpcid = 1u << 12;
constexpr u64 address16 = 0, address32 = 1u << 7, no_index = 1u << 22, no_base = 1u << 27;
constexpr u64 in_segment(u64 n) { return n << 15; }
constexpr u64 ud_information = 0x8000'0306, gp_information = 0x8000'0b0d,
              ss_information = 0x8000'0b0c;

TEST(VmxInstructionOf32Bits, ExitsWithItsOperandAsItIsWritten) {
    // vmclear [ebp + ecx*8 - 4]
    EXPECT_EQ((G{{}, GuestMode::protected32}.exit_of({0x66, 0x0f, 0xc7, 0x74, 0xcd, 0xfc})),
              (Said{19, ~u64{3}, 6, 3 | address32 | in_segment(2) | 1u << 18 | 5u << 23}));
    // vmread es:[12345678H], ebx
    EXPECT_EQ(
        (G{{}, GuestMode::protected32}.exit_of({0x26, 0x0f, 0x78, 0x1d, 0x78, 0x56, 0x34, 0x12})),
        (Said{23, 0x1234'5678, 8, address32 | in_segment(0) | no_index | no_base | 3u << 28}));
    // vmwrite ecx, eax
    EXPECT_EQ((G{{}, GuestMode::protected32}.exit_of({0x0f, 0x79, 0xc8})),
              (Said{25, 0, 3, 1u << 10 | 0u << 3 | 1u << 28}));
    // vmptrst [bp + si + 8], in 16-bit code
    EXPECT_EQ((G{{}, GuestMode::protected16}.exit_of({0x0f, 0xc7, 0x7a, 0x08})),
              (Said{22, 8, 4, address16 | in_segment(2) | 6u << 18 | 5u << 23}));
    // invvpid esi, [edi]
    EXPECT_EQ((G{{}, GuestMode::protected32}.exit_of({0x66, 0x0f, 0x38, 0x81, 0x37})),
              (Said{53, 0, 5, address32 | in_segment(3) | no_index | 7u << 23 | 6u << 28}));
}

TEST(VmxInstructionOf32Bits, IsInvalidInCompatibilityRealAndVirtual8086Mode) {
    for (const Code& code : {Code{0x0f, 0xc7, 0x30}, Code{0x0f, 0x78, 0xc3}, Code{0x0f, 0x01, 0xc2},
                             Code{0xf3, 0x0f, 0xc7, 0x30}}) {
        for (const GuestMode mode : {GuestMode::compat32, GuestMode::real16}) {
            G g{{}, mode};
            if (mode == GuestMode::compat32) g.set(F::vm_exit_controls, 1u << 9);
            g.set(F::exception_bitmap, 1u << 6);
            EXPECT_EQ(g.exit_of(code).reason, 0u);
            EXPECT_EQ(g.get(F::vm_exit_interruption_information), ud_information);
        }
    }
    G g{{}, GuestMode::protected32};
    g.c.flags.set(Rflag::vm);
    g.set(F::exception_bitmap, 1u << 6);
    Insn i{};
    i.imm = 20;
    EXPECT_FALSE(exec_vmx_instruction(g.c, i).ok());
    EXPECT_EQ(g.c.pending.vector, Vector::invalid_opcode);
}

struct Deferred {
    const char* name;
    Code code;  // operand at [EBX]
    u64 reason;
};

class BeforeTheSegment : public testing::TestWithParam<Deferred> {};

TEST_P(BeforeTheSegment, TheVmExitComesFirst) {
    G g{{.primary = invlpg_exiting, .secondary = tables | invpcid}, GuestMode::protected32};
    g.c.segment[ds].limit = 0xfff;
    g.c.gpr[rbx] = 0x1000;
    EXPECT_EQ(g.exit_of(GetParam().code).reason, GetParam().reason);
}

INSTANTIATE_TEST_SUITE_P(
    VmExit, BeforeTheSegment,
    testing::Values(
        Deferred{"Sgdt", {0x0f, 0x01, 0x03}, 46}, Deferred{"Sidt", {0x0f, 0x01, 0x0b}, 46},
        Deferred{"Lgdt", {0x0f, 0x01, 0x13}, 46}, Deferred{"Lidt", {0x0f, 0x01, 0x1b}, 46},
        Deferred{"Sldt", {0x0f, 0x00, 0x03}, 47}, Deferred{"Str", {0x0f, 0x00, 0x0b}, 47},
        Deferred{"Lldt", {0x0f, 0x00, 0x13}, 47}, Deferred{"Ltr", {0x0f, 0x00, 0x1b}, 47},
        Deferred{"Invpcid", {0x66, 0x0f, 0x38, 0x82, 0x03}, 58},
        Deferred{"Invept", {0x66, 0x0f, 0x38, 0x80, 0x03}, 50},
        Deferred{"Invvpid", {0x66, 0x0f, 0x38, 0x81, 0x03}, 53},
        Deferred{"Vmread", {0x0f, 0x78, 0x03}, 23}, Deferred{"Vmwrite", {0x0f, 0x79, 0x03}, 25},
        Deferred{"Vmclear", {0x66, 0x0f, 0xc7, 0x33}, 19},
        Deferred{"Vmptrld", {0x0f, 0xc7, 0x33}, 21}, Deferred{"Vmptrst", {0x0f, 0xc7, 0x3b}, 22},
        Deferred{"Vmxon", {0xf3, 0x0f, 0xc7, 0x33}, 27}),
    [](const auto& p) { return std::string{p.param.name}; });

/// The last byte that the operand may have is at the limit.
struct Operand {
    const char* name;
    Code code;  // at [EBX], or through SS at [EBP]
    u64 size;
    bool through_stack = false;
};

class WithoutAnExit : public testing::TestWithParam<Operand> {};

TEST_P(WithoutAnExit, TheSegmentIsChecked) {
    const u64 size = GetParam().size;
    for (const bool fits : {true, false}) {
        G g{{.secondary = invpcid}, GuestMode::protected32};
        for (const SegmentIndex index : {ds, ss}) g.c.segment[index].limit = guest_at::data + 0xff;
        g.c.gpr[rbx] = g.c.gpr[rbp] = guest_at::data + 0x100 - size + (fits ? 0 : 1);
        g.c.gpr[rax] = 2;  // INVPCID: all contexts
        g.set(F::exception_bitmap, 1u << 13 | 1u << 12);
        g.m.at<std::array<u64, 2>>(guest_at::data + 0xf0) = {};
        Code code = GetParam().code;
        code.push_back(0x0f);  // CPUID exits
        code.push_back(0xa2);
        ASSERT_EQ(g.run(code), RunOutcome::vm_exit);
        EXPECT_EQ(g.get(F::exit_reason), fits ? 10u : 0u);
        if (fits) continue;
        const u64 fault = GetParam().through_stack ? ss_information : gp_information;
        EXPECT_EQ(g.get(F::vm_exit_interruption_information), fault);
    }
}

INSTANTIATE_TEST_SUITE_P(
    Legacy, WithoutAnExit,
    testing::Values(Operand{"Sgdt", {0x0f, 0x01, 0x03}, 6},
                    Operand{"SidtThroughTheStack", {0x0f, 0x01, 0x4d, 0}, 6, true},
                    Operand{"Lidt", {0x0f, 0x01, 0x1b}, 6}, Operand{"Str", {0x0f, 0x00, 0x0b}, 2},
                    Operand{"Lldt", {0x0f, 0x00, 0x13}, 2},
                    Operand{"Invpcid", {0x66, 0x0f, 0x38, 0x82, 0x03}, 16}),
    [](const auto& p) { return std::string{p.param.name}; });

// VMX root operation of 32-bit software; there is no paging here, which only VMXON would ask for.

struct Root {
    GuestCode m;
    Cpu& c = m.c;

    Root() {
        m.set_mode(GuestMode::protected32);
        m.set_plain_state(guest_at::code);
        c.cr4.set(Cr4::vmxe);
        c.vmx.on = true;
        c.vmx.current = guest_at::spare;
    }
    void set(F field, u64 value) { c.vmx.vmcs.slot[vmcs_index(field)] = value; }
    u64 get(F field) const { return c.vmx.vmcs.slot[vmcs_index(field)]; }
    GuestStop run(Code code) {
        code.push_back(0xf4);
        m.write(guest_at::code, code);
        return m.run(10);
    }
};

TEST(VmreadOf32Bits, ReadsTheLowHalfByTheFullEncodingAndTheHighOneByItsOwn) {
    Root r;
    r.set(F::tsc_offset, 0x1122'3344'5566'7788);
    r.c.gpr[rbx] = 0xdead'0000'0000'2010;  // only EBX counts
    r.c.gpr[rcx] = 0x2011;
    r.c.gpr[rdx] = 0x6820;
    r.set(F::guest_rflags, 0x202);
    r.m.at<u64>(guest_at::data + 8) = ~u64{0};
    // vmread eax, ebx; vmread [20008H], ecx; vmread esi, edx
    const GuestStop stop =
        r.run({0x0f, 0x78, 0xd8, 0x0f, 0x78, 0x0d, 0x08, 0, 2, 0, 0x0f, 0x78, 0xd6});
    ASSERT_FALSE(stop.fault.has_value());
    EXPECT_EQ(stop.state.gpr[rax], 0x5566'7788u);
    EXPECT_EQ(stop.state.gpr[rsi], 0x202u);
    EXPECT_EQ(r.m.at<u64>(guest_at::data + 8), 0xffff'ffff'1122'3344) << "four bytes, no more";
}

TEST(VmwriteOf32Bits, ClearsTheHighHalfThatItDoesNotFill) {
    Root r;
    r.set(F::tsc_offset, ~u64{0});
    r.set(F::guest_rip, ~u64{0});
    r.c.gpr[rax] = 0xdead'beef'1234'5678;
    r.c.gpr[rbx] = 0x2010;
    r.c.gpr[rcx] = 0x681e;
    r.m.at<u64>(guest_at::data) = 0xaaaa'aaaa'8765'4321;
    // vmwrite ebx, eax; vmwrite ecx, [20000H]
    ASSERT_FALSE(r.run({0x0f, 0x79, 0xd8, 0x0f, 0x79, 0x0d, 0, 0, 2, 0}).fault.has_value());
    EXPECT_EQ(r.get(F::tsc_offset), 0x1234'5678u);
    EXPECT_EQ(r.get(F::guest_rip), 0x8765'4321u);
    Root high;
    high.set(F::tsc_offset, 0x1111'1111'2222'2222);
    high.c.gpr[rax] = 0x3333'3333;
    high.c.gpr[rbx] = 0x2011;
    ASSERT_FALSE(high.run({0x0f, 0x79, 0xd8}).fault.has_value());
    EXPECT_EQ(high.get(F::tsc_offset), 0x3333'3333'2222'2222u);
}

TEST(VmptrstOf32Bits, StoresSixtyFourBitsThroughItsSegment) {
    Root r;
    r.c.segment[es].base = 0x1000;
    // vmptrst es:[1F000H]
    ASSERT_FALSE(r.run({0x26, 0x0f, 0xc7, 0x3d, 0, 0xf0, 1, 0}).fault.has_value());
    EXPECT_EQ(r.m.at<u64>(guest_at::data), guest_at::spare);
    Root beyond;
    beyond.c.segment[es].limit = 0x2'0006;
    const GuestStop stop = beyond.run({0x26, 0x0f, 0xc7, 0x3d, 0, 0, 2, 0});
    ASSERT_TRUE(stop.fault.has_value());
    EXPECT_EQ(stop.fault->vector, Vector::general_protection);
}

TEST(InvvpidOf32Bits, TakesItsTypeFrom32Bits) {
    Root r;
    r.c.gpr[rax] = 0xffff'ffff'0000'0002;  // all contexts
    r.m.at<std::array<u64, 2>>(guest_at::data) = {};
    // invvpid eax, [20000H]
    const GuestStop stop = r.run({0x66, 0x0f, 0x38, 0x81, 0x05, 0, 0, 2, 0});
    ASSERT_FALSE(stop.fault.has_value());
    EXPECT_EQ(stop.state.rflags & 0x8d5, 0u);
}

}  // namespace
}  // namespace postern::cpu::vmx
