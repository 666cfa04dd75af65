// SPDX-License-Identifier: Apache-2.0
// Each exit reason by which an instruction leaves the guest: reason, qualification, length,
// instruction information. Bytes and values are written by hand from the manual's tables.
#include "unit/cpu/vmx/running_guest.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using G = RunningGuest;

// Primary controls.
constexpr u32 tsc_offsetting = 1u << 3, hlt_exiting = 1u << 7, invlpg_exiting = 1u << 9,
              mwait_exiting = 1u << 10, rdpmc_exiting = 1u << 11, rdtsc_exiting = 1u << 12,
              cr3_load = 1u << 15, cr3_store = 1u << 16, cr8_load = 1u << 19, cr8_store = 1u << 20,
              mov_dr_exiting = 1u << 23, all_io = 1u << 24, io_bitmaps = 1u << 25,
              msr_bitmaps = 1u << 28, monitor_exiting = 1u << 29, pause_exiting = 1u << 30;
// Secondary controls.
constexpr u32 tables = 1u << 2, rdtscp = 1u << 3, wbinvd = 1u << 6, pause_loop = 1u << 10,
              rdrand = 1u << 11, invpcid = 1u << 12, rdseed = 1u << 16, tsc_scaling = 1u << 25,
              user_wait = 1u << 26;

// Instruction information: address size in bits 9:7, register in 6:3 (with bit 10: an operand),
// segment in 17:15, no index in 22, base in 26:23, no base in 27, second register in 31:28.
constexpr u32 address16 = 0, address32 = 1u << 7, address64 = 2u << 7, no_index = 1u << 22,
              no_base = 1u << 27, in_register = 1u << 10;
constexpr u32 in_segment(u32 s) { return s << 15; }
constexpr u32 with_base(u32 r) { return r << 23; }

TEST(ExitReason, CpuidAlways) {
    EXPECT_EQ(G{}.exit_of({0x0f, 0xa2}), (Said{10, 0, 2, 0}));
    EXPECT_EQ((G{{}, GuestMode::real16}.exit_of({0x0f, 0xa2})), (Said{10, 0, 2, 0}));
}

