// SPDX-License-Identifier: Apache-2.0
// The epochs of reference tracking, without a processor.
#include "cpu/sgx/tracking.h"

#include <gtest/gtest.h>

namespace postern::cpu::sgx {
namespace {

// An enclave that nobody is in: one ETRACK does, and it takes one.
static_assert([] {
    Tracking t{};
    const u64 change = t.epoch;
    const bool before = is_tracked(t, change);
    return !before && begin_epoch(t) && is_tracked(t, change);
}());

// Who was inside at the ETRACK must leave; until then no other epoch begins.
static_assert([] {
    Tracking t{};
    const u64 thread = entered(t);
    const u64 change = t.epoch;
    const bool begun = begin_epoch(t);
    const bool early = is_tracked(t, change) || begin_epoch(t);
    left(t, thread);
    return begun && !early && is_tracked(t, change);
}());

// Who left before the ETRACK is not waited for.
static_assert([] {
    Tracking t{};
    const u64 thread = entered(t);
    const u64 change = t.epoch;
    left(t, thread);
    return begin_epoch(t) && is_tracked(t, change);
}());

// Who enters after the ETRACK cannot hold an old translation.
static_assert([] {
    Tracking t{};
    const u64 change = t.epoch;
    const bool begun = begin_epoch(t);
    entered(t);
    return begun && is_tracked(t, change);
}());

// Who leaves and comes back counts as somebody new.
static_assert([] {
    Tracking t{};
    const u64 thread = entered(t);
    const u64 change = t.epoch;
    const bool begun = begin_epoch(t);
    left(t, thread);
    const u64 again = entered(t);
    const bool tracked = is_tracked(t, change);
    const bool next = begin_epoch(t);
    return begun && tracked && next && again == 1 && t.inside_previous == 1;
}());

// A change after the ETRACK needs another one.
static_assert([] {
    Tracking t{};
    const bool first = begin_epoch(t);
    const u64 change = t.epoch;
    const bool early = is_tracked(t, change);
    return first && !early && begin_epoch(t) && is_tracked(t, change);
}());

// One stays, one leaves: both must.
static_assert([] {
    Tracking t{};
    const u64 one = entered(t), two = entered(t);
    const u64 change = t.epoch;
    const bool begun = begin_epoch(t);
    left(t, one);
    const bool early = is_tracked(t, change);
    left(t, two);
    return begun && !early && is_tracked(t, change);
}());

// A change two epochs ago is tracked though the present epoch is not over.
static_assert([] {
    Tracking t{};
    const u64 change = t.epoch;
    const bool first = begin_epoch(t);
    entered(t);
    const u64 later = t.epoch;
    const bool second = begin_epoch(t);
    return first && second && is_tracked(t, change) && !is_tracked(t, later);
}());

TEST(Tracking, RefusedEpochChangesNothing) {
    Tracking t{7, 2, 1};
    EXPECT_FALSE(begin_epoch(t));
    EXPECT_EQ(t.epoch, 7u);
    EXPECT_EQ(t.inside_now, 2u);
    EXPECT_EQ(t.inside_previous, 1u);
}

TEST(Tracking, CountsBothEpochsApart) {
    Tracking t{};
    const u64 early = entered(t);
    ASSERT_TRUE(begin_epoch(t));
    const u64 late = entered(t);
    EXPECT_EQ(t.inside_previous, 1u);
    EXPECT_EQ(t.inside_now, 1u);
    left(t, late);
    EXPECT_EQ(t.inside_previous, 1u);
    EXPECT_EQ(t.inside_now, 0u);
    left(t, early);
    EXPECT_EQ(t.inside_previous, 0u);
    EXPECT_EQ(t.inside_now, 0u);
}

}  // namespace
}  // namespace postern::cpu::sgx
