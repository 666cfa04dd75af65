// SPDX-License-Identifier: Apache-2.0
// --gdb, --log and --symbols: their words, and what a bare run prints for them.
#include "app/debug_run.h"

#include <gtest/gtest.h>

#include <sstream>

#include "cpu/model.h"

namespace postern::app {
namespace {

using platform::Computer;
using platform::ComputerStop;

platform::Expected<DebugPlan> planned(const char* gdb, const char* log, const char* symbols = "") {
    return plan_debugging(gdb, log, symbols, {});
}

TEST(DebugPlan, WordsAreUnderstood) {
    EXPECT_FALSE(planned("", "")->wanted());
    const auto gdb = planned("1234", "");
    EXPECT_EQ(gdb->gdb->host, "127.0.0.1");
    EXPECT_EQ(gdb->gdb->port, 1234);
    EXPECT_EQ(planned("0.0.0.0:99", "")->gdb->host, "0.0.0.0");
    EXPECT_EQ(planned("localhost:99", "")->gdb->host, "127.0.0.1");
    const auto log = planned("", "branches,instructions=10:0x20");
    EXPECT_TRUE(log->branches);
    EXPECT_EQ(log->instructions->first, 10u);
    EXPECT_EQ(log->instructions->last, 32u);
    EXPECT_FALSE(log->devices);
    EXPECT_TRUE(planned("", "devices")->devices);
    EXPECT_FALSE(planned("", "devices")->wanted()) << "nobody needs to debug for it";
}

TEST(DebugPlan, WrongWordsAreRefusedWithTheirOption) {
    for (const char* const word : {"port", "70000", "-1", "1.2.3:4", "example.org:1234", ":", "1:"})
        EXPECT_EQ(planned(word, "").error().where, "--gdb") << word;
    for (const char* const word : {"all", "instructions", "instructions=", "instructions=5",
                                   "instructions=5:5", "instructions=1:2:3", "branches,", "device"})
        EXPECT_EQ(planned("", word).error().where, "--log") << word;
    EXPECT_EQ(planned("", "", "/nowhere/symbols.elf").error().where, "/nowhere/symbols.elf");
}

/// xor eax, eax; inc eax; jmp +0; ud2, with no IDT: a triple fault.
const std::vector<u8> code{0x31, 0xc0, 0xff, 0xc0, 0xeb, 0x00, 0x0f, 0x0b};

class DebuggedRun : public testing::Test {
protected:
    platform::NullSink sink;
    cpu::Model model = cpu::default_model();
    std::ostringstream out, err;
    std::unique_ptr<Computer> computer;

    explicit DebuggedRun(const std::vector<u8>& program = code) {
        platform::ComputerConfig config;
        config.layout = platform::layout_of(64 * platform::mib, 2 * platform::mib);
        config.model = &model;
        config.boot = platform::BootWay::elf;
        config.kernel = {"k.elf", elf(program), {}, {}};
        computer = std::move(*Computer::create(std::move(config), {sink, sink, {}}));
    }

