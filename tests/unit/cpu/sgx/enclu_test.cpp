// SPDX-License-Identifier: Apache-2.0
// ENCLU: the checks of the instruction itself, EENTER and EEXIT.
#include <gtest/gtest.h>

#include <string>

#include "arch/vmx/controls.h"
#include "cpu/flags.h"
#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx {
namespace {

constexpr Fault nm{Vector::device_not_available};
constexpr u32 user_fault = sgx_fault(true, true);

void ready_to_enter(EnclaveMachine& m) {
    m.build_and_initialise();
    m.c.gpr[rax] = static_cast<u64>(EncluLeaf::eenter);
    m.c.gpr[rbx] = elrange + tcs_offset;
    m.c.gpr[rcx] = aep;
    m.c.rip = outside_rip;
    m.c.next_rip = outside_rip + 3;
    m.c.pending = {};
}

/// One AEX behind it, so that ERESUME has a frame to load.
void ready_to_resume(EnclaveMachine& m) {
    m.go_inside();
    asynchronous_exit(m.c, {});
    m.c.gpr[rax] = static_cast<u64>(EncluLeaf::eresume);
    m.c.rip = outside_rip;
    m.c.next_rip = outside_rip + 3;
    m.c.pending = {};
}

void expect_fault_only(EnclaveMachine& m, const Fault& fault) {
    const State before{m};
    EXPECT_FALSE(sgx::enclu(m.c).ok());
    EXPECT_EQ(pending_fault(m.c), fault);
    EXPECT_TRUE(State{m} == before);
}

class EncluViolation : public testing::TestWithParam<Violation> {};

TEST_P(EncluViolation, FaultsAndChangesNothing) {
    EnclaveMachine m;
    ready_to_enter(m);
    GetParam().arrange(m);
    expect_fault_only(m, GetParam().fault);
}

constexpr Violation enclu_violations[] = {
    {"OutsideProtectedMode", [](EnclaveMachine& m) { m.c.cr0.set(Cr0::pe, false); }, ud},
    {"InVirtual8086Mode", [](EnclaveMachine& m) { m.c.flags.set(Rflag::vm); }, ud},
    {"WithoutAnEpc", [](EnclaveMachine& m) { m.system.epc = nullptr; }, ud},
    {"WithTsSetAtPrivilegeLevel0",
     [](EnclaveMachine& m) {
         m.as_kernel();
         m.c.cr0.set(Cr0::ts);
     },
     nm},
    {"AtPrivilegeLevel0", [](EnclaveMachine& m) { m.as_kernel(); }, ud},
    {"WithSgxDisabled", [](EnclaveMachine& m) { m.c.msr.feature_control = 1; }, gp0},
    {"WithFeatureControlUnlocked",
     [](EnclaveMachine& m) { m.c.msr.feature_control = u64{1} << 18; }, gp0},
    {"WithAnUndefinedLeaf", [](EnclaveMachine& m) { m.c.gpr[rax] = 0x99; }, gp0},
    {"WithPagingOff", [](EnclaveMachine& m) { m.c.cr0.set(Cr0::pg, false); }, gp0},
    {"WithNeClear", [](EnclaveMachine& m) { m.c.cr0.set(Cr0::ne, false); }, gp0},
    {"EreportOutside", [](EnclaveMachine& m) { m.c.gpr[rax] = 0; }, gp0},
    {"EgetkeyOutside", [](EnclaveMachine& m) { m.c.gpr[rax] = 1; }, gp0},
    {"EexitOutside", [](EnclaveMachine& m) { m.c.gpr[rax] = 4; }, gp0},
    {"EacceptWithoutSgx2", [](EnclaveMachine& m) { m.c.gpr[rax] = 5; }, gp0},
};

INSTANTIATE_TEST_SUITE_P(Enclu, EncluViolation, testing::ValuesIn(enclu_violations),
                         [](const auto& test) { return std::string{test.param.name}; });

TEST(Enclu, EnteringAndResumingInsideAnEnclaveIsGp) {
    EnclaveMachine m;
    m.go_inside();
    EXPECT_FALSE(m.eenter().ok());
    EXPECT_EQ(pending_fault(m.c), gp0);
    EXPECT_FALSE(m.eresume().ok());
    EXPECT_EQ(pending_fault(m.c), gp0);
    EXPECT_TRUE(m.c.enclave.active);
}

TEST(Enclu, ALeafThatIsNotBuiltYetIsNamed) {
    EnclaveMachine m;
    m.go_inside();
    m.model.features.set(Feature::sgx_everifyreport2);
    ASSERT_FALSE(m.enclu(EncluLeaf::everifyreport2, 0, 0).ok());
    EXPECT_EQ(m.c.pending.kind, PendingKind::unimplemented);
    EXPECT_STREQ(m.c.pending.what, "ENCLU[EVERIFYREPORT2]");
}

// What EENTER and ERESUME check alike.

void use_ssa_entry(EnclaveMachine& m, void (*change)(EpcmEntry&)) { change(m.entry(ssa_page)); }

constexpr Fault tcs_fault = pf(elrange + tcs_offset, user_fault);
constexpr Fault ssa_fault = pf(elrange + ssa_offset, user_fault);

constexpr Violation entry_violations[] = {
    {"TcsNotAligned", [](EnclaveMachine& m) { m.c.gpr[rbx] += 0x10; }, gp0},
    {"TcsNotInTheEpc", [](EnclaveMachine& m) { m.c.gpr[rbx] = source_at; },
     pf(source_at, user_fault)},
    {"TcsNotMapped", [](EnclaveMachine& m) { m.c.gpr[rbx] = unmapped; }, pf(unmapped, 6)},
    {"AepNotCanonical", [](EnclaveMachine& m) { m.c.gpr[rcx] = not_canonical; }, gp0},
    {"TcsNotValid", [](EnclaveMachine& m) { m.entry(tcs_page).valid = false; }, tcs_fault},
    {"TcsBlocked", [](EnclaveMachine& m) { m.entry(tcs_page).blocked = true; }, tcs_fault},
    {"TcsAtAnotherAddress", [](EnclaveMachine& m) { m.c.gpr[rbx] = window_of(tcs_page); },
     pf(window_of(tcs_page), user_fault)},
    {"PageNotATcs", [](EnclaveMachine& m) { m.c.gpr[rbx] = elrange + data_offset; },
     pf(elrange + data_offset, user_fault)},
    {"TcsPending", [](EnclaveMachine& m) { m.entry(tcs_page).pending = true; }, tcs_fault},
    {"TcsModified", [](EnclaveMachine& m) { m.entry(tcs_page).modified = true; }, tcs_fault},
    {"OssaNotAligned", [](EnclaveMachine& m) { m.tcs().ossa += 8; }, gp0},
    {"OfsbaseNotAligned", [](EnclaveMachine& m) { m.tcs().ofsbase += 8; }, gp0},
    {"OgsbaseNotAligned", [](EnclaveMachine& m) { m.tcs().ogsbase += 8; }, gp0},
    {"FlagsReserved", [](EnclaveMachine& m) { m.tcs().flags = TcsFlags::from_raw(4); }, gp0},
    {"AexNotifyUnsupported", [](EnclaveMachine& m) { m.tcs().flags = {TcsFlag::aexnotify}; }, gp0},
    {"EnclaveNotInitialised",
     [](EnclaveMachine& m) { m.secs().attributes.flags.set(SgxAttribute::init, false); }, gp0},
    {"EnclaveOf32Bits",
     [](EnclaveMachine& m) { m.secs().attributes.flags.set(SgxAttribute::mode64bit, false); }, gp0},
    {"OsfxsrClear", [](EnclaveMachine& m) { m.c.cr4.set(Cr4::osfxsr, false); }, gp0},
    {"XfrmBeyondXcr0",
     [](EnclaveMachine& m) {
         m.secs().attributes.xfrm.set(Xcr0::avx);
         m.c.xcr0 = 3;
     },
     gp0},
    {"XfrmBeyondSseWithoutOsxsave",
     [](EnclaveMachine& m) {
         m.secs().attributes.xfrm.set(Xcr0::avx);
         m.c.cr4.set(Cr4::osxsave, false);
     },
     gp0},
    {"SsaNotMapped", [](EnclaveMachine& m) { m.map(elrange + ssa_offset, 0, 0); },
     pf(elrange + ssa_offset, 6)},
    {"SsaNotWritableByPaging",
     [](EnclaveMachine& m) {
         m.map(elrange + ssa_offset, epc_physical + ssa_page * page_size, pte_p | pte_u);
     },
     pf(elrange + ssa_offset, 7)},
    {"SsaNotInTheEpc",
     [](EnclaveMachine& m) { m.map(elrange + ssa_offset, source_at, pte_p | pte_w | pte_u); },
     ssa_fault},
    {"SsaNotValid",
     [](EnclaveMachine& m) { use_ssa_entry(m, [](EpcmEntry& e) { e.valid = false; }); }, ssa_fault},
    {"SsaBlocked",
     [](EnclaveMachine& m) { use_ssa_entry(m, [](EpcmEntry& e) { e.blocked = true; }); },
     ssa_fault},
    {"SsaPending",
     [](EnclaveMachine& m) { use_ssa_entry(m, [](EpcmEntry& e) { e.pending = true; }); },
     ssa_fault},
    {"SsaModified",
     [](EnclaveMachine& m) { use_ssa_entry(m, [](EpcmEntry& e) { e.modified = true; }); },
     ssa_fault},
    {"SsaAtAnotherAddress",
     [](EnclaveMachine& m) {
         use_ssa_entry(m, [](EpcmEntry& e) { e.enclave_address += page_size; });
     },
     ssa_fault},
    {"SsaOfAnotherType",
     [](EnclaveMachine& m) { use_ssa_entry(m, [](EpcmEntry& e) { e.page_type = PageType::tcs; }); },
     ssa_fault},
    {"SsaOfAnotherEnclave",
     [](EnclaveMachine& m) { use_ssa_entry(m, [](EpcmEntry& e) { e.enclave_secs = 9; }); },
     ssa_fault},
    {"SsaNotReadable",
     [](EnclaveMachine& m) { use_ssa_entry(m, [](EpcmEntry& e) { e.r = false; }); }, ssa_fault},
    {"SsaNotWritable",
     [](EnclaveMachine& m) { use_ssa_entry(m, [](EpcmEntry& e) { e.w = false; }); }, ssa_fault},
    {"TcsActive", [](EnclaveMachine& m) { m.tcs().state = TcsState::active; }, gp0},
};

class EenterEntryViolation : public testing::TestWithParam<Violation> {};

TEST_P(EenterEntryViolation, FaultsAndChangesNothing) {
    EnclaveMachine m;
    ready_to_enter(m);
    GetParam().arrange(m);
    expect_fault_only(m, GetParam().fault);
}

class EresumeEntryViolation : public testing::TestWithParam<Violation> {};

TEST_P(EresumeEntryViolation, FaultsAndChangesNothing) {
    EnclaveMachine m;
    ready_to_resume(m);
    GetParam().arrange(m);
    expect_fault_only(m, GetParam().fault);
}

const auto name_of_violation = [](const auto& test) { return std::string{test.param.name}; };
INSTANTIATE_TEST_SUITE_P(Eenter, EenterEntryViolation, testing::ValuesIn(entry_violations),
                         name_of_violation);
INSTANTIATE_TEST_SUITE_P(Eresume, EresumeEntryViolation, testing::ValuesIn(entry_violations),
                         name_of_violation);

// What each checks for itself.

class EenterViolation : public testing::TestWithParam<Violation> {};

TEST_P(EenterViolation, FaultsAndChangesNothing) {
    EnclaveMachine m;
    ready_to_enter(m);
    GetParam().arrange(m);
    expect_fault_only(m, GetParam().fault);
}

constexpr Violation eenter_violations[] = {
    {"FsBaseNotCanonical", [](EnclaveMachine& m) { m.tcs().ofsbase = not_canonical; }, gp0},
    {"GsBaseNotCanonical", [](EnclaveMachine& m) { m.tcs().ogsbase = not_canonical; }, gp0},
    {"NoSsaFrameLeft", [](EnclaveMachine& m) { m.tcs().cssa = 2; }, gp0},
    {"EntryNotCanonical", [](EnclaveMachine& m) { m.tcs().oentry = not_canonical; }, gp0},
};
INSTANTIATE_TEST_SUITE_P(Eenter, EenterViolation, testing::ValuesIn(eenter_violations),
                         name_of_violation);

class EresumeViolation : public testing::TestWithParam<Violation> {};

TEST_P(EresumeViolation, FaultsAndChangesNothing) {
    EnclaveMachine m;
    ready_to_resume(m);
    GetParam().arrange(m);
    expect_fault_only(m, GetParam().fault);
}

constexpr Violation eresume_violations[] = {
    {"NoFrameToResume", [](EnclaveMachine& m) { m.tcs().cssa = 0; }, gp0},
    {"RipNotCanonical", [](EnclaveMachine& m) { m.gprsgx().rip = not_canonical; }, gp0},
    {"FsBaseNotCanonical", [](EnclaveMachine& m) { m.gprsgx().fsbase = not_canonical; }, gp0},
    {"GsBaseNotCanonical", [](EnclaveMachine& m) { m.gprsgx().gsbase = not_canonical; }, gp0},
    {"MxcsrReserved", [](EnclaveMachine& m) { m.xsave<u32>(24) = 0x1'0000; }, gp0},
    {"XstateBvOutsideXfrm", [](EnclaveMachine& m) { m.xsave<u64>(512) = 7; }, gp0},
    {"XcompBvNotZero", [](EnclaveMachine& m) { m.xsave<u64>(520) = u64{1} << 63; }, gp0},
    {"XsaveHeaderReserved", [](EnclaveMachine& m) { m.xsave<u64>(528) = 1; }, gp0},
};
INSTANTIATE_TEST_SUITE_P(Eresume, EresumeViolation, testing::ValuesIn(eresume_violations),
                         name_of_violation);

TEST(Eenter, GoesToTheEntryPointWithItsOwnSegmentsAndXcr0) {
    EnclaveMachine m;
    m.build_and_initialise();
    m.c.gpr[rsp] = 0x1111;
    m.c.gpr[rbp] = 0x2222;
    m.c.gpr[rdx] = 0x3333;
    m.c.gpr[r15] = 0x4444;
    set_rflags(m.c, 0x8d5 | 0x200 | 0x400 | 2);
    ASSERT_TRUE(m.eenter().ok());

    EXPECT_EQ(m.c.next_rip, elrange + code_offset + 0x10);
    EXPECT_EQ(m.c.gpr[rax], 0u);
    EXPECT_EQ(m.c.gpr[rcx], outside_rip + 3);
    EXPECT_EQ(m.c.gpr[rbx], elrange + tcs_offset);
    EXPECT_EQ(m.c.gpr[rsp], 0x1111u);
    EXPECT_EQ(m.c.gpr[rbp], 0x2222u);
    EXPECT_EQ(m.c.gpr[rdx], 0x3333u);
    EXPECT_EQ(m.c.gpr[r15], 0x4444u);
    EXPECT_EQ(rflags(m.c), 0x8d5u | 0x200 | 0x400 | 2);
    EXPECT_EQ(m.gprsgx().ursp, 0x1111u);
    EXPECT_EQ(m.gprsgx().urbp, 0x2222u);
    EXPECT_EQ(m.c.segment[fs].base, elrange + 0x5000);
    EXPECT_EQ(m.c.segment[gs].base, elrange + 0x6000);
    EXPECT_EQ(m.c.gpr[row_fs_base], elrange + 0x5000);
    EXPECT_EQ(m.c.gpr[row_gs_base], elrange + 0x6000);
    EXPECT_EQ(m.c.segment[fs].limit, 0xffffu);
    EXPECT_EQ(m.c.segment[gs].limit, 0x1'ffffu);
    EXPECT_EQ(m.c.segment[fs].selector, 0x0b);
    // Accessed, W as DS, S, DPL 3 as DS, P, AVL and L as DS (0), B, G.
    EXPECT_EQ(m.c.segment[fs].access_rights, 0xc0f3u);
    EXPECT_EQ(m.c.segment[gs].access_rights, 0xc0f3u);
    EXPECT_EQ(m.c.xcr0, 3u);
    EXPECT_TRUE(m.c.enclave.active && m.c.enclave.mode64);
    EXPECT_EQ(m.c.enclave.base, elrange);
    EXPECT_EQ(m.c.enclave.size, elrange_size);
    EXPECT_EQ(m.c.enclave.ssa_frame_pages, 1u);
    EXPECT_EQ(m.c.enclave.tcs_linear, elrange + tcs_offset);
    EXPECT_EQ(m.epc.hidden(secs_page).active_threads, 1u);
    EXPECT_EQ(m.c.tlb, &m.c.tlbs[tlb_enclave]);
    EXPECT_EQ(m.tcs().state, TcsState::active);
    EXPECT_EQ(m.tcs().aep, aep);
    EXPECT_EQ(m.tcs().cssa, 0u);
}

TEST(Eenter, SegmentsTakeWDplAvlAndLFromDs) {
    EnclaveMachine m;
    m.build_and_initialise();
    m.c.segment[ds].access_rights = 0x7091;  // read-only, DPL 0, AVL, L, B; not G
    ASSERT_TRUE(m.eenter().ok());
    EXPECT_EQ(m.c.segment[fs].access_rights, 0xf091u);
}

TEST(Eenter, WithASecondFrameStoresTheStackThereAndReturnsCssa) {
    EnclaveMachine m;
    m.go_inside();
    asynchronous_exit(m.c, {});
    m.c.gpr[rsp] = 0x5555;
    ASSERT_TRUE(m.eenter().ok());
    EXPECT_EQ(m.c.gpr[rax], 1u);
    EXPECT_EQ(m.gprsgx(1).ursp, 0x5555u);
    EXPECT_EQ(m.gprsgx(0).ursp, 0u);
}

TEST(Eenter, OptOutHidesTfAndDropsWhatIsPending) {
    EnclaveMachine m;
    m.build_and_initialise();
    m.c.flags.set(Rflag::tf);
    m.c.event.mtf_pending = m.c.event.trap_pending = true;
    m.c.event.pending_debug = 0x4000;
    ASSERT_TRUE(m.eenter().ok());
    EXPECT_FALSE(m.c.event.trap_pending);
    EXPECT_FALSE(m.c.flags.has(Rflag::tf));
    EXPECT_FALSE(m.c.event.mtf_pending);
    EXPECT_EQ(m.c.event.pending_debug, 0u);
    EXPECT_TRUE(m.c.event.trap_inhibited);
}

TEST(Eenter, OptInKeepsTfAndItsTrap) {
    EnclaveMachine m;
    m.build_and_initialise();
    m.tcs().flags = {TcsFlag::dbgoptin};
    m.c.flags.set(Rflag::tf);
    ASSERT_TRUE(m.eenter().ok());
    EXPECT_TRUE(m.c.flags.has(Rflag::tf));
    EXPECT_FALSE(m.c.event.trap_inhibited);
}

TEST(Eexit, GoesWhereRbxSaysAndRestoresOnlySegmentsAndXcr0) {
    EnclaveMachine m;
    m.build_and_initialise();
    m.c.segment[fs] = {0x2b, 0, 0xc0f3, 0xffff'ffff, 0, 0x7000};
    m.c.segment[gs] = {0, 0, 0x1'0000, 0, 0, 0x7100};
    const Segment outer_fs = m.c.segment[fs], outer_gs = m.c.segment[gs];
    ASSERT_TRUE(m.eenter().ok());
    m.c.rip = m.c.next_rip;
    m.c.gpr[rsp] = 0xaaaa;
    m.c.gpr[rbp] = 0xbbbb;
    m.c.gpr[rdx] = 0xcccc;
    ASSERT_TRUE(m.enclu(EncluLeaf::eexit, 0x9876, 0).ok());

    EXPECT_EQ(m.c.next_rip, 0x9876u);
    EXPECT_EQ(m.c.gpr[rcx], aep);
    EXPECT_EQ(m.c.gpr[rbx], 0x9876u);
    EXPECT_EQ(m.c.gpr[rsp], 0xaaaau);
    EXPECT_EQ(m.c.gpr[rbp], 0xbbbbu);
    EXPECT_EQ(m.c.gpr[rdx], 0xccccu);
    EXPECT_EQ(m.c.segment[fs], outer_fs);
    EXPECT_EQ(m.c.segment[gs], outer_gs);
    EXPECT_EQ(m.c.gpr[row_fs_base], 0x7000u);
    EXPECT_EQ(m.c.gpr[row_gs_base], 0x7100u);
    EXPECT_EQ(m.c.xcr0, 7u);
    EXPECT_FALSE(m.c.enclave.active);
    EXPECT_EQ(m.c.tlb, &m.c.tlbs[tlb_user]);
    EXPECT_EQ(m.tcs().state, TcsState::inactive);
    EXPECT_EQ(m.tcs().cssa, 0u);
    EXPECT_EQ(m.epc.hidden(secs_page).active_threads, 0u);
}

TEST(Eexit, ToANonCanonicalTargetFaultsAndStaysInTheEnclave) {
    EnclaveMachine m;
    m.go_inside();
    m.c.gpr[rax] = static_cast<u64>(EncluLeaf::eexit);
    m.c.gpr[rbx] = not_canonical;
    expect_fault_only(m, gp0);
    EXPECT_TRUE(m.c.enclave.active);
}

TEST(Eexit, AfterOptOutBringsTfBackWithItsTrap) {
    EnclaveMachine m;
    m.build_and_initialise();
    m.c.flags.set(Rflag::tf);
    ASSERT_TRUE(m.eenter().ok());
    ASSERT_TRUE(m.enclu(EncluLeaf::eexit, 0x9876, 0).ok());
    EXPECT_TRUE(m.c.flags.has(Rflag::tf));
    EXPECT_TRUE(m.c.event.trap_pending);
}

TEST(Eexit, WithoutTfNoTrapIsPending) {
    EnclaveMachine m;
    m.go_inside();
    ASSERT_TRUE(m.enclu(EncluLeaf::eexit, 0x9876, 0).ok());
    EXPECT_FALSE(m.c.event.trap_pending);
    EXPECT_FALSE(m.c.event.mtf_pending);
}

TEST(Eexit, MakesAnMtfExitPendingIfTheControlAsksForIt) {
    EnclaveMachine m;
    m.go_inside();
    m.c.vmx.non_root = true;
    m.c.vmx.vmcs.set<VmcsField::primary_processor_based_controls>(
        PrimaryControls{PrimaryControl::monitor_trap_flag}.to_raw());
    ASSERT_TRUE(m.enclu(EncluLeaf::eexit, 0x9876, 0).ok());
    EXPECT_TRUE(m.c.event.mtf_pending);
}

}  // namespace
}  // namespace postern::cpu::sgx
