// SPDX-License-Identifier: Apache-2.0
// `postern exits` over a trace of chosen records: every format by hand, every filter, and what is
// refused.
#include "app/exits/exits.h"

#ifdef __has_include
#if __has_include(<asm/vmx.h>)
#include <asm/vmx.h>
#endif
#endif

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include <nlohmann/json.hpp>

#include "app/exits/names.h"
#include "unit/app/trace_file.h"

namespace postern::app {
namespace {

using namespace test;

struct Outcome {
    int status = 0;
    std::string out, err;
};

class Exits : public ::testing::Test {
protected:
    void SetUp() override {
        options.trace = temporary("exits");
        write_file(options.trace, chosen_trace());
    }
    void TearDown() override { std::filesystem::remove(options.trace); }

    [[nodiscard]] Outcome run() const {
        std::ostringstream out, err;
        const int status = exits_command(options, {out, err});
        return {status, out.str(), err.str()};
    }
    /// The numbers in the first column of --list: which records were taken.
    [[nodiscard]] std::vector<std::string> reasons() {
        options.csv = true;
        std::istringstream lines{run().out};
        std::vector<std::string> found;
        std::string line;
        for (std::getline(lines, line); std::getline(lines, line);) {
            for (int commas = 0; commas < 3; ++commas) line.erase(0, line.find(',') + 1);
            found.push_back(line.substr(0, line.find(',')));
        }
        return found;
    }
    void expect_refused(const std::string& line) const {
        const Outcome outcome = run();
        EXPECT_EQ(outcome.status, 2);
        EXPECT_EQ(outcome.out, "");
        EXPECT_EQ(outcome.err, "postern: " + line + "\n");
    }