    /// One segment at 1 MiB, headers included; the code follows them.
    static std::vector<u8> elf(const std::vector<u8>& program) {
        std::vector<u8> file{0x7f, 'E', 'L', 'F', 2, 1, 1};
        file.resize(64 + 56);
        const auto put = [&](size_t at, u64 value, unsigned size) {
            for (unsigned n = 0; n < size; ++n) file[at + n] = static_cast<u8>(value >> (8 * n));
        };
        put(16, 2 | 62u << 16, 4);  // executable, x86-64
        put(20, 1, 4);
        put(24, 0x10'0078, 8);  // entry
        put(32, 64, 8);
        put(52, 64 | 56u << 16, 4);
        put(56, 1, 2);
        put(64, 1 | u64{5} << 32, 8);  // load
        put(80, 0x10'0000, 8);
        put(88, 0x10'0000, 8);
        put(96, 120 + program.size(), 8);
        put(104, 120 + program.size(), 8);
        put(112, 0x1000, 8);
        file.insert(file.end(), program.begin(), program.end());
        return file;
    }
};

TEST_F(DebuggedRun, InstructionsBetweenTwoCountsAreShown) {
    const auto plan = planned("", "instructions=1:3");
    DebugRun run{*computer, *plan, {out, err}};
    platform::ComputerOutcome outcome;
    while (outcome.stop == ComputerStop::time) outcome = run.run_until(1000);
    EXPECT_EQ(outcome.stop, ComputerStop::shutdown);
    EXPECT_EQ(
        err.str(),
        "           1 0 000000000010007a ff c0                          inc eax\n"
        "           2 0 000000000010007c eb 00                          jmp 0x000000000010007E\n");
}

TEST_F(DebuggedRun, ReportOfATripleFaultHasTheLastBranches) {
    const auto plan = planned("", "branches");
    DebugRun run{*computer, *plan, {out, err}};
    ASSERT_EQ(run.run_until(1000).stop, ComputerStop::shutdown);
    run.report(0);
    const std::string text = err.str();
    EXPECT_NE(text.find("processor 0 at time 3:"), std::string::npos) << text;
    EXPECT_NE(text.find("rip 000000000010007e"), std::string::npos) << text;
    EXPECT_NE(text.find("0f 0b                          ud2"), std::string::npos) << text;
    EXPECT_EQ(text.find("->"), std::string::npos) << "a jump to the next instruction is none";
}

TEST_F(DebuggedRun, WithoutPlansNothingIsPrintedAndNobodyDebugs) {
    const auto plan = planned("", "");
    DebugRun run{*computer, *plan, {out, err}};
    EXPECT_EQ(computer->machine().system().debugger, nullptr);
    EXPECT_EQ(run.run_until(1000).stop, ComputerStop::shutdown);
    EXPECT_EQ(err.str(), "");
    const auto session = run.serve(Computer::never, [] { return false; });
    ASSERT_TRUE(session.has_value());
    EXPECT_FALSE(session->over);
}

/// Ports of one byte and four, memory that is a device's, and where nobody is.
const std::vector<u8> touches{
    0xb0, 0x41, 0x66, 0xba, 0xf8, 0x03, 0xee,  // mov al, 'A'; mov dx, 3f8h; out dx, al
    0xb8, 0x00, 0x08, 0x00, 0x80,              // mov eax, 80000800h
    0x66, 0xba, 0xf8, 0x0c, 0xef,              // mov dx, 0cf8h; out dx, eax
    0x8b, 0x04, 0x25, 0x30, 0x00, 0xe0, 0xfe,  // not reached: no such page
};

class LoggedDevices : public DebuggedRun {
protected:
    LoggedDevices() : DebuggedRun{touches} {}
};

TEST_F(LoggedDevices, EachAccessIsALineAndNothingElseIs) {
    const auto plan = planned("", "devices");
    {
        DebugRun run{*computer, *plan, {out, err}};
        ASSERT_EQ(run.run_until(6).stop, ComputerStop::time);
    }
    EXPECT_EQ(err.str(),
              "           2 0 write port 0x3f8 serial 1 0x41\n"
              "           5 0 write port 0xcf8 pci 4 0x80000800\n");
}

TEST_F(LoggedDevices, ReadsShowWhatCameAndNobodyIsNamed) {
    const auto plan = planned("", "devices");
    DebugRun run{*computer, *plan, {out, err}};
    cpu::Bus& bus = *computer->machine().system().bus;
    EXPECT_EQ(bus.in(0x77f, 2), 0xffffu);
    EXPECT_EQ(bus.read(Hpa{0xfee0'0030}, 4) & 0xff, 0x15u);
    const std::string text = err.str();
    EXPECT_NE(text.find("           0 0 read port 0x77f nobody 2 0xffff\n"), std::string::npos)
        << text;
    EXPECT_NE(text.find("           0 0 read memory 0xfee00030 local-apic 4 0x"), std::string::npos)
        << text;
}

}  // namespace
}  // namespace postern::app
