// SPDX-License-Identifier: Apache-2.0
// SGX2's leaves together, as a driver and an enclave use them; on several processors where it
// takes more than one.
#include <optional>

#include "cpu/mmu/access.h"
#include "cpu/run.h"
#include "unit/cpu/event/inside.h"
#include "unit/cpu/sgx/sgx2_machine.h"

namespace postern::cpu::sgx {
namespace {

using enum SgxError;

constexpr u64 new_linear = elrange + new_offset, data_linear = elrange + data_offset;
constexpr u64 frame_1_page = 4, frame_1_offset = 0x3000;
constexpr u32 read_fault = sgx_fault(false, true), write_fault = sgx_fault(true, true);

void expect_load_faults(Sgx2Machine& m, u64 linear) {
    m.c.pending = {};
    EXPECT_FALSE(load(m.c, Gva{linear}, 8).ok());
    EXPECT_EQ(pending_fault(m.c), pf(linear, read_fault));
}
void expect_store_faults(Sgx2Machine& m, u64 linear) {
    m.c.pending = {};
    EXPECT_FALSE(store(m.c, Gva{linear}, 8, 1).ok());
    EXPECT_EQ(pending_fault(m.c), pf(linear, write_fault));
}

/// A second thread, at 5000H of ELRANGE, with the second SSA frame; made inside the running
/// enclave.
void add_thread(Sgx2Machine& m) {
    Tcs& content = m.epc.tcs(frame_1_page);
    content = {};
    content.ossa = frame_1_offset;
    content.nssa = 1;
    content.oentry = code_offset + 0x10;
    m.eaug();
    EXPECT_EQ(m.eacceptcopy(new_offset, type_reg | 3, frame_1_offset), success);
    EXPECT_EQ(m.emodt(new_page, type_tcs), success);
    EXPECT_EQ(m.eaccept(new_offset, type_tcs | flag_modified), not_tracked);
    EXPECT_EQ(m.etrack(), success);
    EXPECT_EQ(m.eaccept(new_offset, type_tcs | flag_modified), not_tracked);
    m.bounce();
    EXPECT_EQ(m.eaccept(new_offset, type_tcs | flag_modified), success);
}

TEST(Sgx2, APageIsAddedAndAccepted) {
    Sgx2Machine m;
    m.enter();
    m.eaug();
    expect_load_faults(m, new_linear);
    expect_store_faults(m, new_linear);
    EXPECT_EQ(m.eaccept(new_offset, type_reg | flag_pending | 3), success);
    EXPECT_EQ(load(m.c, Gva{new_linear}, 8).value(), 0u);
    EXPECT_TRUE(store(m.c, Gva{new_linear}, 8, 0x1234).ok());
    EXPECT_EQ(load(m.c, Gva{new_linear}, 8).value(), 0x1234u);
    EXPECT_EQ(m.eaccept(new_offset, type_reg | flag_pending | 3), page_attributes_mismatch);
}

TEST(Sgx2, PagingFaultsOnAPendingPageComeFirst) {
    Sgx2Machine m;
    m.enter();
    m.eaug();
    m.map(new_linear, 0, 0);
    EXPECT_FALSE(load(m.c, Gva{new_linear + 8}, 8).ok());
    EXPECT_EQ(pending_fault(m.c), pf(new_linear + 8, 4));
}

TEST(Sgx2, APageIsAddedWithContentAndPermissions) {
    Sgx2Machine m;
    m.enter();
    m.eaug();
    EXPECT_EQ(m.eacceptcopy(new_offset, type_reg | 5, code_offset), success);
    EXPECT_EQ(load(m.c, Gva{new_linear}, 4).value(), 0x160f'0801u);
    expect_store_faults(m, new_linear);
    EXPECT_EQ(m.eacceptcopy(new_offset, type_reg | 5, code_offset), page_attributes_mismatch);
}

TEST(Sgx2, APendingPageCanBeTakenBackOnceNobodyIsInside) {
    Sgx2Machine m;
    m.enter();
    m.eaug();
    EXPECT_EQ(m.emodpr(new_page, type_reg | 1), page_not_modifiable);
    EXPECT_EQ(m.emodt(new_page, type_trim), page_not_modifiable);
    EXPECT_EQ(m.eremove(new_page), enclave_act);
    asynchronous_exit(m.c, {});
    EXPECT_EQ(m.eremove(new_page), success);
    EXPECT_EQ(m.epc.hidden(secs_page).children, 5u);
}

TEST(Sgx2, APageBecomesAThreadThatCanBeEntered) {
    Sgx2Machine m;
    Processor other{m};
    m.enter();
    add_thread(m);
    other.c.cpl = 3;
    ASSERT_TRUE(other.enclu(EncluLeaf::eenter, new_linear, aep).ok());
    EXPECT_EQ(other.c.next_rip, elrange + code_offset + 0x10);
    EXPECT_EQ(m.epc.tcs(new_page).state, TcsState::active);
    EXPECT_EQ(m.epc.hidden(secs_page).active_threads, 2u);
}

TEST(Sgx2, AThreadThatIsNotAcceptedYetCannotBeEntered) {
    Sgx2Machine m;
    Processor other{m};
    m.enter();
    add_thread(m);
    m.entry(new_page).modified = true;
    other.c.cpl = 3;
    ASSERT_FALSE(other.enclu(EncluLeaf::eenter, new_linear, aep).ok());
    EXPECT_EQ(pending_fault(other.c), pf(new_linear, write_fault));
}

TEST(Sgx2, ARestrictionIsAcceptedOnlyWhenEveryThreadOfThenHasLeft) {
    Sgx2Machine m;
    Processor other{m};
    m.enter();
    add_thread(m);
    other.c.cpl = 3;
    ASSERT_TRUE(other.enclu(EncluLeaf::eenter, new_linear, aep).ok());

    constexpr u64 restricted = type_reg | flag_pr | 1;
    EXPECT_EQ(m.emodpr(data_page, type_reg | 1), success);
    EXPECT_EQ(m.eaccept(data_offset, restricted), not_tracked);
    m.bounce();  // no ETRACK yet: it does not count
    EXPECT_EQ(m.eaccept(data_offset, restricted), not_tracked);
    EXPECT_EQ(m.etrack(), success);
    EXPECT_EQ(m.eaccept(data_offset, restricted), not_tracked);
    m.bounce();
    EXPECT_EQ(m.eaccept(data_offset, restricted), not_tracked);
    EXPECT_EQ(m.etrack(), prev_trk_incmpl);

    asynchronous_exit(other.c, {});
    EXPECT_EQ(m.eaccept(data_offset, type_reg | flag_pr | 3), page_attributes_mismatch);
    EXPECT_TRUE(m.entry(data_page).pr);
    EXPECT_EQ(m.eaccept(data_offset, restricted), success);
    EXPECT_FALSE(m.entry(data_page).pr);
    EXPECT_EQ(m.etrack(), success);
}

TEST(Sgx2, WhoeverEntersAfterTheEtrackIsNotWaitedFor) {
    Sgx2Machine m;
    Processor other{m};
    m.enter();
    add_thread(m);
    EXPECT_EQ(m.emodpr(data_page, type_reg | 1), success);
    EXPECT_EQ(m.etrack(), success);
    other.c.cpl = 3;
    ASSERT_TRUE(other.enclu(EncluLeaf::eenter, new_linear, aep).ok());
    m.bounce();
    EXPECT_EQ(m.eaccept(data_offset, type_reg | flag_pr | 1), success);
}

TEST(Sgx2, EachChangeIsTrackedAnew) {
    Sgx2Machine m;
    m.enter();
    m.eaug();
    EXPECT_EQ(m.eaccept(new_offset, type_reg | flag_pending | 3), success);
    EXPECT_EQ(m.emodpr(new_page, type_reg | 1), success);
    EXPECT_EQ(m.etrack(), success);
    m.bounce();
    EXPECT_EQ(m.emodt(new_page, type_trim), success);  // though the first was never accepted
    EXPECT_EQ(m.eaccept(new_offset, type_trim | flag_modified), not_tracked);
    EXPECT_EQ(m.etrack(), success);
    m.bounce();
    EXPECT_EQ(m.eaccept(new_offset, type_trim | flag_modified), success);
}

TEST(Sgx2, APageIsTrimmedAndRemovedWhileTheEnclaveRuns) {
    Sgx2Machine m;
    m.enter();
    EXPECT_EQ(m.emodt(code_page, type_trim), success);
    EXPECT_FALSE(m.os.encls(EnclsLeaf::emodt, secinfo_at, window_of(code_page)).ok());
    EXPECT_EQ(pending_fault(m.os.c), pf(window_of(code_page), sgx_fault(true, false)));
    EXPECT_EQ(m.eremove(code_page), enclave_act);
    expect_load_faults(m, elrange + code_offset);
    EXPECT_EQ(m.etrack(), success);
    m.bounce();
    EXPECT_EQ(m.eaccept(code_offset, type_trim | flag_modified), success);
    expect_load_faults(m, elrange + code_offset);
    EXPECT_EQ(m.eremove(code_page), success);
    EXPECT_FALSE(m.entry(code_page).valid);
    EXPECT_EQ(m.epc.hidden(secs_page).children, 4u);
}

TEST(Sgx2, AThreadIsTrimmedToo) {
    Sgx2Machine m;
    m.enter();
    add_thread(m);
    EXPECT_EQ(m.emodt(new_page, type_trim), success);
    EXPECT_EQ(m.etrack(), success);
    m.bounce();
    EXPECT_EQ(m.eaccept(new_offset, type_trim | flag_modified), success);
    EXPECT_EQ(m.eremove(new_page), success);
    m.eaug();  // and the place is free again
    EXPECT_EQ(m.eaccept(new_offset, type_reg | flag_pending | 3), success);
}

TEST(Sgx2, PermissionsAreTakenAndGivenBack) {
    Sgx2Machine m;
    m.enter();
    EXPECT_EQ(m.emodpr(data_page, type_reg | 1), success);
    EXPECT_EQ(m.etrack(), success);
    m.bounce();
    expect_store_faults(m, data_linear);
    EXPECT_EQ(m.eaccept(data_offset, type_reg | flag_pr | 1), success);
    expect_store_faults(m, data_linear);
    EXPECT_TRUE(m.emodpe(data_offset, type_reg | 3));
    EXPECT_TRUE(store(m.c, Gva{data_linear}, 8, 1).ok());
}

TEST(Sgx2, OperandsHave32BitsOutside64BitMode) {
    constexpr u64 garbage = 0xdead'beef'0000'0000;
    constexpr u64 secinfo = garbage | (data_linear + own_secinfo);
    Sgx2Machine m;
    m.enter();
    m.eaug();
    m.c.segment[cs].access_rights = 0xc0fb;  // of 32 bits
    m.put_own_secinfo(type_reg | flag_pending | 3);
    ASSERT_TRUE(m.enclu(EncluLeaf::eaccept, secinfo, garbage | new_linear).ok());
    EXPECT_EQ(m.c.gpr[rax], 0u);
    EXPECT_FALSE(m.entry(new_page).pending);
    m.put_own_secinfo(type_reg | 4);
    ASSERT_TRUE(m.enclu(EncluLeaf::emodpe, secinfo, garbage | new_linear).ok());
    EXPECT_TRUE(m.entry(new_page).x);

    m.entry(new_page).pending = true;
    m.entry(new_page).x = false;
    m.put_own_secinfo(type_reg | 5);
    m.c.gpr[rdx] = garbage | (elrange + code_offset);
    ASSERT_TRUE(m.enclu(EncluLeaf::eacceptcopy, secinfo, garbage | new_linear).ok());
    EXPECT_EQ(m.c.gpr[rax], 0u);
    EXPECT_EQ(m.epc.at<u32>(new_page * page_size), 0x160f'0801u);
}

// Running code, and translations that are out of date.

struct Running : Outside {
    Running() {
        model.features.set(Feature::sgx2);
        as_kernel();
        os.emplace(*this);
        as_user();
        if (!eenter()) std::abort();
        c.rip = inside_rip;
        c.pending = {};
        c.event.trap_inhibited = false;
        c.gpr[rdi] = data_linear;
        set(VmcsField::exception_bitmap, 1u << 13 | 1u << 14);
    }
    RunOutcome run_for(u64 instructions) { return run(c, now(c) + instructions); }
    std::optional<Processor> os;
};

/// MOV EAX, [RDI]; MOV [RDI], EAX
constexpr std::initializer_list<u8> load_then_stores{0x8b, 0x07, 0x89, 0x07, 0x89,
                                                     0x07, 0x89, 0x07, 0x89, 0x07};

TEST(Sgx2, ARestrictionDoesNotReachTranslationsThatAreThereAlready) {
    Running m;
    m.enclave_code(load_then_stores);
    ASSERT_EQ(m.run_for(2), RunOutcome::time);
    m.at<Secinfo>(secinfo_at) = {};
    m.at<Secinfo>(secinfo_at).flags = SecinfoFlags::from_raw(0x201);
    ASSERT_TRUE(m.os->encls(EnclsLeaf::emodpr, secinfo_at, window_of(data_page)).ok());
    ASSERT_EQ(m.run_for(1), RunOutcome::time);

    asynchronous_exit(m.c, {});
    ASSERT_TRUE(m.eresume().ok());
    m.c.rip = m.c.next_rip;
    ASSERT_EQ(m.run_for(1), RunOutcome::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0x0800'0000u);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), 0x8000'0b0eu);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_error_code), write_fault);
    EXPECT_EQ(m.gprsgx().rip, inside_rip + 6);
}

TEST(Sgx2, ATrimmedPageIsUsedOnByWhoHasATranslation) {
    Running m;
    m.enclave_code(load_then_stores);
    ASSERT_EQ(m.run_for(2), RunOutcome::time);
    m.at<Secinfo>(secinfo_at) = {};
    m.at<Secinfo>(secinfo_at).flags = SecinfoFlags::from_raw(type_trim);
    ASSERT_TRUE(m.os->encls(EnclsLeaf::emodt, secinfo_at, window_of(data_page)).ok());
    ASSERT_EQ(m.run_for(1), RunOutcome::time);
    flush_translations(m.c);
    ASSERT_EQ(m.run_for(1), RunOutcome::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_error_code), write_fault);
}

TEST(Sgx2, AnExtensionIsSeenAtOnceThoughATranslationWithoutItIsThere) {
    Running m;
    m.entry(data_page).w = false;
    // MOV EAX, [RDI]; MOV RAX, 6; ENCLU; MOV [RDI], EAX
    m.enclave_code({0x8b, 0x07, 0x48, 0xc7, 0xc0, 6, 0, 0, 0, 0x0f, 0x01, 0xd7, 0x89, 0x07});
    m.epc.at<Secinfo>(data_page * page_size + own_secinfo) = {};
    m.epc.at<Secinfo>(data_page * page_size + own_secinfo).flags = SecinfoFlags::from_raw(0x203);
    m.c.gpr[rbx] = data_linear + own_secinfo;
    m.c.gpr[rcx] = data_linear;
    EXPECT_EQ(m.run_for(4), RunOutcome::time);
    EXPECT_EQ(m.epc.at<u32>(data_page * page_size), 6u);
}

TEST(Sgx2, AFaultOfALeafInsideLeavesTheEnclave) {
    Running m;
    m.enclave_code({0x0f, 0x01, 0xd7});
    m.c.gpr[rax] = 5;
    m.c.gpr[rbx] = secinfo_at;
    m.c.gpr[rcx] = data_linear;
    ASSERT_EQ(m.run_for(1), RunOutcome::vm_exit);
    m.expect_synthetic(0);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), 0x8000'0b0du);
    EXPECT_EQ(m.gprsgx().rbx, secinfo_at);
}

