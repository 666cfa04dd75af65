// SPDX-License-Identifier: Apache-2.0
// Single-stepping, MTF, INT3 and INT1 across the enclave's edge, after opt-out and opt-in entries.
// Everything runs as code: ENCLU outside, the enclave, and what comes after. SDM 3D, "Enclave Code
// Debug and Profiling".
#include <gtest/gtest.h>

#include "cpu/run.h"
#include "unit/cpu/event/inside.h"

namespace postern::cpu {
namespace {

constexpr u64 tf = 0x100, rf = 0x10000;
constexpr u32 mtf_control = 1u << 27;
constexpr u64 back = 0x8100;  // where the enclave's EEXIT goes
constexpr u64 rip_of_handler_6 = 0x10'0060;

/// NOP; MOV RAX, 4; MOV EBX, 8100H; ENCLU.
constexpr std::initializer_list<u8> nop_then_eexit{0x90, 0x48, 0xc7, 0xc0, 4, 0,    0,    0,
                                                   0xbb, 0x00, 0x81, 0,    0, 0x0f, 0x01, 0xd7};
constexpr std::initializer_list<u8> undefined{0x0f, 0x0b};

/// Stands before ENCLU[EENTER]; NOPs behind EEXIT's target; ENCLU[ERESUME] at the AEP.
struct Session : Outside {
    explicit Session(bool opt_in, std::initializer_list<u8> code = nop_then_eexit)
        : Outside{opt_in} {
        outside_code(sgx::outside_rip, {0x0f, 0x01, 0xd7});
        outside_code(sgx::aep, {0x0f, 0x01, 0xd7});
        outside_code(back, {0x90, 0x90, 0x90, 0x90});
        outside_code(rip_of_handler_6, {0x90, 0xf4});
        enclave_code(code);
        c.gpr[rax] = 2;
        c.gpr[rbx] = sgx::elrange + sgx::tcs_offset;
        c.gpr[rcx] = sgx::aep;
        set(VmcsField::exception_bitmap, 1u << 1 | 1u << 3);
    }
    void trap_flag() { set_rflags(c, 0x102); }
    void monitor_trap() { set(VmcsField::primary_processor_based_controls, mtf_control); }

    RunOutcome run_for(u64 instructions) {
        const u64 start = now(c);
        const RunOutcome outcome = run(c, start + instructions);
        retired = now(c) - start;
        return outcome;
    }
    /// Back into the guest after a VM exit, as the hypervisor's VMRESUME does it.
    void resume() {
        c.rip = vmcs(VmcsField::guest_rip);
        set_rflags(c, vmcs(VmcsField::guest_rflags));
        c.gpr[rsp] = vmcs(VmcsField::guest_rsp);
        c.cr0 = Cr0Word::from_raw(vmcs(VmcsField::guest_cr0));
        c.event = {};
        c.pending = {};
        c.vmx.non_root = true;
        as_user();
        c.cr4 = Cr4Word::from_raw(vmcs(VmcsField::guest_cr4));
        c.efer = {Efer::sce, Efer::lme, Efer::lma, Efer::nxe};
        c.cr3 = vmcs(VmcsField::guest_cr3);
        flush_translations(c);
    }
    u64 retired = 0;
};

TEST(SingleStep, AnOptOutVisitTrapsOnceAfterEexit) {
    Session m{false};
    m.trap_flag();
    ASSERT_EQ(m.run_for(100), RunOutcome::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0u);  // not from the enclave
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), 0x8000'0301u);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 0x4000u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), back);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rflags) & tf, tf);
    EXPECT_EQ(m.retired, 5u);  // ENCLU, NOP, MOV, MOV, ENCLU
}

TEST(SingleStep, AnOptInEntryTrapsBeforeTheFirstInstructionInside) {
    Session m{true};
    m.trap_flag();
    ASSERT_EQ(m.run_for(100), RunOutcome::vm_exit);
    m.expect_synthetic(0);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), 0x8000'0301u);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 0x4000u);
    EXPECT_EQ(m.retired, 1u);
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0x8000'0301u);
    EXPECT_EQ(m.gprsgx().rflags & (tf | rf), 0u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rflags) & tf, tf);
}

