// SPDX-License-Identifier: Apache-2.0
// What the program writes, and what of the kernel's log is kept.
#include "app/exec/streams.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string_view>

#include "app/exec/snapshot_cache.h"

namespace postern::app::exec {
namespace {

TEST(HostStreams, TwoStreamsIntoOneKeepTheirOrder) {
    std::ostringstream both;
    HostStreams streams{{both, both}};
    for (const char c : std::string_view{"one "}) streams.output(static_cast<u8>(c));
    for (const char c : std::string_view{"two "}) streams.error(static_cast<u8>(c));
    streams.output(0);
    streams.flush();
    EXPECT_EQ(both.str(), std::string("one two \0", 9));
    EXPECT_TRUE(streams.good());
}

TEST(HostStreams, WhatCannotBeWrittenIsKnown) {
    std::ostringstream out, err;
    HostStreams streams{{out, err}};
    out.setstate(std::ios::badbit);
    streams.output('x');
    streams.flush();
    EXPECT_FALSE(streams.good());
}

void say(KernelLog& log, std::string_view text) {
    for (const char c : text) log.put(static_cast<u8>(c));
}

TEST(KernelLog, KeepsTheLastLines) {
    KernelLog log{nullptr};
    for (int n = 0; n < 5000; ++n) say(log, "line " + std::to_string(n) + "\r\n");
    const auto lines = log.last_lines();
    ASSERT_EQ(lines.size(), 12u);
    EXPECT_EQ(lines.front(), "line 4988");
    EXPECT_EQ(lines.back(), "line 4999");
}

TEST(KernelLog, OfAPanicThereIsTheReason) {
    std::ostringstream shown;
    KernelLog log{&shown};
    say(log, "before\r\nKernel panic - not syncing: why\r\nRIP: 1\r\n");
    EXPECT_EQ(log.last_lines(), std::vector<std::string>{"Kernel panic - not syncing: why"});
    EXPECT_EQ(shown.str(), "before\nKernel panic - not syncing: why\nRIP: 1\n");
}

TEST(SnapshotKey, DependsOnEachPartAndItsEnds) {
    const auto name = [](std::string_view a, std::string_view b) {
        SnapshotKey key;
        key.add(a);
        key.add(b);
        return key.name();
    };
    EXPECT_EQ(name("a", "b").size(), 64u);
    EXPECT_EQ(name("a", "b"), name("a", "b"));
    EXPECT_NE(name("a", "b"), name("b", "a"));
    EXPECT_NE(name("ab", ""), name("a", "b"));
    EXPECT_NE(name("a 1 b", ""), name("a", "b"));
    SnapshotKey bytes, others;
    bytes.add(std::vector<u8>{1, 2});
    others.add(std::vector<u8>{1, 3});
    EXPECT_NE(bytes.name(), others.name());
}

}  // namespace
}  // namespace postern::app::exec
