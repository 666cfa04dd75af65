// SPDX-License-Identifier: Apache-2.0
// SHA-256 in an enclave, interrupted wherever an interruption can fall: the digest does not
// change, and nothing of the enclave is to be seen outside.
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>

#include "tests/sweep/one_instruction.h"
#include "tests/sweep/plans.h"

namespace postern::sweep {
namespace {

/// SHA-256 of the 4096 bytes 7 i + 3, by a program that is none of ours.
constexpr auto right_digest = "7486da8f1e13943fae21a0b043f1e99640d7d8ebafb25266478b5cddae1272b5";

/// A timer as good as never is still longer than any AEP's way to ERESUME.
constexpr u32 longest_way = 16;

/// What every interrupted run is compared with.
class Sweep : public ::testing::Test {
protected:
    void SetUp() override {
        ToEresume way;
        Session to_eresume{way, {}};
        to_eresume.run();
        ASSERT_EQ(to_eresume.complaints(), "");
        ASSERT_TRUE(way.arrived());
        until_inside = way.instructions_before() + 1;
        ASSERT_LE(until_inside, longest_way);
        Undisturbed nothing;
        Session undisturbed{nothing, {}};
        undisturbed.run();
        ASSERT_EQ(undisturbed.complaints(), "");
        ASSERT_EQ(undisturbed.said("digest"), right_digest);
        duration = undisturbed.duration();
        exits = undisturbed.enclave_exits();
        ASSERT_EQ(exits, 1u);
    }

    /// The digest is right, every check was satisfied, and each exit cost the guest its way back
    /// into the enclave and nothing else. `additional`: instructions it was made to execute.
    void expect_undisturbed(Session& session, u64 additional = 0) const {
        EXPECT_EQ(session.complaints(), "");
        EXPECT_EQ(session.said("digest"), right_digest);
        EXPECT_EQ(session.duration() - duration - additional,
                  until_inside * (session.enclave_exits() - exits));
        EXPECT_EQ(session.said("resumes"), std::to_string(session.enclave_exits()));
        std::cout << session.enclave_exits() << " exits from the enclave, "
                  << session.result().instructions << " instructions\n";
    }

    /// The secret was in the enclave's registers nearly all the time, and never anywhere else.
    static void expect_secret_kept(Session& session) {
        constexpr u64 before_and_after = 100;
        EXPECT_GT(session.secrets_seen() + before_and_after, session.enclave_exits());
        EXPECT_FALSE(session.secret_in_memory());
    }

