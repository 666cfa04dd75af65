// SPDX-License-Identifier: Apache-2.0
// ENCLU[EACCEPT]: what may be asked for, as a full table; what it clears; every error code, and
// every check violated alone.
#include "unit/cpu/sgx/own_secinfo.h"

namespace postern::cpu::sgx {
namespace {

constexpr u64 secinfo = own_secinfo_linear, target = 0x4000'5000;
constexpr u32 read_fault = sgx_fault(false, true);
constexpr Fault target_fault = pf(target, read_fault);

/// Inside, a page added by EAUG about to be accepted.
void ready(Sgx2Machine& m) {
    m.eaug();
    m.enter();
    m.put_own_secinfo(0x20b);  // REG, PENDING, R, W
    m.c.gpr[rax] = 5;
    m.c.gpr[rbx] = secinfo;
    m.c.gpr[rcx] = target;
}

/// The page becomes a fresh thread's, which EMODT has made a TCS, and which is tracked.
void make_tcs(Sgx2Machine& m) {
    Tcs& tcs = m.epc.tcs(new_page);
    tcs = {};
    tcs.nssa = 1;
    EpcmEntry& entry = m.entry(new_page);
    entry.pending = entry.r = entry.w = false;
    entry.modified = true;
    entry.page_type = PageType::tcs;
    m.epc.hidden(secs_page).tracking = {1, 1, 0};
    m.c.enclave.entry_epoch = 1;
    m.put_own_secinfo(0x110);
}

void ready_with_tcs(Sgx2Machine& m) {
    ready(m);
    make_tcs(m);
}

TEST(Eaccept, ClearsPending) {
    Sgx2Machine m;
    ready(m);
    expect_report(m, enclu, 0, [](EnclaveMachine& e) { e.entry(new_page).pending = false; });
}

TEST(Eaccept, ClearsPrOfARestrictedPageWhateverSecinfoSaysOfIt) {
    Sgx2Machine m;
    ready(m);
    m.entry(new_page).pr = true;
    m.entry(new_page).tracking_epoch = 0;
    m.epc.hidden(secs_page).tracking = {1, 1, 0};
    m.c.enclave.entry_epoch = 1;
    expect_report(m, enclu, 0, [](EnclaveMachine& e) {
        e.entry(new_page).pending = e.entry(new_page).pr = false;
    });
}

TEST(Eaccept, OfAPageThatNothingWasDoneToSucceeds) {
    Sgx2Machine m;
    ready(m);
    m.entry(new_page).pending = false;
    m.put_own_secinfo(0x223);  // REG, PR, R, W
    expect_report(m, enclu, 0, [](EnclaveMachine&) {});
}

TEST(Eaccept, ClearsModifiedOfATcsAndOfATrimmedPage) {
    Sgx2Machine m;
    ready_with_tcs(m);
    expect_report(m, enclu, 0, [](EnclaveMachine& e) { e.entry(new_page).modified = false; });

    m.entry(new_page).modified = true;
    m.entry(new_page).page_type = PageType::trim;
    m.epc.tcs(new_page).nssa = 0;  // nobody looks
    m.put_own_secinfo(0x410);
    m.c.gpr[rax] = 5;
    expect_report(m, enclu, 0, [](EnclaveMachine& e) { e.entry(new_page).modified = false; });
}

/// For each page type, SECINFO with none, P, M, PM, R, RP, RM, RPM of PENDING, MODIFIED, PR.
struct Requests {
    u64 type;
    const char* legal;
};
constexpr Requests requests[] = {
    {0, "no  no  no  no  no  no  no  no  "},  // SECS
    {1, "no  no  yes no  no  no  no  no  "},  // TCS
    {2, "no  yes no  no  yes yes no  no  "},  // REG
    {3, "no  no  no  no  no  no  no  no  "},  // VA
    {4, "no  no  yes no  no  no  no  no  "},  // TRIM
    {5, "no  no  no  no  no  no  no  no  "},  // shadow stacks, without CET
    {6, "no  no  no  no  no  no  no  no  "},  //
    {7, "no  no  no  no  no  no  no  no  "}, {255, "no  no  no  no  no  no  no  no  "},
};

TEST(Eaccept, TakesTheRequestsOfTheTableAndNoOther) {
    for (const Requests& row : requests) {
        for (u64 flags = 0; flags < 8; ++flags) {
            SCOPED_TRACE(testing::Message() << "type " << row.type << ", flags " << flags);
            Sgx2Machine m;
            ready_with_tcs(m);
            EpcmEntry& entry = m.entry(new_page);
            entry.page_type = PageType{static_cast<u8>(row.type)};
            entry.pending = (flags & 1) != 0;
            entry.modified = (flags & 2) != 0;
            entry.pr = (flags & 4) != 0;
            m.put_own_secinfo(row.type << 8 | flags << 3);
            if (row.legal[4 * flags] == 'n') {
                expect_fault(m, enclu, gp0);
                continue;
            }
            expect_report(m, enclu, 0, [](EnclaveMachine& e) {
                EpcmEntry& after = e.entry(new_page);
                after.pending = after.modified = after.pr = false;
            });
        }
    }
}

// Faults.

class EacceptBreach : public testing::TestWithParam<Breach> {};

TEST_P(EacceptBreach, FaultsAndChangesNothing) {
    Sgx2Machine m;
    ready(m);
    GetParam().arrange(m);
    expect_fault(m, enclu, GetParam().fault);
}

EpcmEntry& target_page(Sgx2Machine& m) { return m.entry(new_page); }

constexpr Breach breaches[] = {
    {"SecinfoInTheWindow",
     [](Sgx2Machine& m) { m.c.gpr[rbx] = window_of(data_page) + own_secinfo; }, gp0},
    {"PageNotAligned", [](Sgx2Machine& m) { m.c.gpr[rcx] += 0x800; }, gp0},
    {"PageBelowElrange", [](Sgx2Machine& m) { m.c.gpr[rcx] = 0x3fff'f000; }, gp0},
    {"PageAboveElrange", [](Sgx2Machine& m) { m.c.gpr[rcx] = 0x4001'0000; }, gp0},
    {"PageNotMapped", [](Sgx2Machine& m) { m.c.gpr[rcx] = 0x4000'f000; }, pf(0x4000'f000, 4)},
    {"PageNotInTheEpc", [](Sgx2Machine& m) { m.map(target, source_at, pte_p | pte_w | pte_u); },
     target_fault},
    {"PageNotTheUsers", [](Sgx2Machine& m) { m.map(target, 0x1'4000'7000, pte_p | pte_w); },
     pf(target, 5)},
    {"PageNotValid", [](Sgx2Machine& m) { target_page(m).valid = false; }, target_fault},
    {"PageBlocked", [](Sgx2Machine& m) { target_page(m).blocked = true; }, target_fault},
    {"PageIsSecs", [](Sgx2Machine& m) { target_page(m).page_type = PageType{0}; }, target_fault},
    {"PageIsVa", [](Sgx2Machine& m) { target_page(m).page_type = PageType{3}; }, target_fault},
    {"PageOfAnotherEnclave", [](Sgx2Machine& m) { target_page(m).enclave_secs = 9; }, target_fault},
    {"WithoutSgx2", [](Sgx2Machine& m) { m.model.features.set(Feature::sgx2, false); }, gp0},
};

INSTANTIATE_TEST_SUITE_P(Secinfo, EacceptBreach, testing::ValuesIn(secinfo_breaches<0x20b>),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(Eaccept, EacceptBreach, testing::ValuesIn(breaches), name_of_case);

class EacceptTcsBreach : public testing::TestWithParam<Breach> {};

TEST_P(EacceptTcsBreach, FaultsAndChangesNothing) {
    Sgx2Machine m;
    ready_with_tcs(m);
    GetParam().arrange(m);
    expect_fault(m, enclu, GetParam().fault);
}

Tcs& new_tcs(Sgx2Machine& m) { return m.epc.tcs(new_page); }
/// As the first processor's enclave stays a 64-bit one while it runs.
Tcs& of_a_32_bit_enclave(Sgx2Machine& m) {
    m.secs().attributes.flags.set(SgxAttribute::mode64bit, false);
    new_tcs(m).fslimit = new_tcs(m).gslimit = 0x1fff;
    return new_tcs(m);
}

constexpr Breach tcs_breaches[] = {
    {"ReservedAt72", [](Sgx2Machine& m) { new_tcs(m).ocetssa = 1; }, gp0},
    {"ReservedAt80", [](Sgx2Machine& m) { new_tcs(m).prevssp = 1; }, gp0},
    {"ReservedAt88", [](Sgx2Machine& m) { new_tcs(m).reserved_88[0] = 1; }, gp0},
    {"ReservedAt4095", [](Sgx2Machine& m) { new_tcs(m).reserved_88[4007] = 1; }, gp0},
    {"DebugOptIn", [](Sgx2Machine& m) { new_tcs(m).flags.set(TcsFlag::dbgoptin); }, gp0},
    {"NoFrame", [](Sgx2Machine& m) { new_tcs(m).nssa = 0; }, gp0},
    {"NoFrameLeft", [](Sgx2Machine& m) { new_tcs(m).cssa = 1; }, gp0},
    {"Aep", [](Sgx2Machine& m) { new_tcs(m).aep = 1; }, gp0},
    {"Active", [](Sgx2Machine& m) { new_tcs(m).state = TcsState::active; }, gp0},
    {"FsLimitOfA32BitEnclave", [](Sgx2Machine& m) { of_a_32_bit_enclave(m).fslimit = 0x1ff0; },
     gp0},
    {"GsLimitOfA32BitEnclave", [](Sgx2Machine& m) { of_a_32_bit_enclave(m).gslimit = 0x1ffe; },
     gp0},
};

INSTANTIATE_TEST_SUITE_P(Eaccept, EacceptTcsBreach, testing::ValuesIn(tcs_breaches), name_of_case);

TEST(Eaccept, TakesATcsOfA32BitEnclaveWhoseLimitsAreWholePages) {
    Sgx2Machine m;
    ready_with_tcs(m);
    of_a_32_bit_enclave(m);
    expect_report(m, enclu, 0, [](EnclaveMachine& e) { e.entry(new_page).modified = false; });
}

// Error codes.

class EacceptRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(EacceptRefusal, IsReportedAndChangesNothing) {
    Sgx2Machine m;
    ready(m);
    GetParam().arrange(m);
    expect_error(m, enclu, GetParam().status);
}

void wait_for_tracking(Sgx2Machine& m, Tracking tracking) {
    target_page(m).pending = false;
    target_page(m).pr = true;
    target_page(m).tracking_epoch = 4;
    m.epc.hidden(secs_page).tracking = tracking;
    m.put_own_secinfo(0x223);
}

constexpr Refusal refusals[] = {
    {"PageInUseByAnother", [](Sgx2Machine& m) { m.always_conflict(32 + 5); }, 7},
    {"ConflictBeforeMismatch",
     [](Sgx2Machine& m) {
         m.always_conflict(32 + 5);
         target_page(m).w = false;
     },
     7},
    {"MappedAtAnotherAddress",
     [](Sgx2Machine& m) {
         m.map(0x4000'6000, 0x1'4000'7000, pte_p | pte_w | pte_u);
         m.c.gpr[rcx] = 0x4000'6000;
     },
     19},
    {"NotPending", [](Sgx2Machine& m) { target_page(m).pending = false; }, 19},
    {"ModifiedToo", [](Sgx2Machine& m) { target_page(m).modified = true; }, 19},
    {"NotModified",
     [](Sgx2Machine& m) {
         target_page(m).pending = target_page(m).r = target_page(m).w = false;
         target_page(m).page_type = PageType::trim;
         m.put_own_secinfo(0x410);
     },
     19},
    {"PendingThoughOnlyRestrictionIsExpected", [](Sgx2Machine& m) { m.put_own_secinfo(0x223); },
     19},
    {"NotReadable", [](Sgx2Machine& m) { m.put_own_secinfo(0x20a); }, 19},
    {"NotWritable", [](Sgx2Machine& m) { m.put_own_secinfo(0x209); }, 19},
    {"ExecutableExpected", [](Sgx2Machine& m) { m.put_own_secinfo(0x20f); }, 19},
    {"Executable", [](Sgx2Machine& m) { target_page(m).x = true; }, 19},
    {"AnotherType", [](Sgx2Machine& m) { target_page(m).page_type = PageType::trim; }, 19},
    {"NoEtrackSinceTheChange", [](Sgx2Machine& m) { wait_for_tracking(m, {4, 1, 0}); }, 11},
    {"SomebodyOfThenStillInside", [](Sgx2Machine& m) { wait_for_tracking(m, {5, 0, 1}); }, 11},
    {"MismatchBeforeTracking",
     [](Sgx2Machine& m) {
         wait_for_tracking(m, {4, 1, 0});
         target_page(m).x = true;
     },
     19},
    {"TrackingOfATrimmedPage",
     [](Sgx2Machine& m) {
         wait_for_tracking(m, {4, 1, 0});
         target_page(m).page_type = PageType::trim;
         target_page(m).modified = true;
         target_page(m).pr = target_page(m).r = target_page(m).w = false;
         m.put_own_secinfo(0x410);
     },
     11},
    {"TrackingBeforeTheTcssContent",
     [](Sgx2Machine& m) {
         make_tcs(m);
         m.epc.hidden(secs_page).tracking = {0, 1, 0};
         m.epc.tcs(new_page).nssa = 0;
     },
     11},
};

INSTANTIATE_TEST_SUITE_P(Eaccept, EacceptRefusal, testing::ValuesIn(refusals), name_of_case);

TEST(Eaccept, SucceedsOnceTheEpochIsOver) {
    for (const Tracking tracking : {Tracking{5, 1, 0}, Tracking{6, 0, 1}, Tracking{9, 1, 0}}) {
        Sgx2Machine m;
        ready(m);
        wait_for_tracking(m, tracking);
        expect_report(m, enclu, 0, [](EnclaveMachine& e) { e.entry(new_page).pr = false; });
    }
}

}  // namespace
}  // namespace postern::cpu::sgx