TEST(ExitReason, GetsecIsUndefinedWithoutItsBitInCr4) {
    G g;
    g.set(F::exception_bitmap, 1u << 6);
    EXPECT_EQ(g.run({0x0f, 0x37}), RunOutcome::vm_exit);
    EXPECT_EQ(g.said().reason, 0u);
    EXPECT_EQ(g.get(F::vm_exit_interruption_information), 0x8000'0306u);
}

TEST(ExitReason, RsmIsUndefinedOutsideSystemManagementMode) {
    G g;
    g.set(F::exception_bitmap, 1u << 6);
    EXPECT_EQ(g.run({0x0f, 0xaa}), RunOutcome::vm_exit);
    EXPECT_EQ(g.get(F::vm_exit_interruption_information), 0x8000'0306u);
}

TEST(ExitReason, InvdAlways) { EXPECT_EQ(G{}.exit_of({0x0f, 0x08}), (Said{13, 0, 2, 0})); }

TEST(ExitReason, XsetbvAlways) { EXPECT_EQ(G{}.exit_of({0x0f, 0x01, 0xd1}), (Said{55, 0, 3, 0})); }

TEST(ExitReason, HltByItsControl) {
    EXPECT_EQ(G{{.primary = hlt_exiting}}.exit_of({0xf4}), (Said{12, 0, 1, 0}));
    G left_alone;
    EXPECT_EQ(left_alone.run({0xf4}), RunOutcome::stop_requested);
    EXPECT_EQ(left_alone.c.event.activity, ActivityState::hlt);
}

TEST(ExitReason, InvlpgWithTheLinearAddress) {
    // invlpg [20000H + 40H]
    EXPECT_EQ(
        (G{{.primary = invlpg_exiting}}.exit_of({0x0f, 0x01, 0x3c, 0x25, 0x40, 0x00, 0x02, 0x00})),
        (Said{14, 0x2'0040, 8, 0}));
}

TEST(ExitReason, InvlpgOutsideSixtyFourBitModeHasThirtyTwoBits) {
    G g{{.primary = invlpg_exiting}, GuestMode::protected32};
    g.c.segment[ds].base = 0xffff'0000;
    // invlpg [20000H]
    EXPECT_EQ(g.exit_of({0x0f, 0x01, 0x3d, 0x00, 0x00, 0x02, 0x00}), (Said{14, 0x1'0000, 7, 0}));
}

TEST(ExitReason, InvpcidWithItsOperands) {
    // invpcid rbx, [rcx + rdx*4 + 8]
    EXPECT_EQ((G{{.primary = invlpg_exiting, .secondary = invpcid}}.exit_of(
                  {0x66, 0x0f, 0x38, 0x82, 0x5c, 0x91, 0x08})),
              (Said{58, 8, 7, 2 | address64 | in_segment(3) | 2u << 18 | with_base(1) | 3u << 28}));
}

TEST(ExitReason, RdpmcByItsControl) {
    EXPECT_EQ(G{{.primary = rdpmc_exiting}}.exit_of({0x0f, 0x33}), (Said{15, 0, 2, 0}));
}

TEST(ExitReason, RdtscByItsControl) {
    EXPECT_EQ(G{{.primary = rdtsc_exiting}}.exit_of({0x0f, 0x31}), (Said{16, 0, 2, 0}));
}

TEST(ExitReason, RdtscpByTheSameControl) {
    EXPECT_EQ((G{{.primary = rdtsc_exiting, .secondary = rdtscp}}.exit_of({0x0f, 0x01, 0xf9})),
              (Said{51, 0, 3, 0}));
}

TEST(ExitReason, RdrandNamesItsRegister) {
    // rdrand r11w
    EXPECT_EQ(G{{.secondary = rdrand}}.exit_of({0x66, 0x41, 0x0f, 0xc7, 0xf3}),
              (Said{57, 0, 5, 11u << 3}));
}

TEST(ExitReason, RdseedNamesItsRegister) {
    // rdseed rdi
    EXPECT_EQ(G{{.secondary = rdseed}}.exit_of({0x48, 0x0f, 0xc7, 0xff}),
              (Said{61, 0, 4, 7u << 3 | 2u << 11}));
}

TEST(ExitReason, MonitorByItsControl) {
    EXPECT_EQ(G{{.primary = monitor_exiting}}.exit_of({0x0f, 0x01, 0xc8}), (Said{39, 0, 3, 0}));
}

TEST(ExitReason, MwaitSaysWhetherTheMonitorIsArmed) {
    EXPECT_EQ(G{{.primary = mwait_exiting}}.exit_of({0x0f, 0x01, 0xc9}), (Said{36, 0, 3, 0}));
    G armed{{.primary = mwait_exiting}};
    armed.c.gpr[rax] = guest_at::data;
    armed.c.gpr[rcx] = 0;
    // monitor; mwait
    EXPECT_EQ(armed.run({0x0f, 0x01, 0xc8, 0x0f, 0x01, 0xc9}), RunOutcome::vm_exit);
    EXPECT_EQ(armed.said(), (Said{36, 1, 3, 0}));
    EXPECT_FALSE(armed.c.monitor.armed) << "a VM exit clears address-range monitoring";
}

TEST(ExitReason, PauseByItsControl) {
    EXPECT_EQ(G{{.primary = pause_exiting}}.exit_of({0xf3, 0x90}), (Said{40, 0, 2, 0}));
}

TEST(ExitReason, PauseInALoopThatIsTooLong) {
    G g{{.secondary = pause_loop}};
    g.set(F::ple_gap, 4);
    g.set(F::ple_window, 20);
    // pause; jmp to it: 2 ticks a turn; PAUSE at 22 is the first with more than 20 behind it.
    EXPECT_EQ(g.run({0xf3, 0x90, 0xeb, 0xfc}), RunOutcome::vm_exit);
    EXPECT_EQ(g.said(), (Said{40, 0, 2, 0}));
    EXPECT_EQ(g.get(F::guest_rip), guest_at::code);
}

TEST(ExitReason, WbinvdOrWbnoinvdByItsControl) {
    EXPECT_EQ(G{{.secondary = wbinvd}}.exit_of({0x0f, 0x09}), (Said{54, 0, 2, 0}));
}

// Control registers.

TEST(ExitReason, ControlRegisterAccessMovToAndFromCr3) {
    // mov cr3, r10; mov r10, cr3
    EXPECT_EQ(G{{.primary = cr3_load}}.exit_of({0x41, 0x0f, 0x22, 0xda}), (Said{28, 0xa03, 4, 0}));
    EXPECT_EQ(G{{.primary = cr3_store}}.exit_of({0x41, 0x0f, 0x20, 0xda}), (Said{28, 0xa13, 4, 0}));
}

TEST(ExitReason, ControlRegisterAccessOfATargetValueDoesNotExit) {
    G g{{.primary = cr3_load | hlt_exiting}};
    g.set(F::cr3_target_count, 3);
    g.set(F::cr3_target_value_2, guest_at::page_tables);
    g.set(F::cr3_target_value_3, guest_at::page_tables + 8);
    g.c.gpr[rax] = guest_at::page_tables;
    EXPECT_EQ(g.run({0x0f, 0x22, 0xd8, 0xf4}), RunOutcome::vm_exit);  // mov cr3, rax; hlt
    EXPECT_EQ(g.said().reason, 12u);
    // Values from the count on do not matter.
    G beyond{{.primary = cr3_load}};
    beyond.set(F::cr3_target_count, 3);
    beyond.set(F::cr3_target_value_3, guest_at::page_tables);
    beyond.c.gpr[rax] = guest_at::page_tables;
    EXPECT_EQ(beyond.exit_of({0x0f, 0x22, 0xd8}), (Said{28, 0x003, 3, 0}));
}

TEST(ExitReason, ControlRegisterAccessOfCr8) {
    // mov cr8, rbx; mov rbx, cr8
    EXPECT_EQ(G{{.primary = cr8_load}}.exit_of({0x44, 0x0f, 0x22, 0xc3}), (Said{28, 0x308, 4, 0}));
    EXPECT_EQ(G{{.primary = cr8_store}}.exit_of({0x44, 0x0f, 0x20, 0xc3}), (Said{28, 0x318, 4, 0}));
}

TEST(ExitReason, ControlRegisterAccessOfAMaskedBitOfCr4) {
    G g;
    g.set(F::cr4_guest_host_mask, 0x2000);
    g.c.gpr[rsi] = 0x2020;
    EXPECT_EQ(g.exit_of({0x0f, 0x22, 0xe6}), (Said{28, 0x604, 3, 0}));  // mov cr4, rsi
}

TEST(ExitReason, ControlRegisterAccessByLmswHasItsSourceAndItsAddress) {
    G from_memory;
    from_memory.set(F::cr0_guest_host_mask, 0x8);
    from_memory.m.at<u16>(guest_at::data + 6) = 0xabc9;
    // lmsw [20006H]
    EXPECT_EQ(from_memory.exit_of({0x0f, 0x01, 0x34, 0x25, 0x06, 0x00, 0x02, 0x00}),
              (Said{28, 0xabc9'0070, 8, 0}));
    EXPECT_EQ(from_memory.get(F::guest_linear_address), 0x2'0006u);
    G from_register;
    from_register.set(F::cr0_guest_host_mask, 0x8);
    from_register.c.gpr[rdx] = 0x1'0009;
    EXPECT_EQ(from_register.exit_of({0x0f, 0x01, 0xf2}), (Said{28, 0x0009'0030, 3, 0}));
}

TEST(ExitReason, ControlRegisterAccessByLmswThatClearsPeDoesNotExit) {
    G g{{.primary = hlt_exiting}};
    g.set(F::cr0_guest_host_mask, 0x1);
    g.set(F::cr0_read_shadow, 0x1);
    g.c.gpr[rax] = 0;
    EXPECT_EQ(g.run({0x0f, 0x01, 0xf0, 0xf4}), RunOutcome::vm_exit);  // lmsw ax; hlt
    EXPECT_EQ(g.said().reason, 12u);
}

TEST(ExitReason, ControlRegisterAccessByClts) {
    G shown;
    shown.set(F::cr0_guest_host_mask, 8);
    shown.set(F::cr0_read_shadow, 8);
    EXPECT_EQ(shown.exit_of({0x0f, 0x06}), (Said{28, 0x20, 2, 0}));
    G hidden{{.primary = hlt_exiting}};
    hidden.set(F::cr0_guest_host_mask, 8);
    hidden.c.cr0.set(Cr0::ts);
    EXPECT_EQ(hidden.run({0x0f, 0x06, 0xf4}), RunOutcome::vm_exit);
    EXPECT_EQ(hidden.said().reason, 12u);
    EXPECT_EQ(hidden.get(F::guest_cr0) & 8, 8u) << "the host's bit stays";
}

TEST(Lmsw, InRealModeLeavesPeClear) {
    G g{{.primary = hlt_exiting, .secondary = 1u << 7}, GuestMode::real16};  // unrestricted guest
    g.c.gpr[rax] = 0x2;
    EXPECT_EQ(g.run({0x0f, 0x01, 0xf0, 0xf4}), RunOutcome::vm_exit);  // lmsw ax; hlt
    EXPECT_EQ(g.get(F::guest_cr0) & 0xf, 0x2u);
}

TEST(ExitReason, MovDrBothWays) {
    // mov dr7, rcx; mov r8, dr3
    EXPECT_EQ(G{{.primary = mov_dr_exiting}}.exit_of({0x0f, 0x23, 0xf9}), (Said{29, 0x107, 3, 0}));
    EXPECT_EQ(G{{.primary = mov_dr_exiting}}.exit_of({0x41, 0x0f, 0x21, 0xd8}),
              (Said{29, 0x813, 4, 0}));
}

// Ports.

TEST(ExitReason, IoInstructionSaysSizeDirectionAndPort) {
    G in{{.primary = all_io}};
    in.c.gpr[rdx] = 0x3f8;
    EXPECT_EQ(in.exit_of({0xec}), (Said{30, 0x03f8'0008, 1, 0}));  // in al, dx
    EXPECT_EQ(G{{.primary = all_io}}.exit_of({0xe5, 0x71}), (Said{30, 0x0071'004b, 2, 0}));
    EXPECT_EQ((G{{.primary = all_io}}.exit_of({0x66, 0xe7, 0x80})), (Said{30, 0x0080'0041, 3, 0}));
    G out{{.primary = all_io}};
    out.c.gpr[rdx] = 0xcfc;
    EXPECT_EQ(out.exit_of({0xef}), (Said{30, 0x0cfc'0003, 1, 0}));  // out dx, eax
}

TEST(ExitReason, IoInstructionOfAStringHasAddressSizeSegmentAndAddress) {
    G ins{{.primary = all_io}};
    ins.c.gpr[rdx] = 0x1f0;
    ins.c.gpr[rdi] = 0x1'0002'0010;
    EXPECT_EQ(ins.exit_of({0xf3, 0x67, 0x66, 0x6d}).qualification, 0x01f0'0039u);  // rep insw
    EXPECT_EQ(ins.said().information & 0x380, address32);
    EXPECT_EQ(ins.get(F::guest_linear_address), 0x2'0010u);

    G outs{{.primary = all_io}};
    outs.c.gpr[rdx] = 0x1f0;
    outs.c.gpr[rsi] = 0x30;
    outs.c.gpr[row_fs_base] = outs.c.segment[fs].base = 0x2'1000;
    // outs dx, byte ptr fs:[rsi]
    EXPECT_EQ(outs.exit_of({0x64, 0x6e}), (Said{30, 0x01f0'0010, 2, address64 | in_segment(4)}));
    EXPECT_EQ(outs.get(F::guest_linear_address), 0x2'1030u);
}

TEST(ExitReason, IoInstructionOfAStringInRealModeHasSixteenBitAddresses) {
    G g{{.primary = all_io}, GuestMode::real16};
    g.c.gpr[rdx] = 0x80;
    g.c.gpr[rsi] = 0xffff'0004;
    // outs dx, byte ptr es:[si]
    EXPECT_EQ(g.exit_of({0x26, 0x6e}), (Said{30, 0x0080'0010, 2, address16 | in_segment(0)}));
    EXPECT_EQ(g.get(F::guest_linear_address), guest_at::data + 4);
}

TEST(ExitReason, IoInstructionWithACountOfZeroDoesNotExit) {
    G g{{.primary = all_io | hlt_exiting}};
    g.c.gpr[rcx] = 0;
    EXPECT_EQ(g.run({0xf3, 0x6e, 0xf4}), RunOutcome::vm_exit);  // rep outsb; hlt
    EXPECT_EQ(g.said().reason, 12u);
}

TEST(ExitReason, IoInstructionByTheBitmapOfEveryPortItTouches) {
    G g{{.primary = all_io | io_bitmaps | hlt_exiting}};
    g.m.at<u8>(G::bitmaps + 0x7f / 8) = 0x80;                           // port 7FH
    EXPECT_EQ(g.exit_of({0xe5, 0x7c}), (Said{30, 0x007c'004b, 2, 0}));  // in eax, 7CH
    G other{{.primary = all_io | io_bitmaps | hlt_exiting}};
    other.m.at<u8>(G::bitmaps + 0x7f / 8) = 0x80;
    EXPECT_EQ(other.run({0xe4, 0x7e, 0xf4}), RunOutcome::vm_exit);  // in al, 7EH; hlt
    EXPECT_EQ(other.said().reason, 12u);
}

TEST(ExitReason, IoInstructionThatWrapsAroundExits) {
    G g{{.primary = io_bitmaps}};
    g.c.gpr[rdx] = 0xffff;
    EXPECT_EQ(g.exit_of({0x66, 0xed}), (Said{30, 0xffff'0009, 2, 0}));  // in ax, dx
}

// MSRs.

TEST(ExitReason, RdmsrAndWrmsrWithoutBitmaps) {
    EXPECT_EQ(G{}.exit_of({0x0f, 0x32}), (Said{31, 0, 2, 0}));
    EXPECT_EQ(G{}.exit_of({0x0f, 0x30}), (Said{32, 0, 2, 0}));
}

TEST(ExitReason, WrmsrByItsOwnBitmap) {
    G g{{.primary = msr_bitmaps | hlt_exiting}};
    g.m.at<u8>(G::bitmaps + 0x2000 + 0xc00 + 0x102 / 8) = 1u << 2;  // writes of C0000102H
    g.c.gpr[rcx] = 0xc000'0102;
    g.c.gpr[rax] = g.c.gpr[rdx] = 0;
    EXPECT_EQ(g.run({0x0f, 0x32, 0x0f, 0x30}), RunOutcome::vm_exit);  // rdmsr; wrmsr
    EXPECT_EQ(g.said(), (Said{32, 0, 2, 0}));
    EXPECT_EQ(g.get(F::guest_rip), guest_at::code + 2);
}

// Descriptor tables.

TEST(ExitReason, AccessToGdtrOrIdtrNamesTheInstruction) {
    // lgdt [rbx + 10H], lidt, sgdt, sidt
    const u32 rbx_operand = address64 | in_segment(3) | no_index | with_base(3) | 1u << 11;
    const std::pair<u8, u32> forms[]{{0x53, 2}, {0x5b, 3}, {0x43, 0}, {0x4b, 1}};
    for (const auto& [modrm, number] : forms)
        EXPECT_EQ(G{{.secondary = tables}}.exit_of({0x0f, 0x01, modrm, 0x10}),
                  (Said{46, 0x10, 4, rbx_operand | number << 28}));
}

TEST(ExitReason, AccessToGdtrOrIdtrRelativeToRipGivesTheAddress) {
    // lgdt [rip + 100H]: 7 bytes
    EXPECT_EQ(G{{.secondary = tables}}.exit_of({0x0f, 0x01, 0x15, 0x00, 0x01, 0x00, 0x00}),
              (Said{46, guest_at::code + 0x107, 7,
                    address64 | in_segment(3) | no_index | no_base | 1u << 11 | 2u << 28}));
}

TEST(ExitReason, AccessToGdtrOrIdtrOutsideSixtyFourBitModeHasItsOperand) {
    // lidt [ebp + ecx*8 - 4]
    G g{{.secondary = tables}, GuestMode::protected32};
    g.c.gpr[rbp] = guest_at::data;
    g.c.gpr[rcx] = 2;
    EXPECT_EQ(
        g.exit_of({0x0f, 0x01, 0x5c, 0xcd, 0xfc}),
        (Said{46, ~u64{3}, 5,
              3 | address32 | in_segment(2) | 1u << 18 | with_base(5) | 1u << 11 | 3u << 28}));
}

TEST(ExitReason, AccessToGdtrOrIdtrInRealModeHasSixteenBits) {
    // sgdt es:[bx + si]
    G g{{.secondary = tables}, GuestMode::real16};
    g.c.gpr[rbx] = g.c.gpr[rsi] = 0x10;
    EXPECT_EQ(g.exit_of({0x26, 0x0f, 0x01, 0x00}),
              (Said{46, 0, 4, address16 | in_segment(0) | 6u << 18 | with_base(3)}));
}

TEST(ExitReason, AccessToLdtrOrTrNamesTheInstruction) {
    // sldt eax; str ecx; lldt dx; ltr [rsp + 8]
    EXPECT_EQ(G{{.secondary = tables}}.exit_of({0x0f, 0x00, 0xc0}), (Said{47, 0, 3, in_register}));
    EXPECT_EQ(G{{.secondary = tables}}.exit_of({0x0f, 0x00, 0xc9}),
              (Said{47, 0, 3, in_register | 1u << 3 | 1u << 28}));
    EXPECT_EQ(G{{.secondary = tables}}.exit_of({0x0f, 0x00, 0xd2}),
              (Said{47, 0, 3, in_register | 2u << 3 | 2u << 28}));
    EXPECT_EQ(G{{.secondary = tables}}.exit_of({0x0f, 0x00, 0x5c, 0x24, 0x08}),
              (Said{47, 8, 5, address64 | in_segment(2) | no_index | with_base(4) | 3u << 28}));
}

// VMX instructions.

TEST(ExitReason, VmcallVmlaunchVmresumeAndVmxoffHaveNoOperand) {
    EXPECT_EQ(G{}.exit_of({0x0f, 0x01, 0xc1}), (Said{18, 0, 3, 0}));
    EXPECT_EQ(G{}.exit_of({0x0f, 0x01, 0xc2}), (Said{20, 0, 3, 0}));
    EXPECT_EQ(G{}.exit_of({0x0f, 0x01, 0xc3}), (Said{24, 0, 3, 0}));
    EXPECT_EQ(G{}.exit_of({0x0f, 0x01, 0xc4}), (Said{26, 0, 3, 0}));
}

constexpr u32 at_rbx = address64 | in_segment(3) | no_index | with_base(3);

TEST(ExitReason, VmclearItsOperand) {
    EXPECT_EQ(G{}.exit_of({0x66, 0x0f, 0xc7, 0x33}), (Said{19, 0, 4, at_rbx}));
}
TEST(ExitReason, VmptrldItsOperand) {
    EXPECT_EQ(G{}.exit_of({0x0f, 0xc7, 0x73, 0x20}), (Said{21, 0x20, 4, at_rbx}));
}
TEST(ExitReason, VmptrstItsOperand) {
    EXPECT_EQ(G{}.exit_of({0x0f, 0xc7, 0x3b}), (Said{22, 0, 3, at_rbx}));
}
TEST(ExitReason, VmxonItsOperand) {
    EXPECT_EQ(G{}.exit_of({0xf3, 0x0f, 0xc7, 0x33}), (Said{27, 0, 4, at_rbx}));
}
TEST(ExitReason, VmreadBothOperands) {
    // vmread rcx, rdx
    EXPECT_EQ(G{}.exit_of({0x0f, 0x78, 0xd1}), (Said{23, 0, 3, in_register | 1u << 3 | 2u << 28}));
}
TEST(ExitReason, VmwriteBothOperands) {
    // vmwrite rsi, [rbx]
    EXPECT_EQ(G{}.exit_of({0x0f, 0x79, 0x33}), (Said{25, 0, 3, at_rbx | 6u << 28}));
}
TEST(ExitReason, InveptBothOperands) {
    // invept rax, [rbx]
    EXPECT_EQ(G{}.exit_of({0x66, 0x0f, 0x38, 0x80, 0x03}), (Said{50, 0, 5, at_rbx}));
}
TEST(ExitReason, InvvpidBothOperands) {
    // invvpid rdi, [rbx]
    EXPECT_EQ(G{}.exit_of({0x66, 0x0f, 0x38, 0x81, 0x3b}), (Said{53, 0, 5, at_rbx | 7u << 28}));
}

// Waiting, and the time-stamp counter.

TEST(ExitReason, TpauseByRdtscsControlWithItsRegister) {
    // tpause ecx
    EXPECT_EQ(
        (G{{.primary = rdtsc_exiting, .secondary = user_wait}}.exit_of({0x66, 0x0f, 0xae, 0xf1})),
        (Said{68, 0, 4, 1u << 3 | 1u << 11}));
}

TEST(ExitReason, UmwaitByRdtscsControlWithItsRegister) {
    // umwait edx
    EXPECT_EQ(
        (G{{.primary = rdtsc_exiting, .secondary = user_wait}}.exit_of({0xf2, 0x0f, 0xae, 0xf2})),
        (Said{67, 0, 4, 2u << 3 | 1u << 11}));
}

TEST(UserWait, IsUndefinedInAGuestWithoutItsControl) {
    for (const Code& code : {Code{0x66, 0x0f, 0xae, 0xf1}, Code{0xf2, 0x0f, 0xae, 0xf1},
                             Code{0xf3, 0x0f, 0xae, 0xf1}}) {
        G g{{.primary = rdtsc_exiting}};
        g.set(F::exception_bitmap, 1u << 6);
        EXPECT_EQ(g.run(code), RunOutcome::vm_exit);
        EXPECT_EQ(g.get(F::vm_exit_interruption_information), 0x8000'0306u);
    }
}

TEST(UserWait, TsdGoesBeforeTheExitAndTheExitBeforeReservedBits) {
    G user{{.primary = rdtsc_exiting, .secondary = user_wait}};
    user.m.set_cpl(3);
    user.c.cr4.set(Cr4::tsd);
    user.set(F::exception_bitmap, 1u << 13);
    EXPECT_EQ(user.run({0x66, 0x0f, 0xae, 0xf1}), RunOutcome::vm_exit);
    EXPECT_EQ(user.get(F::vm_exit_interruption_information), 0x8000'0b0du);
    G reserved{{.primary = rdtsc_exiting, .secondary = user_wait}};
    reserved.c.gpr[rcx] = 2;
    EXPECT_EQ(reserved.exit_of({0x66, 0x0f, 0xae, 0xf1}).reason, 68u);
}

/// RDTSC of a guest after `instructions` at 0 on the processor's own counter.
u64 counter(u32 primary, u32 secondary, u64 multiplier, u64 offset) {
    G g{{.primary = primary | hlt_exiting, .secondary = secondary}};
    g.c.msr.tsc_adjust = u64{1000} - now(g.c);
    g.c.vmx.tsc_offset = (primary & tsc_offsetting) != 0 ? offset : 0;
    g.c.vmx.tsc_multiplier = (secondary & tsc_scaling) != 0 ? multiplier : 0;
    EXPECT_EQ(g.run({0x0f, 0x31, 0xf4}), RunOutcome::vm_exit);
    return g.c.gpr[rdx] << 32 | g.c.gpr[rax];
}

TEST(TscScaling, MultipliesThenAddsTheOffset) {
    constexpr u64 one = u64{1} << 48;
    EXPECT_EQ(counter(0, 0, 0, 0), 1000u);
    EXPECT_EQ(counter(tsc_offsetting, 0, 0, 77), 1077u);
    EXPECT_EQ(counter(tsc_offsetting, tsc_scaling, 3 * one / 2, 77), 1577u);
    EXPECT_EQ(counter(tsc_offsetting, tsc_scaling, one / 3, 0), 333u);
    EXPECT_EQ(counter(tsc_offsetting, tsc_scaling, 2 * one, ~u64{0}), 1999u);
}

}  // namespace
}  // namespace postern::cpu::vmx