    /// From the AEP: instructions after which the guest is in the enclave again.
    u32 until_inside = 0;
    u64 duration = 0;
    u64 exits = 0;
};

TEST_F(Sweep, ATimerOfZeroExitsBeforeEresumeAndOfOneInsideWithoutProgress) {
    ToEresume way;
    Session session{way, {}};
    session.run();
    EXPECT_TRUE(way.arrived());
    expect_undisturbed(session);
}

TEST_F(Sweep, FromEresumeATimerOfZeroExitsAtOnceOfOneInsideAndOfTwoAfterOneInstruction) {
    constexpr u64 rounds = 1000;
    AtEresume plan{until_inside - 1, rounds};
    Session session{plan, {}};
    session.run();
    EXPECT_EQ(plan.rounds_left(), 0u);
    EXPECT_EQ(session.enclave_exits(), rounds + 1);
    expect_undisturbed(session);
}

TEST_F(Sweep, WithoutProgressTheSavedFrameStaysAndALivelockIsReported) {
    constexpr u64 limit = hv::Config{}.livelock_limit;
    constexpr u64 count = limit + 500;
    NoProgress plan{until_inside, count};
    Session session{plan, {.livelock_ticks = until_inside}};
    session.run();
    EXPECT_EQ(plan.livelock_reported_at(), limit);
    EXPECT_EQ(session.livelocks(), 1u);
    EXPECT_TRUE(plan.moved_on());
    EXPECT_EQ(session.enclave_exits(), count + 2);
    expect_undisturbed(session);
}

TEST_F(Sweep, ByTimerOneInstructionRetiresBetweenTwoExits) {
    TimerSteps plan{until_inside, stride};
    Session session{plan, {.livelock_ticks = until_inside}};
    session.run();
    expect_undisturbed(session);
    expect_secret_kept(session);
    EXPECT_EQ(session.anomalies(), 0u);
    EXPECT_GT(plan.steps(), window);
    if (stride != 1) return;
    ASSERT_TRUE(session.last_frame().has_value());
    EXPECT_TRUE(stands_at_enclu(session.enclave_memory(), *session.last_frame()));
    EXPECT_EQ(session.last_frame()->gprsgx.rax, 4u);  // EEXIT
}

TEST_F(Sweep, ByTimerEachIterationOfARepeatedInstructionIsOne) {
    Repetition plan{until_inside};
    Session session{plan, {.livelock_ticks = until_inside}};
    session.run();
    EXPECT_EQ(plan.iterations(), Repetition::count);
    EXPECT_EQ(plan.violations(), 1u);
    EXPECT_TRUE(plan.copied());
    expect_undisturbed(session, Repetition::count);
}

TEST_F(Sweep, ByNmi) {
    NmiSteps plan{until_inside, stride == 1 ? 1 : 97};
    Session session{plan, {.livelock_ticks = until_inside}};
    session.run();
    expect_undisturbed(session);
    expect_secret_kept(session);
    EXPECT_EQ(session.anomalies(), 0u);
    EXPECT_GT(plan.steps(), window);
}

TEST_F(Sweep, ByEptViolationOnAllPagesAtOnceAndOnEachOfThem) {
    PagesTakenBack all{997 * stride};
    Session first{all, {.livelock_ticks = until_inside}};
    first.run();
    expect_undisturbed(first);
    expect_secret_kept(first);
    EXPECT_EQ(first.anomalies(), 0u);

    std::vector<Gpa> pages;
    for (const u64 page : all.enclave_pages()) pages.emplace_back(page);
    for (const auto& missed : {all.missed_inside(), all.missed_outside()})
        for (const auto& [page, count] : missed)
            if (std::ranges::find(pages, Gpa{page}) == pages.end()) pages.emplace_back(page);
    PagesTakenBack each{stride == 1 ? until_inside + 1 : 491, pages};
    Session second{each, {.livelock_ticks = until_inside}};
    second.run();
    expect_undisturbed(second);
    expect_secret_kept(second);
    EXPECT_EQ(second.anomalies(), 0u);
    // Code, data, stack; the untrusted page with the call's arguments is touched at the ends only.
    EXPECT_GE(each.missed_inside().size(), 3u);
    EXPECT_GT(each.missed_outside().size(), 0u);
    for (const auto& missed : {all.missed_inside(), all.missed_outside()})
        for (const auto& [page, count] : missed)
            EXPECT_GT(each.missed_inside().contains(page) + each.missed_outside().contains(page), 0)
                << "page " << std::hex << page << " was not missed when taken back alone";
    std::cout << pages.size() << " pages taken back; missed inside " << each.missed_inside().size()
              << ", outside " << each.missed_outside().size() << ", all at once "
              << all.missed_inside().size() << " and " << all.missed_outside().size() << '\n';
}

TEST_F(Sweep, TheSameCommandRunsTheSameWayHoweverTheHostSlicesIt) {
    struct Outcome {
        std::string serial;
        u64 instructions, exits, duration;
        bool operator==(const Outcome&) const = default;
    };
    const auto run = [this](u64 longest_run) {
        PagesTakenBack plan{1009};
        Session session{plan, {.livelock_ticks = until_inside, .longest_run = longest_run}};
        session.run();
        expect_undisturbed(session);
        return Outcome{session.serial(), session.result().instructions, session.enclave_exits(),
                       session.duration()};
    };
    const Outcome once = run(0);
    EXPECT_EQ(run(0), once);
    EXPECT_EQ(run(1000), once);
    EXPECT_EQ(run(1'000'000), once);
    EXPECT_EQ(run(61), once);
}

}  // namespace
}  // namespace postern::sweep