TEST(SingleStep, AnOptInEresumeTrapsAfterTheFirstInstructionInside) {
    Session m{true};
    m.trap_flag();
    ASSERT_EQ(m.run_for(100), RunOutcome::vm_exit);
    m.resume();
    ASSERT_EQ(m.run_for(100), RunOutcome::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0x0800'0000u);
    EXPECT_EQ(m.gprsgx().rip, inside_rip + 1);
    EXPECT_EQ(m.retired, 2u);  // ENCLU, NOP
}

TEST(SingleStep, AnOptInEexitTrapsOutside) {
    Session m{true, {0x0f, 0x01, 0xd7}};
    m.trap_flag();
    ASSERT_EQ(m.run_for(100), RunOutcome::vm_exit);
    m.resume();
    m.gprsgx().rax = 4;
    m.gprsgx().rbx = back;
    ASSERT_EQ(m.run_for(100), RunOutcome::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0u);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 0x4000u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), back);
}

TEST(SingleStep, AnAexAfterAnOptOutEntryRestoresTf) {
    Session m{false, undefined};
    m.trap_flag();
    m.set(VmcsField::exception_bitmap, 1u << 6);
    ASSERT_EQ(m.run_for(100), RunOutcome::vm_exit);
    m.expect_synthetic(0);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rflags) & tf, tf);
    EXPECT_EQ(m.vmcs(VmcsField::guest_pending_debug_exceptions), 0u);
    EXPECT_EQ(m.gprsgx().rflags & tf, 0u);
}

TEST(SingleStep, PopfCannotBringTfBackAfterAnOptOutEntry) {
    // PUSH 102H; POPFQ; NOP
    Session m{false, {0x68, 0x02, 0x01, 0, 0, 0x9d, 0x90}};
    ASSERT_EQ(m.run_for(4), RunOutcome::time);
    EXPECT_TRUE(m.c.enclave.active);
    EXPECT_EQ(rflags(m.c) & tf, 0u);

    Session opted_in{true, {0x68, 0x02, 0x01, 0, 0, 0x9d, 0x90}};
    ASSERT_EQ(opted_in.run_for(100), RunOutcome::vm_exit);  // after the NOP
    EXPECT_EQ(opted_in.vmcs(VmcsField::exit_reason), 0x0800'0000u);
    EXPECT_EQ(opted_in.gprsgx().rip, inside_rip + 7);
}

TEST(MonitorTrapOfAnEnclave, AnOptOutVisitExitsOnceAfterEexit) {
    Session m{false};
    m.monitor_trap();
    ASSERT_EQ(m.run_for(100), RunOutcome::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 37u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), back);
    EXPECT_EQ(m.vmcs(VmcsField::guest_interruptibility_state), 0u);
    EXPECT_EQ(m.retired, 5u);
}

TEST(MonitorTrapOfAnEnclave, AnOptInEntryExitsBeforeTheFirstInstructionInside) {
    Session m{true};
    m.monitor_trap();
    ASSERT_EQ(m.run_for(100), RunOutcome::vm_exit);
    m.expect_synthetic(37);
    EXPECT_EQ(m.retired, 1u);
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0u);
}

TEST(MonitorTrapOfAnEnclave, AnOptInEresumeExitsAfterTheFirstInstructionInside) {
    Session m{true};
    m.monitor_trap();
    ASSERT_EQ(m.run_for(100), RunOutcome::vm_exit);
    m.resume();
    ASSERT_EQ(m.run_for(100), RunOutcome::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0x0800'0025u);
    EXPECT_EQ(m.gprsgx().rip, inside_rip + 1);
    EXPECT_EQ(m.retired, 2u);
}

TEST(MonitorTrapOfAnEnclave, AnAexIsFollowedByTheExitBeforeTheHandler) {
    for (const bool opt_in : {false, true}) {
        Session m{opt_in, undefined};
        if (opt_in) {  // past the entry's own exit
            m.set(VmcsField::primary_processor_based_controls, 0);
            ASSERT_EQ(m.run_for(1), RunOutcome::time);
        }
        m.monitor_trap();
        ASSERT_EQ(m.run_for(100), RunOutcome::vm_exit);
        EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 37u);
        EXPECT_EQ(m.vmcs(VmcsField::guest_rip), rip_of_handler_6);
        EXPECT_EQ(m.at<u64>(rsp0 - 0x28), sgx::aep);
    }
}

TEST(MonitorTrapOfAnEnclave, IsLostIfTheAexIsForAnotherExit) {
    Session m{false, undefined};
    m.monitor_trap();
    m.set(VmcsField::exception_bitmap, 1u << 6);
    ASSERT_EQ(m.run_for(100), RunOutcome::vm_exit);
    m.expect_synthetic(0);
    EXPECT_FALSE(m.c.event.mtf_pending);
}