// A data breakpoint on the SECINFO: seen after an opt-in entry, as those of EREPORT's operands are.
TEST(Sgx2, OperandsMeetDataBreakpointsAfterAnOptInEntryOnly) {
    for (const bool opt_in : {false, true}) {
        Running m;
        asynchronous_exit(m.c, {});
        m.tcs().flags.set(TcsFlag::dbgoptin, opt_in);
        ASSERT_TRUE(m.eresume().ok());
        m.c.rip = m.c.next_rip;
        m.c.event.trap_inhibited = false;
        m.set(VmcsField::exception_bitmap, 1u << 1 | 1u << 13 | 1u << 14);
        m.enclave_code({0x0f, 0x01, 0xd7, 0x90, 0x90});
        m.epc.at<Secinfo>(data_page * page_size + own_secinfo) = {};
        m.epc.at<Secinfo>(data_page * page_size + own_secinfo).flags =
            SecinfoFlags::from_raw(0x203);
        m.c.gpr[rax] = 6;
        m.c.gpr[rbx] = data_linear + own_secinfo;
        m.c.gpr[rcx] = data_linear;
        m.c.dr[0] = data_linear + own_secinfo + 8;
        m.c.dr7 = 0xf'0402;  // DR0: reads and writes of 4 bytes
        EXPECT_EQ(m.run_for(2), opt_in ? RunOutcome::vm_exit : RunOutcome::time);
        EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), opt_in ? 1u : 0u);
    }
}

}  // namespace
}  // namespace postern::cpu::sgx
