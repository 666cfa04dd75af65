// SPDX-License-Identifier: Apache-2.0
// Runs every program in all its ways and compares with its header: see README.md beside this file.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "computer/programs.h"
#include "cpu/model.h"
#include "platform/computer.h"
#include "support/flat_program.h"

namespace postern::platform {
namespace {

using test::Specification;

constexpr u64 most_time = 20'000'000;

const cpu::Model& model() {
    static const cpu::Model with_monitor = [] {
        cpu::Model made = cpu::default_model();
        made.features.set(cpu::Feature::monitor);
        return made;
    }();
    return with_monitor;
}

NullSink nowhere;

/// A computer with the program in it; the first processor is about to run it.
class Pc {
public:
    Pc(const Specification& s, const std::vector<u8>& code) {
        ComputerConfig config;
        config.layout = layout_of(16 * mib, 0);
        config.model = &model();
        config.processors = s.processors;
        computer = std::move(*Computer::create(std::move(config), {nowhere, nowhere, [](u32) {}}));
        load_flat_program(*computer, code);
    }
    [[nodiscard]] std::string digest() const { return state_digest(subject_of(*computer)); }

    std::unique_ptr<Computer> computer;
};

struct End {
    u64 time;
    std::string digest;
};

class ComputerTest : public testing::Test {
public:
    ComputerTest(std::string source, std::string binary)
        : source_{std::move(source)}, binary_{std::move(binary)} {}
    void TestBody() override;

private:
    [[nodiscard]] Pc make() const { return {specification_, code_}; }
    void check(const Pc& pc, const ComputerOutcome& outcome, const char* way);
    ComputerOutcome run_in_slices(Pc& pc, u64 slice) const;
    ComputerOutcome run_through_snapshots(Pc& pc, u64 slice);

    std::string source_, binary_;
    Specification specification_;
    std::vector<u8> code_;
    std::optional<End> first_;
};

void ComputerTest::check(const Pc& pc, const ComputerOutcome& outcome, const char* way) {
    SCOPED_TRACE(way);
    ASSERT_EQ(outcome.stop, ComputerStop::exit_port)
        << (outcome.what != nullptr ? outcome.what : "no exit") << ", processor "
        << outcome.processor;
    EXPECT_EQ(outcome.value, specification_.exit);
    const u8* const ram = pc.computer->machine().ram();
    for (const auto& [at, bytes] : specification_.memory)
        EXPECT_TRUE(std::ranges::equal(bytes, std::span{ram + at, bytes.size()}))
            << "at " << std::hex << at << ": " << unsigned{ram[at]};
    const End end{pc.computer->now(), pc.digest()};
    if (!first_) first_ = end;
    EXPECT_EQ(end.time, first_->time);
    EXPECT_EQ(end.digest, first_->digest);
}

ComputerOutcome ComputerTest::run_in_slices(Pc& pc, u64 slice) const {
    ComputerOutcome outcome;
    while (outcome.stop == ComputerStop::time && pc.computer->now() < most_time)
        outcome = pc.computer->run_until(pc.computer->now() + slice);
    return outcome;
}

/// Each slice runs in a computer of its own, which has nothing but what was saved.
ComputerOutcome ComputerTest::run_through_snapshots(Pc& pc, u64 slice) {
    constexpr unsigned snapshots = 12;
    for (unsigned n = 0; n < snapshots; ++n) {
        const ComputerOutcome outcome = pc.computer->run_until(pc.computer->now() + slice);
        if (outcome.stop != ComputerStop::time) return outcome;
        Pc next = make();
        const auto saved = snapshot_bytes(subject_of(*pc.computer));
        const auto loaded = load_snapshot(subject_of(*next.computer), saved, "a snapshot");
        EXPECT_TRUE(loaded.has_value());
        pc.computer.swap(next.computer);
    }
    return pc.computer->run_until(most_time);
}

void ComputerTest::TestBody() {
    specification_ = test::read_specification(source_);
    ASSERT_EQ(specification_.error, "");
    code_ = test::bytes_of(binary_);
    ASSERT_FALSE(code_.empty());
    Pc whole = make();
    check(whole, whole.computer->run_until(most_time), "at once");
    for (const u64 slice : {u64{3}, u64{997}}) {
        Pc pc = make();
        check(pc, run_in_slices(pc, slice), "in slices");
    }
    for (const u64 slice : {u64{17}, u64{4'999}}) {
        Pc pc = make();
        check(pc, run_through_snapshots(pc, slice), "through snapshots");
    }
}

void register_tests() {
    for (const auto& [name, source, binary] : test::computer_programs())
        testing::RegisterTest(
            "Computer", name.c_str(), nullptr, nullptr, source.c_str(), 1,
            [source, binary]() -> testing::Test* { return new ComputerTest{source, binary}; });
}

}  // namespace
}  // namespace postern::platform

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    postern::platform::register_tests();
    return RUN_ALL_TESTS();
}
