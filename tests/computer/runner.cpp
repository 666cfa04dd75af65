// SPDX-License-Identifier: Apache-2.0
// Runs every program in all its ways and compares with its header: see README.md beside this file.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <span>
#include <sstream>
#include <vector>

#include "cpu/model.h"
#include "platform/computer.h"
#include "support/flat_program.h"

namespace postern::platform {
namespace {

constexpr u64 most_time = 20'000'000;

struct Specification {
    unsigned processors = 1;
    u32 exit = 0;
    std::map<u64, std::vector<u8>> memory;
    std::string error;
};

u64 number(const std::string& text) { return std::strtoull(text.c_str(), nullptr, 0); }

bool read_line(const std::string& text, Specification& s) {
    std::istringstream line{text};
    std::string what, value;
    if (!(line >> what >> value)) return false;
    if (what == "processors") {
        s.processors = static_cast<unsigned>(number(value));
    } else if (what == "exit") {
        s.exit = static_cast<u32>(number(value));
    } else if (what.starts_with('[') && value == "=") {
        std::vector<u8>& bytes = s.memory[number(what.substr(1, what.size() - 2))];
        while (line >> value) bytes.push_back(static_cast<u8>(std::stoul(value, nullptr, 16)));
    } else {
        return false;
    }
    return true;
}

Specification parse(const std::string& source) {
    Specification s;
    std::ifstream file{source};
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("#:") && !read_line(line.substr(2), s))
            s.error = "not understood: " + line;
    if (s.exit == 0) s.error = "expects nothing";
    return s;
}

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
    specification_ = parse(source_);
    ASSERT_EQ(specification_.error, "");
    std::ifstream file{binary_, std::ios::binary};
    code_.assign(std::istreambuf_iterator<char>{file}, {});
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
    namespace fs = std::filesystem;
    const fs::path sources{COMPUTER_SOURCES}, binaries{COMPUTER_BINARIES};
    std::vector<fs::path> files;
    for (const fs::directory_entry& e : fs::directory_iterator{sources})
        if (e.path().extension() == ".s") files.push_back(e.path().filename());
    std::ranges::sort(files);
    for (const fs::path& file : files) {
        const std::string source = sources / file;
        const std::string binary = (binaries / file).replace_extension(".bin");
        testing::RegisterTest("Computer", file.stem().c_str(), nullptr, nullptr, source.c_str(), 1,
                              [=]() -> testing::Test* { return new ComputerTest{source, binary}; });
    }
}

}  // namespace
}  // namespace postern::platform

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    postern::platform::register_tests();
    return RUN_ALL_TESTS();
}