struct Trap {
    const char* name;
    std::initializer_list<u8> code;
    bool type3;       // the choice
    u32 information;  // of the VM exit
    u32 exitinfo;
};

TEST(BreakpointInstruction, InAnOptInEnclaveFaultsOnItself) {
    const Trap traps[]{{"INT3", {0xcc}, false, 0x8000'0303, 0x8000'0603},
                       {"INT1", {0xf1}, false, 0x8000'0501, 0x8000'0301},
                       {"INT1 as type 3", {0xf1}, true, 0x8000'0301, 0x8000'0301}};
    for (const Trap& trap : traps) {
        SCOPED_TRACE(trap.name);
        Session m{true, trap.code};
        m.system.choices.int1_in_debug_enclave_is_type3 = trap.type3;
        ASSERT_EQ(m.run_for(100), RunOutcome::vm_exit);
        m.expect_synthetic(0);
        EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), trap.information);
        EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), 0u);
        EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), trap.exitinfo);
        EXPECT_EQ(m.gprsgx().rflags & rf, rf);
        EXPECT_EQ(m.retired, 1u);
        EXPECT_EQ(m.c.dr6, 0xffff'0ff0u);
    }
}

TEST(BreakpointInstruction, DeliveredFromAnOptInEnclavePushesTheAepAndSetsNoBitOfDr6) {
    for (const bool type3 : {false, true}) {
        Session m{true, {0xf1}};
        m.system.choices.int1_in_debug_enclave_is_type3 = type3;
        m.set(VmcsField::exception_bitmap, 0);
        m.outside_code(0x10'0010, {0xf4});
        ASSERT_EQ(m.run_for(10), RunOutcome::halted);
        EXPECT_EQ(m.c.rip, 0x10'0011u);
        EXPECT_EQ(m.at<u64>(rsp0 - 0x28), sgx::aep);
        EXPECT_EQ(m.c.dr6, 0xffff'0ff0u);
        EXPECT_EQ(m.gprsgx().rip, inside_rip);
    }
}

TEST(BreakpointInstruction, InAnOptOutEnclaveIsUndefined) {
    for (const u8 opcode : {u8{0xcc}, u8{0xf1}}) {
        Session m{false, {opcode}};
        m.set(VmcsField::exception_bitmap, 1u << 1 | 1u << 3 | 1u << 6);
        ASSERT_EQ(m.run_for(100), RunOutcome::vm_exit);
        m.expect_synthetic(0);
        EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), 0x8000'0306u);
        EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0x8000'0306u);
    }
}

TEST(TimeStamp, InAnEnclaveIsUndefinedWithoutSgx2AndExitsWithIt) {
    for (const bool sgx2 : {false, true}) {
        Session m{false, {0x0f, 0x31}};
        m.model.features.set(Feature::sgx2, sgx2);
        m.set(VmcsField::exception_bitmap, 1u << 6);
        m.set(VmcsField::primary_processor_based_controls, 1u << 12);
        ASSERT_EQ(m.run_for(100), RunOutcome::vm_exit);
        m.expect_synthetic(sgx2 ? 16 : 0);
        EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), sgx2 ? 0 : 0x8000'0306u);

        m.set(VmcsField::primary_processor_based_controls, 0);
        m.resume();
        EXPECT_EQ(m.run_for(2), sgx2 ? RunOutcome::time : RunOutcome::vm_exit);
    }
}

TEST(RepeatedString, AnInterruptBetweenIterationsSavesRfInTheSsaAndNotInTheVmcs) {
    // REP STOSB
    Session m{false, {0xf3, 0xaa}};
    ASSERT_EQ(m.run_for(1), RunOutcome::time);
    m.c.gpr[rcx] = 100;
    m.c.gpr[rdi] = sgx::elrange + sgx::data_offset;
    m.c.vmx.preemption_deadline = now(m.c) + 7;
    ASSERT_EQ(m.run_for(100), RunOutcome::vm_exit);
    m.expect_synthetic(52);
    EXPECT_EQ(m.gprsgx().rcx, 93u);
    EXPECT_EQ(m.gprsgx().rflags & rf, rf);

    Session before{false, {0xf3, 0xaa}};
    ASSERT_EQ(before.run_for(1), RunOutcome::time);
    before.c.vmx.preemption_deadline = now(before.c);
    ASSERT_EQ(before.run_for(100), RunOutcome::vm_exit);
    EXPECT_EQ(before.gprsgx().rflags & rf, 0u);
}

}  // namespace
}  // namespace postern::cpu