    ExitsOptions options;
};

using Reasons = std::vector<std::string>;

constexpr const char* tables =
    "5 exits in 0.000008000 s of the guest's time on postern-v3, 2 processors\n"
    "recorded by: postern run --kernel a.elf\n"
    "\n"
    "by reason                                  normal    enclave   delivery     failed        "
    "all\n"
    "    0 exception_or_nmi                          1          0          0          0          "
    "1\n"
    "   10 cpuid                                     1          0          0          0          "
    "1\n"
    "   48 ept_violation                             0          1          1          0          "
    "2\n"
    "   49 ept_misconfiguration                      0          1          0          0          "
    "1\n"
    "all                                             2          2          1          0          "
    "5\n"
    "\n"
    "enclave  MRENCLAVE         SECS                      exits   delivery    guarded   exits a "
    "second\n"
    "#1       a0a1a2a3a4a5a6a7  0x80000000                    3          1          1           "
    "666666\n"
    "\n"
    "over time, from                      ticks      exits from enclaves    guarded\n"
    "         0.000000000 s                1000          4             3          1\n"
    "         0.000004001 s                5001          1             0          0\n"
    "\n"
    "what was done\n"
    "           1  mapped\n"
    "           1  redelivered\n"
    "           1  reinjected\n"
    "           1  guarded\n"
    "           1  emulated\n"
    "\n"
    "injected\n"
    "           1  interrupt 0xec\n"
    "           1  #UD\n"
    "           1  #PF\n"
    "\n"
    "1 guard hits\n"
    "           1  ept_misconfiguration, enclave #1, aep=0x401000 tcs=0x7f0000001000, physical "
    "0xfe000000\n"
    "\n"
    "anomalies\n"
    "           1  exit-reason bit 27 without interruptibility bit 4\n";

constexpr const char* csv =
    "sequence,vcpu,tsc,reason,raw_reason,kind,action,cpl,enclave,mrenclave,rip,aep,tcs,secs,"
    "moved_to,rax,rcx,rflags,qualification,guest_linear,guest_physical,interruptibility_before,"
    "interruptibility_after,instruction_length,interruption,interruption_error_code,idt_vectoring,"
    "idt_vectoring_error_code,injected,injected_error_code,anomalies,level\n"
    "0,0,1000,cpuid,0xa,normal,emulated,0,,,0xffffffff81000000,,,,0xffffffff81000002,0x7,0x0,0x2,"
    "0x0,0x0,0x0,0x0,0x0,0x2,0x0,0x0,0x0,0x0,0x0,0x0,0x0,1\n"
    "1,0,2000,ept_violation,0x8000030,enclave,mapped,3,1,"
    "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
    ",,0x401000,0x7f0000001000,0x80000000,,0x3,0x401000,0x202,0x182,0x7f0000005000,0x80005000,"
    "0x10,0x10,0x0,0x0,0x0,0x0,0x0,0x0,0x0,0x0,1\n"
    "2,0,3500,ept_misconfiguration,0x8000031,enclave,guarded,3,1,"
    "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
    ",,0x401000,0x7f0000001000,0x80000000,,0x3,0x401000,0x202,0x0,0x0,0xfe000000,"
    "0x10,0x10,0x0,0x0,0x0,0x0,0x0,0x80000306,0x0,0x0,1\n"
    "0,1,5000,ept_violation,0x8000030,delivery,redelivered,0,1,"
    "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
    ",,0x401000,0x7f0000001000,0x80000000,,0x3,0x401000,0x202,0x182,0x7f0000005000,0x200000,"
    "0x10,0x10,0x0,0x0,0x0,0x800000ec,0x0,0x800000ec,0x0,0x1,1\n"
    "3,0,9000,exception_or_nmi,0x0,normal,reinjected,3,,,0x402000,,,,,0x0,0x0,0x10202,0x1234,0x0,"
    "0x0,0x0,0x0,0x0,0x80000b0e,0x14,0x0,0x0,0x80000b0e,0x14,0x0,1\n";

constexpr const char* kvm =
    "postern-1 [000] 0.000001000: kvm_exit: vcpu 0 reason CPUID rip 0xffffffff81000000 "
    "info1 0x0000000000000000 info2 0x0000000000000000 intr_info 0x00000000 "
    "error_code 0x00000000\n"
    "postern-1 [000] 0.000002000: kvm_exit: vcpu 0 reason EPT_VIOLATION ENCLAVE aep=0x401000 "
    "tcs=0x7f0000001000 info1 0x0000000000000182 info2 0x0000000000000000 intr_info 0x00000000 "
    "error_code 0x00000000\n"
    "postern-1 [000] 0.000003500: kvm_exit: vcpu 0 reason EPT_MISCONFIG ENCLAVE aep=0x401000 "
    "tcs=0x7f0000001000 info1 0x0000000000000000 info2 0x0000000000000000 intr_info 0x00000000 "
    "error_code 0x00000000\n"
    "postern-1 [001] 0.000005000: kvm_exit: vcpu 1 reason EPT_VIOLATION ENCLAVE aep=0x401000 "
    "tcs=0x7f0000001000 info1 0x0000000000000182 info2 0x00000000800000ec intr_info 0x00000000 "
    "error_code 0x00000000\n"
    "postern-1 [000] 0.000009000: kvm_exit: vcpu 0 reason EXCEPTION_NMI rip 0x402000 "
    "info1 0x0000000000001234 info2 0x0000000000000000 intr_info 0x80000b0e "
    "error_code 0x00000014\n";

constexpr const char* first_json_lines =
    R"({"sequence":0,"vcpu":0,"tsc":1000,"reason":"cpuid","raw_reason":"0xa","kind":"normal",)"
    R"("action":"emulated","cpl":0,"level":1,"rip":"0xffffffff81000000","moved_to":"0xffffffff81000002",)"
    R"("rax":"0x7","rcx":"0x0","rflags":"0x2","qualification":"0x0","guest_linear":"0x0",)"
    R"("guest_physical":"0x0","interruptibility_before":"0x0","interruptibility_after":"0x0",)"
    R"("instruction_length":"0x2","interruption":"0x0","interruption_error_code":"0x0",)"
    R"("idt_vectoring":"0x0","idt_vectoring_error_code":"0x0","injected":"0x0",)"
    R"("injected_error_code":"0x0","anomalies":"0x0"})"
    "\n"
    R"({"sequence":1,"vcpu":0,"tsc":2000,"reason":"ept_violation","raw_reason":"0x8000030",)"
    R"("kind":"enclave","action":"mapped","cpl":3,"level":1,"enclave":1,)"
    R"("mrenclave":"a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf",)"
    R"("aep":"0x401000","tcs":"0x7f0000001000","secs":"0x80000000","rax":"0x3",)"
    R"("rcx":"0x401000","rflags":"0x202","qualification":"0x182",)"
    R"("guest_linear":"0x7f0000005000","guest_physical":"0x80005000",)"
    R"("interruptibility_before":"0x10","interruptibility_after":"0x10",)"
    R"("instruction_length":"0x0","interruption":"0x0","interruption_error_code":"0x0",)"
    R"("idt_vectoring":"0x0","idt_vectoring_error_code":"0x0","injected":"0x0",)"
    R"("injected_error_code":"0x0","anomalies":"0x0"})"
    "\n";

constexpr const char* list =
    "       0           1000 0 cpuid                        normal   rip=0xffffffff81000000 cpl=0: "
    "emulated, goes on at 0xffffffff81000002\n"
    "       1           2000 0 ept_violation                enclave  aep=0x401000 "
    "tcs=0x7f0000001000 enclave=#1 qualification=0x182 linear=0x7f0000005000 physical=0x80005000: "
    "mapped\n"
    "       2           3500 0 ept_misconfiguration         enclave  aep=0x401000 "
    "tcs=0x7f0000001000 enclave=#1 physical=0xfe000000: guarded, injects #UD\n"
    "       0           5000 1 ept_violation                delivery aep=0x401000 "
    "tcs=0x7f0000001000 enclave=#1 qualification=0x182 linear=0x7f0000005000 physical=0x200000 "
    "delivering=interrupt 0xec: redelivered, injects interrupt 0xec, ANOMALY: exit-reason bit 27 "
    "without interruptibility bit 4\n"
    "       3           9000 0 exception_or_nmi             normal   rip=0x402000 cpl=3 "
    "qualification=0x1234 event=#PF(0x14): reinjected, injects #PF(0x14)\n";

TEST_F(Exits, AreShownInTables) {
    options.buckets = "2";
    const Outcome outcome = run();
    EXPECT_EQ(outcome.status, 0);
    EXPECT_EQ(outcome.out, tables);
    EXPECT_EQ(outcome.err, "");
}

TEST_F(Exits, AreListed) {
    options.list = true;
    EXPECT_EQ(run().out, list);
}

TEST_F(Exits, AreExportedAsCommaSeparatedValues) {
    options.csv = true;
    EXPECT_EQ(run().out, csv);
}

TEST_F(Exits, AreExportedAsTheKernelsEvent) {
    options.kvm = true;
    EXPECT_EQ(run().out, kvm);
}

TEST_F(Exits, AreExportedAsJsonALineEach) {
    options.list = options.json = true;
    const std::string out = run().out;
    EXPECT_EQ(out.substr(0, std::string_view{first_json_lines}.size()), first_json_lines);
    EXPECT_EQ(std::ranges::count(out, '\n'), 5);
}

TEST_F(Exits, HaveTheirTablesAsJson) {
    options.json = true;
    options.buckets = "2";
    const auto all = nlohmann::json::parse(run().out);
    using Json = nlohmann::json;
    EXPECT_EQ(all["count"], 5);
    EXPECT_EQ(all["complete"], true);
    EXPECT_EQ(all["exits"], Json::parse(R"({"exception_or_nmi": {"normal": 1},
        "cpuid": {"normal": 1}, "ept_violation": {"enclave": 1, "delivery": 1},
        "ept_misconfiguration": {"enclave": 1}})"));
    EXPECT_EQ(all["vcpus"], Json::parse(R"({"0": 4, "1": 1})"));
    EXPECT_EQ(all["enclaves"], Json::parse(R"([{"enclave": {"number": 1, "mrenclave":
        "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf",
        "secs": "0x80000000", "base": "0x7f0000000000", "size": 1048576}, "exits": 3,
        "kinds": {"enclave": 2, "delivery": 1}, "guard_hits": 1, "first": 2000, "last": 5000}])"));
    EXPECT_EQ(all["over_time"], Json::parse(R"([
        {"from": 1000, "exits": 4, "enclave": 3, "guard_hits": 1},
        {"from": 5001, "exits": 1, "enclave": 0, "guard_hits": 0}])"));
    EXPECT_EQ(all["injected"], Json::parse(R"({"interrupt 0xec": 1, "#UD": 1, "#PF": 1})"));
    EXPECT_EQ(all["guard_hits"], Json::parse(R"([{"count": 1, "reason": "ept_misconfiguration",
        "enclave": 1, "aep": "0x401000", "tcs": "0x7f0000001000",
        "guest_physical": "0xfe000000"}])"));
    EXPECT_EQ(all["anomalies"],
              Json::parse(R"({"exit-reason bit 27 without interruptibility bit 4": 1})"));
}

/// K12.
TEST_F(Exits, OfAnEnclaveNeverHaveARip) {
    options.enclave = "#1";
    for (bool ExitsOptions::* const format :
         {&ExitsOptions::list, &ExitsOptions::kvm, &ExitsOptions::json}) {
        ExitsOptions one = options;
        one.list = true;
        one.*format = true;
        std::ostringstream out, err;
        ASSERT_EQ(exits_command(one, {out, err}), 0);
        EXPECT_EQ(out.str().find("rip"), std::string::npos) << out.str();
        EXPECT_NE(out.str().find("aep"), std::string::npos);
        EXPECT_NE(out.str().find("tcs"), std::string::npos);
    }
}

TEST_F(Exits, CanBeChosenByEnclave) {
    const Reasons all{"ept_violation", "ept_misconfiguration", "ept_violation"};
    for (const char* const name :
         {"#1", "0x80000000", "a0a1",
          "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"}) {
        options.enclave = name;
        EXPECT_EQ(reasons(), all) << name;
    }
    for (const char* const name : {"#2", "0x80001000", "a1"}) {
        options.enclave = name;
        EXPECT_EQ(reasons(), Reasons{}) << name;
    }
}

TEST_F(Exits, CanBeChosenByReason) {
    options.reasons = {"cpuid,EPT_MISCONFIG"};
    EXPECT_EQ(reasons(), (Reasons{"cpuid", "ept_misconfiguration"}));
    options.reasons = {"0", "48"};
    EXPECT_EQ(reasons(), (Reasons{"ept_violation", "ept_violation", "exception_or_nmi"}));
}

TEST_F(Exits, CanBeChosenByTime) {
    options.from = "2000";
    options.to = "3500";
    EXPECT_EQ(reasons(), (Reasons{"ept_violation", "ept_misconfiguration"}));
}

TEST_F(Exits, MayBeNone) {
    options.from = "9001";
    const Outcome outcome = run();
    EXPECT_EQ(outcome.status, 0);
    EXPECT_EQ(outcome.out,
              "0 exits on postern-v3, 2 processors\n"
              "recorded by: postern run --kernel a.elf\n");
}

/// CPUID of L1, of L2 passed on, and a page that L2's enclave touches, mapped below L1.
std::vector<u8> nested_trace() {
    hv::ExitRecord passed_on = cpuid_exit(), mapped = touch_exit();
    passed_on.of_l2 = mapped.of_l2 = 1;
    passed_on.action = Action::reflected;
    const std::vector<Record> records{Record{cpuid_exit()}, Record{passed_on}, Record{mapped}};
    std::vector<u8> file = trace::encode_header(about);
    append(file, trace::encode_block(records, 0, true));
    return file;
}

TEST_F(Exits, OfAGuestsGuestAreToldFromItsOwn) {
    write_file(options.trace, nested_trace());
    const std::string text = run().out;
    EXPECT_NE(text.find("\n"
                        "by level       exits  from enclaves  passed on\n"
                        "L1                 1              0          0\n"
                        "L2                 2              1          1\n"),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("\n           1  passed on\n"), std::string::npos) << text;
    EXPECT_NE(text.find("\nno anomalies\n"), std::string::npos) << text;
    options.json = true;
    const auto all = nlohmann::json::parse(run().out);
    EXPECT_EQ(all["levels"],
              nlohmann::json::parse(R"({"1": {"exits": 1, "enclave": 0, "passed_on": 0},
                                        "2": {"exits": 2, "enclave": 1, "passed_on": 1}})"));
    EXPECT_EQ(all["actions"]["passed on"], 1);
    options.json = false;
    options.list = true;
    const std::string lines = run().out;
    EXPECT_NE(lines.find("cpuid                        normal   rip="), std::string::npos);
    EXPECT_NE(lines.find("cpuid                        normal   L2 rip="), std::string::npos);
    EXPECT_NE(lines.find("ept_violation                enclave  L2 aep="), std::string::npos);
    options.list = false;
    options.kvm = true;
    EXPECT_EQ(run().out.find("L2"), std::string::npos) << "the kernel's event has no place for it";
}

TEST_F(Exits, ASecsPageThatIsUsedAgainIsAnotherEnclave) {
    hv::ExitRecord later = touch_exit();
    later.sequence = 4;
    later.tsc = 9500;
    hv::ExitRecord stranger = later;
    stranger.secs = 0;
    const std::vector<Record> records{Record{enclave(1, 0x8000'0000, 1)}, Record{touch_exit()},
                                      Record{enclave(2, 0x8000'0000)}, Record{later},
                                      Record{stranger}};
    std::vector<u8> file = trace::encode_header(about);
    append(file, trace::encode_block(records, 0, true));
    write_file(options.trace, file);
    options.json = true;
    const auto all = nlohmann::json::parse(run().out);
    ASSERT_EQ(all["enclaves"].size(), 3u);
    EXPECT_EQ(all["enclaves"][0]["enclave"], nullptr);
    EXPECT_EQ(all["enclaves"][1]["enclave"]["number"], 1);
    EXPECT_EQ(all["enclaves"][2]["enclave"]["number"], 2);
    EXPECT_EQ(all["enclaves"][2]["enclave"]["mrenclave"], nullptr);
    for (const auto& row : all["enclaves"]) EXPECT_EQ(row["exits"], 1);
}

TEST_F(Exits, OfATraceThatWasCutOffAreShownAndItIsSaidSo) {
    std::vector<u8> file = chosen_trace();
    file.resize(file.size() - 100);
    write_file(options.trace, file);
    options.csv = true;
    const Outcome outcome = run();
    EXPECT_EQ(outcome.status, 0);
    EXPECT_EQ(std::ranges::count(outcome.out, '\n'), 2) << "the head and CPUID";
    EXPECT_EQ(outcome.err,
              "postern: the trace has no end: postern was killed, or is still running; 540 bytes "
              "of a block that is not whole are left out\n");
}

TEST_F(Exits, WrongInputHasOneLine) {
    const auto with = [&](auto change) {
        ExitsOptions before = options;
        change(options);
        const Outcome outcome = run();
        EXPECT_EQ(outcome.status, 2);
        EXPECT_EQ(outcome.out, "");
        EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1);
        options = before;
        return outcome.err.substr(0, outcome.err.find(':', 9));
    };
    EXPECT_EQ(with([](auto& o) { o.enclave = "g"; }), "postern: \"g\" names no enclave");
    EXPECT_EQ(with([](auto& o) { o.enclave = "#0"; }), "postern: \"#0\" names no enclave");
    EXPECT_EQ(with([](auto& o) { o.reasons = {"dance"}; }),
              "postern: unknown exit reason \"dance\"");
    EXPECT_EQ(with([](auto& o) { o.from = "now"; }), "postern: \"now\" is not a time");
    EXPECT_EQ(with([](auto& o) { o.from = "2", o.to = "1"; }), "postern: it ends before it begins");
    EXPECT_EQ(with([](auto& o) { o.json = o.csv = true; }), "postern: one format at a time");
    EXPECT_EQ(with([](auto& o) { o.buckets = "0"; }), "postern: \"0\" is not a count");
    EXPECT_EQ(with([](auto& o) { o.trace = "/nonexistent/trace"; }), "postern: cannot read");
    std::vector<u8> file = chosen_trace();
    file[200] ^= 1;
    write_file(options.trace, file);
    expect_refused("damaged records in the block at byte 84: " + options.trace +
                   ": a file that postern run --trace wrote");
}

TEST_F(Exits, TextsOfATraceCannotSteerTheTerminal) {
    std::vector<u8> file = trace::encode_header({.model = "\x1b[2J", .command_line = "a\nb"});
    append(file, trace::encode_block({}, 0, true));
    write_file(options.trace, file);
    EXPECT_EQ(run().out, "0 exits on ?[2J, 1 processor\nrecorded by: a?b\n");
}

#ifdef VMX_EXIT_REASONS
TEST(KvmNames, AreThoseOfTheKernelsHeader) {
    struct Row {
        unsigned number;
        std::string_view name;
    };
    constexpr Row rows[] = {VMX_EXIT_REASONS};
    for (const Row& row : rows)
        EXPECT_EQ(kvm_name(static_cast<u16>(row.number)), row.name) << row.number;
}
#endif

TEST(KvmNames, AReasonIsFoundByEitherNameOrNumber) {
    EXPECT_EQ(parse_reason("ept_violation"), 48);
    EXPECT_EQ(parse_reason("EPT_VIOLATION"), 48);
    EXPECT_EQ(parse_reason("48"), 48);
    EXPECT_EQ(parse_reason("0x30"), 48);
    EXPECT_EQ(parse_reason(""), std::nullopt);
    EXPECT_EQ(parse_reason("65536"), std::nullopt);
}

}  // namespace
}  // namespace postern::app
