// SPDX-License-Identifier: Apache-2.0
// AEX-Notify: the attribute and the flag that must agree, ERESUME that goes to the entry point one
// frame higher, and EDECCSSA, by which the enclave comes down again.
#include <gtest/gtest.h>

#include <string>

#include "cpu/cpuid.h"
#include "cpu/flags.h"
#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx {
namespace {

constexpr u32 user_fault = sgx_fault(true, true);
constexpr u64 inside_rip = elrange + code_offset + 0x123;
constexpr u64 outer_frame = elrange + ssa_offset, inner_frame = outer_frame + 0x1000;

/// An enclave with the attribute, its TCS with the flag, at its first instruction.
void go_inside_with_notification(EnclaveMachine& m) {
    m.model.features.set(Feature::sgx_edeccssa);
    m.build_and_initialise();
    m.secs().attributes.flags.set(SgxAttribute::aexnotify);
    m.tcs().flags = {TcsFlag::aexnotify};
    m.c.gpr[rsp] = 0xe000;
    m.c.gpr[rbp] = 0xe100;
    ASSERT_TRUE(m.eenter().ok());
    m.c.rip = inside_rip;
    for (unsigned n = 0; n < gpr_count; ++n) m.c.gpr[n] = 0x1000 + n;
    m.c.vector.mxcsr = 0x1f85;
}

/// ERESUME comes next, of a frame that asks for notification.
void ready_to_notify(EnclaveMachine& m) {
    go_inside_with_notification(m);
    asynchronous_exit(m.c, {});
    m.gprsgx().aexnotify = 1;
    m.c.gpr[rax] = static_cast<u64>(EncluLeaf::eresume);
    m.c.gpr[rsp] = 0xf000;
    m.c.gpr[rbp] = 0xf100;
    m.c.rip = aep;
    m.c.next_rip = aep + 3;
    m.c.pending = {};
}

/// In the handler of the notification; EDECCSSA comes next.
void ready_to_come_down(EnclaveMachine& m) {
    ready_to_notify(m);
    ASSERT_TRUE(sgx::enclu(m.c).ok());
    m.c.rip = elrange + code_offset + 0x30;
    m.c.next_rip = m.c.rip + 3;
    m.c.gpr[rax] = static_cast<u64>(EncluLeaf::edeccssa);
    m.c.pending = {};
}

void expect_fault_only(EnclaveMachine& m, const Fault& fault) {
    const State before{m};
    EXPECT_FALSE(sgx::enclu(m.c).ok());
    EXPECT_EQ(pending_fault(m.c), fault);
    EXPECT_TRUE(State{m} == before);
}

// Who offers it.

TEST(AexNotify, IsReportedOnlyWithEdeccssa) {
    EnclaveMachine m;
    m.model.features.set(Feature::sgx_edeccssa, false);
    EXPECT_EQ(cpuid(m.c, 0x12, 0).eax & 0x800, 0u);
    EXPECT_EQ(cpuid(m.c, 0x12, 1).eax & 0x400, 0u);
    m.model.features.set(Feature::sgx_edeccssa);
    EXPECT_EQ(cpuid(m.c, 0x12, 0).eax & 0x800, 0x800u);
    EXPECT_EQ(cpuid(m.c, 0x12, 1).eax & 0x400, 0x400u);
}

TEST(AexNotify, EcreateTakesTheAttributeAndEaddKeepsTheFlag) {
    EnclaveMachine m;
    m.model.features.set(Feature::sgx_edeccssa);
    m.prepare_ecreate();
    m.at<Secs>(source_at).attributes.flags.set(SgxAttribute::aexnotify);
    ASSERT_TRUE(m.ecreate().ok());
    EXPECT_EQ(m.secs().attributes.flags.to_raw(), 0x406u);  // AEXNOTIFY, MODE64BIT, DEBUG
    m.prepare_eadd(tcs_offset, 0x100);
    m.fill_tcs_source();
    m.at<Tcs>(source_at).flags = TcsFlags::from_raw(3);
    ASSERT_TRUE(m.eadd(tcs_page).ok());
    EXPECT_EQ(m.tcs().flags.to_raw(), 2u);
}

// The attribute and the flag agree, or a debugger is at work.

struct Agreement {
    const char* name;
    bool attribute, flag, opt_in, enters;
};

class AttributeAndFlag : public testing::TestWithParam<Agreement> {};

void set_both(EnclaveMachine& m, const Agreement& a) {
    m.model.features.set(Feature::sgx_edeccssa);
    m.secs().attributes.flags.set(SgxAttribute::aexnotify, a.attribute);
    m.tcs().flags = TcsFlags{}.with(TcsFlag::aexnotify, a.flag).with(TcsFlag::dbgoptin, a.opt_in);
}

TEST_P(AttributeAndFlag, DecideOnEenter) {
    EnclaveMachine m;
    m.build_and_initialise();
    set_both(m, GetParam());
    EXPECT_EQ(m.eenter().ok(), GetParam().enters);
    if (GetParam().enters) return;
    EXPECT_EQ(pending_fault(m.c), gp0);
}

TEST_P(AttributeAndFlag, DecideOnEresume) {
    EnclaveMachine m;
    m.go_inside();
    asynchronous_exit(m.c, {});
    set_both(m, GetParam());
    EXPECT_EQ(m.eresume().ok(), GetParam().enters);
    if (GetParam().enters) return;
    EXPECT_EQ(pending_fault(m.c), gp0);
}

constexpr Agreement agreements[] = {
    {"Neither", false, false, false, true},
    {"Both", true, true, false, true},
    {"OnlyTheAttribute", true, false, false, false},
    {"OnlyTheFlag", false, true, false, false},
    {"OnlyTheAttributeAfterOptIn", true, false, true, true},
    {"OnlyTheFlagAfterOptIn", false, true, true, true},
};
INSTANTIATE_TEST_SUITE_P(AexNotify, AttributeAndFlag, testing::ValuesIn(agreements),
                         [](const auto& test) { return std::string{test.param.name}; });

// ERESUME that notifies.

TEST(AexNotify, EresumeEntersAtTheEntryPointOneFrameHigher) {
    EnclaveMachine m;
    ready_to_notify(m);
    m.c.vector.mxcsr = 0x1f80;
    set_rflags(m.c, 0x0647);
    const Gprsgx interrupted = m.gprsgx(0);
    ASSERT_TRUE(sgx::enclu(m.c).ok());

    EXPECT_EQ(m.c.next_rip, elrange + code_offset + 0x10);
    EXPECT_EQ(m.c.gpr[rax], 1u);
    EXPECT_EQ(m.c.gpr[rcx], aep + 3);
    EXPECT_EQ(m.c.gpr[rbx], elrange + tcs_offset);
    EXPECT_EQ(m.c.gpr[rdx], 0u);
    EXPECT_EQ(m.c.gpr[rsp], 0xf000u);
    EXPECT_EQ(m.c.gpr[rbp], 0xf100u);
    EXPECT_EQ(m.c.gpr[r15], 0u);
    EXPECT_EQ(rflags(m.c), 0x0647u);
    EXPECT_EQ(m.c.vector.mxcsr, 0x1f80u);
    EXPECT_EQ(m.c.segment[fs].base, elrange + 0x5000);
    EXPECT_EQ(m.c.segment[gs].base, elrange + 0x6000);
    EXPECT_EQ(m.c.xcr0, 3u);
    EXPECT_TRUE(m.c.enclave.active);
    EXPECT_FALSE(m.c.event.resume_loaded);
    EXPECT_EQ(m.tcs().cssa, 1u);
    EXPECT_EQ(m.tcs().state, TcsState::active);
    EXPECT_EQ(m.tcs().aep, aep);
    EXPECT_EQ(m.gprsgx(1).ursp, 0xf000u);
    EXPECT_EQ(m.gprsgx(1).urbp, 0xf100u);
    EXPECT_EQ(m.gprsgx(0).ursp, 0xe000u);
    EXPECT_EQ(m.gprsgx(0).rip, interrupted.rip);

    m.c.rip = inside_rip + 9;
    asynchronous_exit(m.c, {});
    EXPECT_EQ(m.tcs().cssa, 2u);
    EXPECT_EQ(m.gprsgx(1).rip, inside_rip + 9);
    EXPECT_EQ(m.gprsgx(0).rip, inside_rip);
}

TEST(AexNotify, EresumeLeavesTheEntryPointInRcxByChoice) {
    EnclaveMachine m;
    m.system.choices.rcx_after_notify_is_entry = true;
    ready_to_notify(m);
    ASSERT_TRUE(sgx::enclu(m.c).ok());
    EXPECT_EQ(m.c.gpr[rcx], elrange + code_offset + 0x10);
    EXPECT_EQ(m.c.next_rip, elrange + code_offset + 0x10);
}

TEST(AexNotify, EresumeLooksAtBit0OfTheFramesByteOnly) {
    EnclaveMachine m;
    ready_to_notify(m);
    m.gprsgx().aexnotify = 0xfe;
    ASSERT_TRUE(sgx::enclu(m.c).ok());
    EXPECT_EQ(m.c.next_rip, inside_rip);
    EXPECT_EQ(m.tcs().cssa, 0u);
}

TEST(AexNotify, EresumeOfATcsWithoutTheFlagGoesOnWhateverTheFrameSays) {
    EnclaveMachine m;
    ready_to_notify(m);
    m.tcs().flags = {TcsFlag::dbgoptin};
    ASSERT_TRUE(sgx::enclu(m.c).ok());
    EXPECT_EQ(m.c.next_rip, inside_rip);
    EXPECT_EQ(m.c.gpr[r15], 0x100fu);
    EXPECT_EQ(m.tcs().cssa, 0u);
}

TEST(AexNotify, EresumeDoesNotLookAtWhatItDoesNotLoad) {
    EnclaveMachine m;
    ready_to_notify(m);
    m.gprsgx().rip = m.gprsgx().fsbase = m.gprsgx().gsbase = not_canonical;
    m.xsave<u64>(520) = ~u64{0};
    EXPECT_TRUE(sgx::enclu(m.c).ok());
}

TEST(AexNotify, EresumeKeepsTheTrapAsEenterDoesAfterOptInAndDropsItAfterOptOut) {
    EnclaveMachine out;
    ready_to_notify(out);
    out.c.flags.set(Rflag::tf);
    out.c.event.mtf_pending = out.c.event.trap_pending = true;
    ASSERT_TRUE(sgx::enclu(out.c).ok());
    EXPECT_FALSE(out.c.flags.has(Rflag::tf));
    EXPECT_TRUE(out.c.event.trap_inhibited);
    EXPECT_FALSE(out.c.event.mtf_pending || out.c.event.trap_pending);

    EnclaveMachine in;
    ready_to_notify(in);
    in.tcs().flags = {TcsFlag::aexnotify, TcsFlag::dbgoptin};
    in.c.flags.set(Rflag::tf);
    in.c.event.trap_inhibited = false;  // of the EENTER before
    ASSERT_TRUE(sgx::enclu(in.c).ok());
    EXPECT_TRUE(in.c.flags.has(Rflag::tf));
    EXPECT_FALSE(in.c.event.trap_inhibited);
}

void spoil_inner(EnclaveMachine& m, void (*change)(EpcmEntry&)) { change(m.entry(ssa_page + 1)); }
constexpr Fault outer_fault = pf(outer_frame, user_fault),
                inner_fault = pf(inner_frame, user_fault);

class NotifyViolation : public testing::TestWithParam<Violation> {};

TEST_P(NotifyViolation, FaultsAndChangesNothing) {
    EnclaveMachine m;
    ready_to_notify(m);
    GetParam().arrange(m);
    expect_fault_only(m, GetParam().fault);
}

constexpr Violation notify_violations[] = {
    {"NoFrameLeft", [](EnclaveMachine& m) { m.tcs().nssa = 1; }, gp0},
    {"NoFrameLeftNorOneToResume", [](EnclaveMachine& m) { m.tcs().cssa = 0; }, gp0},
    {"InterruptedFrameBlocked", [](EnclaveMachine& m) { m.entry(ssa_page).blocked = true; },
     outer_fault},
    {"NextFrameNotMapped", [](EnclaveMachine& m) { m.map(inner_frame, 0, 0); }, pf(inner_frame, 6)},
    {"NextFrameNotInTheEpc",
     [](EnclaveMachine& m) { m.map(inner_frame, source_at, pte_p | pte_w | pte_u); }, inner_fault},
    {"NextFrameNotValid",
     [](EnclaveMachine& m) { spoil_inner(m, [](EpcmEntry& e) { e.valid = false; }); }, inner_fault},
    {"NextFrameBlocked",
     [](EnclaveMachine& m) { spoil_inner(m, [](EpcmEntry& e) { e.blocked = true; }); },
     inner_fault},
    {"NextFramePending",
     [](EnclaveMachine& m) { spoil_inner(m, [](EpcmEntry& e) { e.pending = true; }); },
     inner_fault},
    {"NextFrameModified",
     [](EnclaveMachine& m) { spoil_inner(m, [](EpcmEntry& e) { e.modified = true; }); },
     inner_fault},
    {"NextFrameAtAnotherAddress",
     [](EnclaveMachine& m) { spoil_inner(m, [](EpcmEntry& e) { e.enclave_address = elrange; }); },
     inner_fault},
    {"NextFrameOfAnotherType",
     [](EnclaveMachine& m) { spoil_inner(m, [](EpcmEntry& e) { e.page_type = PageType::trim; }); },
     inner_fault},
    {"NextFrameOfAnotherEnclave",
     [](EnclaveMachine& m) { spoil_inner(m, [](EpcmEntry& e) { e.enclave_secs = 9; }); },
     inner_fault},
    {"NextFrameNotReadable",
     [](EnclaveMachine& m) { spoil_inner(m, [](EpcmEntry& e) { e.r = false; }); }, inner_fault},
    {"NextFrameNotWritable",
     [](EnclaveMachine& m) { spoil_inner(m, [](EpcmEntry& e) { e.w = false; }); }, inner_fault},
    {"EntryNotCanonical", [](EnclaveMachine& m) { m.tcs().oentry = not_canonical; }, gp0},
    {"FsBaseNotCanonical", [](EnclaveMachine& m) { m.tcs().ofsbase = not_canonical; }, gp0},
    {"GsBaseNotCanonical", [](EnclaveMachine& m) { m.tcs().ogsbase = not_canonical; }, gp0},
    {"TcsActive", [](EnclaveMachine& m) { m.tcs().state = TcsState::active; }, gp0},
};
INSTANTIATE_TEST_SUITE_P(AexNotify, NotifyViolation, testing::ValuesIn(notify_violations),
                         [](const auto& test) { return std::string{test.param.name}; });

// EDECCSSA.

TEST(Edeccssa, TakesUpTheFrameBelowAndChangesNothingElse) {
    EnclaveMachine m;
    ready_to_come_down(m);
    const auto gpr = m.c.gpr;
    const u64 flags_before = rflags(m.c), next = m.c.next_rip;
    ASSERT_TRUE(sgx::enclu(m.c).ok());
    EXPECT_EQ(m.c.gpr, gpr);
    EXPECT_EQ(rflags(m.c), flags_before);
    EXPECT_EQ(m.c.next_rip, next);
    EXPECT_TRUE(m.c.enclave.active);
    EXPECT_EQ(m.tcs().cssa, 0u);
    EXPECT_EQ(m.tcs().state, TcsState::active);

    // The next AEX goes to the lower frame, and leaves with the stack recorded there.
    m.c.rip = inside_rip + 0x40;
    m.c.vector.mxcsr = 0x1f81;
    const u64 upper_rip = m.gprsgx(1).rip;
    asynchronous_exit(
        m.c, {.is_exception = true, .vector = Vector::general_protection, .error_code = 0x18});
    EXPECT_EQ(m.tcs().cssa, 1u);
    EXPECT_EQ(m.gprsgx(0).rip, inside_rip + 0x40);
    EXPECT_EQ(m.gprsgx(1).rip, upper_rip);
    EXPECT_EQ(m.xsave<u32>(24, 0), 0x1f81u);
    EXPECT_EQ(m.exinfo(0).errcd, 0x18u);
    EXPECT_EQ(m.c.gpr[rsp], 0xe000u);
    EXPECT_EQ(m.c.gpr[rbp], 0xe100u);
}

TEST(Edeccssa, ServesAnEnclaveWithoutNotificationToo) {
    EnclaveMachine m;
    m.model.features.set(Feature::sgx_edeccssa);
    m.go_inside();
    asynchronous_exit(m.c, {});
    ASSERT_TRUE(m.eenter().ok());
    m.c.rip = inside_rip;
    ASSERT_TRUE(m.enclu(EncluLeaf::edeccssa, 0, 0).ok());
    EXPECT_EQ(m.tcs().cssa, 0u);
}

void spoil_outer(EnclaveMachine& m, void (*change)(EpcmEntry&)) { change(m.entry(ssa_page)); }

class EdeccssaViolation : public testing::TestWithParam<Violation> {};

TEST_P(EdeccssaViolation, FaultsAndChangesNothing) {
    EnclaveMachine m;
    ready_to_come_down(m);
    GetParam().arrange(m);
    expect_fault_only(m, GetParam().fault);
}

constexpr Violation edeccssa_violations[] = {
    {"WithoutTheFeature",
     [](EnclaveMachine& m) { m.model.features.set(Feature::sgx_edeccssa, false); }, gp0},
    {"Outside", [](EnclaveMachine& m) { m.c.enclave.active = false; }, gp0},
    {"NoFrameBelow", [](EnclaveMachine& m) { m.tcs().cssa = 0; }, gp0},
    {"FrameNotMapped", [](EnclaveMachine& m) { m.map(outer_frame, 0, 0); }, pf(outer_frame, 6)},
    {"FrameNotWritableByPaging",
     [](EnclaveMachine& m) {
         m.map(outer_frame, epc_physical + ssa_page * page_size, pte_p | pte_u);
     },
     pf(outer_frame, 7)},
    {"FrameNotInTheEpc",
     [](EnclaveMachine& m) { m.map(outer_frame, source_at, pte_p | pte_w | pte_u); }, outer_fault},
    {"FrameNotValid",
     [](EnclaveMachine& m) { spoil_outer(m, [](EpcmEntry& e) { e.valid = false; }); }, outer_fault},
    {"FrameBlocked",
     [](EnclaveMachine& m) { spoil_outer(m, [](EpcmEntry& e) { e.blocked = true; }); },
     outer_fault},
    {"FramePending",
     [](EnclaveMachine& m) { spoil_outer(m, [](EpcmEntry& e) { e.pending = true; }); },
     outer_fault},
    {"FrameModified",
     [](EnclaveMachine& m) { spoil_outer(m, [](EpcmEntry& e) { e.modified = true; }); },
     outer_fault},
    {"FrameAtAnotherAddress",
     [](EnclaveMachine& m) { spoil_outer(m, [](EpcmEntry& e) { e.enclave_address = elrange; }); },
     outer_fault},
    {"FrameOfAnotherType",
     [](EnclaveMachine& m) { spoil_outer(m, [](EpcmEntry& e) { e.page_type = PageType::trim; }); },
     outer_fault},
    {"FrameOfAnotherEnclave",
     [](EnclaveMachine& m) { spoil_outer(m, [](EpcmEntry& e) { e.enclave_secs = 9; }); },
     outer_fault},
    {"FrameNotReadable",
     [](EnclaveMachine& m) { spoil_outer(m, [](EpcmEntry& e) { e.r = false; }); }, outer_fault},
    {"FrameNotWritable",
     [](EnclaveMachine& m) { spoil_outer(m, [](EpcmEntry& e) { e.w = false; }); }, outer_fault},
};
INSTANTIATE_TEST_SUITE_P(Edeccssa, EdeccssaViolation, testing::ValuesIn(edeccssa_violations),
                         [](const auto& test) { return std::string{test.param.name}; });

// A conflict, by request, at the check of the TCS.

TEST(EntryConflict, OfTheTcsIsGp) {
    struct Case {
        EncluLeaf leaf;
        void (*prepare)(EnclaveMachine&);
    };
    constexpr Case cases[] = {
        {EncluLeaf::eenter,
         [](EnclaveMachine& m) {
             m.build_and_initialise();
             m.c.gpr[rbx] = elrange + tcs_offset;
             m.c.gpr[rcx] = aep;
         }},
        {EncluLeaf::eresume, ready_to_notify},
        {EncluLeaf::edeccssa, ready_to_come_down},
    };
    for (const Case& each : cases) {
        EnclaveMachine m;
        each.prepare(m);
        m.c.gpr[rax] = static_cast<u64>(each.leaf);
        m.epc.conflicts.rate[conflict_row(each.leaf)] = Conflicts::always;
        expect_fault_only(m, gp0);
        EXPECT_EQ(m.epc.conflicts.asked[conflict_row(each.leaf)], 1u);
    }
}

}  // namespace
}  // namespace postern::cpu::sgx
