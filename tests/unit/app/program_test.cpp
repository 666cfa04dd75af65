// SPDX-License-Identifier: Apache-2.0
// Bad input: exactly one line on the error stream, nothing on the other, status 2.
#include "app/program.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

#include "unit/platform/elf_image.h"
#include "unit/platform/multiboot_file.h"

namespace postern::app {
namespace {

struct Outcome {
    int status;
    std::string out, err;
};

Outcome run(const std::vector<std::string>& arguments) {
    std::ostringstream out, err;
    const int status = run_program(arguments, "/nonexistent", {out, err});
    return {status, out.str(), err.str()};
}

void expect_refused(const std::vector<std::string>& arguments, std::string_view begins) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 2) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_TRUE(outcome.err.starts_with("postern: ")) << outcome.err;
    EXPECT_TRUE(std::string_view{outcome.err}.substr(9).starts_with(begins)) << outcome.err;
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    EXPECT_EQ(outcome.err.back(), '\n');
}

std::string file_with(const std::string& name, const std::string& content) {
    // Tests run in processes side by side.
    const std::string path = ::testing::TempDir() + name + "-" + std::to_string(getpid());
    std::ofstream{path, std::ios::binary} << content;
    return path;
}

TEST(CommandLine, NoCommandOrAnUnknownOneIsRefused) {
    expect_refused({}, "A subcommand is required");
    expect_refused({"dance"}, "unknown command \"dance\": command line: ");
    expect_refused({"run", "--no-such-option"}, "The following argument was not expected");
    expect_refused({"run", "--kernel"}, "--kernel");
}

TEST(CommandLine, OfExecHasEnvsStatuses) {
    const auto expect_end = [](const std::vector<std::string>& arguments, int status,
                               const std::string& line) {
        const Outcome outcome = run(arguments);
        EXPECT_EQ(outcome.status, status) << outcome.err;
        EXPECT_EQ(outcome.err.substr(0, line.size()), line);
        EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    };
    expect_end({"exec"}, 125, "postern: no program is given: exec: ");
    expect_end({"exec", "--memory", "2G", "--"}, 125, "postern: no program is given: exec: ");
    expect_end({"exec", "true"}, 125, "postern: The following argument was not expected: true");
    expect_end({"exec", "--cpus", "0", "--", "true"}, 125, "postern: \"0\" is not a number of");
    expect_end({"exec", "--env", "=x", "--", "true"}, 125, "postern: \"=x\" is no assignment");
    expect_end({"exec", "--sgx-seed", "x", "--", "true"}, 125, "postern: \"x\" is not a number");
    expect_end({"exec", "--", "/"}, 126, "postern: it is a directory: /: ");
    expect_end({"exec", "--", "/nonexistent/--memory"}, 127, "postern: no such program: ");
    expect_end({"exec", "--kernel", "/nonexistent", "--", "/bin/true"}, 125,
               "postern: no such file: /nonexistent: ");
}

TEST(CommandLine, WhatIsPlannedIsRefusedByName) {
    expect_refused({"exits", "/nonexistent/trace"}, "cannot read: No such file or directory: ");
    expect_refused({"exits"}, "TRACE is required");
    expect_refused({"run", "--gdb", "1234"}, "not implemented yet without --bare: --gdb, --log");
}

TEST(Run, BadValuesNameTheirOption) {
    expect_refused({"run"}, "no kernel is given: --kernel: ");
    expect_refused({"run", "--bare"}, "no kernel is given: --kernel: ");
    expect_refused({"run", "--bare", "--cpus", "65"}, "\"65\" is not a number of processors: ");
    expect_refused({"run", "--bare", "--load", "none", "--save", "x"},
                   "it is not said when to save: --save: ");
    expect_refused({"run", "--bare", "--load", "none"}, "no such file: none: ");
    expect_refused({"run", "--bare", "--load", "none", "--save-at", "5"},
                   "there is no file to save to: --save-at: ");
    expect_refused({"run", "--epc", "0", "--sgx-provision"},
                   "there is no SGX with --epc 0: --sgx-provision: ");
    expect_refused({"run", "--bare", "--sgx-provision"},
                   "no hypervisor keeps the key from anybody: --sgx-provision with --bare: ");
    expect_refused({"run", "--memory", "lots"}, "\"lots\" is not a size: --memory: ");
    expect_refused({"run", "--memory", "1M"}, "1048576 bytes of memory: --memory: ");
    expect_refused({"run", "--memory", "999999G"}, "1073740750258176 bytes of memory: --memory: ");
    expect_refused({"run", "--epc", "1K"}, "1024 bytes of EPC: --epc: ");
    expect_refused({"run", "--cpus", "none"}, "\"none\" is not a number of processors: --cpus: ");
    expect_refused({"run", "--cpu", "i486"}, "unknown model \"i486\": --cpu: ");
    expect_refused({"run", "--cpu", "postern-v3,+warp"}, "unknown feature \"+warp\": --cpu: ");
    for (const std::string feature :
         {"sgx_enclv", "sgx_oversub", "sgx_everifyreport2", "sgx_eupdatesvn", "avx512f"})
        expect_refused({"run", "--cpu", "postern-v3,+" + feature},
                       "the feature \"" + feature + "\" is not implemented: --cpu: ");
    expect_refused(
        {"run", "--cpu", "postern-v3,phys-bits=49"},
        "\"phys-bits=49\" is not a width of addresses: --cpu: phys-bits=N with N from 36 "
        "to 48");
    expect_refused({"run", "--cpu", "postern-v3,phys-bits=35"},
                   "\"phys-bits=35\" is not a width of addresses: --cpu: ");
    expect_refused({"run", "--cpu", "postern-v3,phys-bits=many"},
                   "\"phys-bits=many\" is not a width of addresses: --cpu: ");
    expect_refused({"run", "--boot", "floppy"}, "unknown way to boot \"floppy\": --boot: ");
    expect_refused({"run", "--enclave-fault", "pf"}, "unknown fault \"pf\": --enclave-fault: ");
    expect_refused({"run", "--without", "luck"}, "unknown protection \"luck\": --without: ");
    expect_refused({"run", "--max-instructions", "0"},
                   "\"0\" is not a count: --max-instructions: ");
    expect_refused({"run", "--sgx-seed", "much"},
                   "\"much\" is not a number: --sgx-seed: a number from 0 to "
                   "18446744073709551615\n");
    expect_refused({"run", "--sgx-seed", "18446744073709551616"},
                   "\"18446744073709551616\" is not a number: --sgx-seed: ");
    expect_refused({"run", "--sgx-conflict", "einit=2"}, "\"2\" is not a rate: --sgx-conflict: ");
    expect_refused({"run", "--sgx-conflict", "ewb=1", "--sgx-conflict", "ewb=1"},
                   "ewb is named twice: --sgx-conflict: ");
    expect_refused({"run", "--interrupt-enclave", "often"},
                   "\"often\" does not say when: --interrupt-enclave: every=N, at=K or seed=S\n");
    expect_refused({"run", "--interrupt-enclave", "every=1=2"}, "\"every=1=2\" does not say when");
    expect_refused({"run", "--interrupt-enclave", "every=0"},
                   "\"0\" is not a number for every: --interrupt-enclave: every=N with N from 1 to "
                   "1152921504606846976\n");
    expect_refused({"run", "--interrupt-enclave", "at="},
                   "\"\" is not a number for at: --interrupt-enclave: at=N with N from 1 to ");
    expect_refused({"run", "--interrupt-enclave", "seed=x"},
                   "\"x\" is not a number for seed: --interrupt-enclave: seed=N with N from 0 to "
                   "18446744073709551615\n");
    expect_refused({"run", "--epc", "0", "--interrupt-enclave", "at=1"},
                   "there is no SGX with --epc 0: --interrupt-enclave: an EPC, such as --epc 64M");
    expect_refused({"run", "--epc", "0", "--sgx-conflict", "einit=0.5"},
                   "there is no SGX with --epc 0: --sgx-conflict: an EPC, such as --epc 64M");
    expect_refused({"run", "--timeout", "soon"}, "\"soon\" is not a count: --timeout: ");
}

TEST(Run, BadFilesAreNamed) {
    expect_refused({"run", "--kernel", "no-such-kernel"}, "no such file: no-such-kernel: ");
    expect_refused({"run", "--kernel", ::testing::TempDir()}, "it is a directory: ");
    expect_refused({"run", "--kernel", file_with("postern-empty", "")}, "the file is empty: ");
    expect_refused({"run", "--kernel", file_with("postern-text", "hello, world")},
                   "not an ELF file (it begins with 0x68): ");
    expect_refused({"run", "--kernel",
                    file_with("postern-short",
                              "\x7f"
                              "ELF\x02\x01\x01")},
                   "truncated ELF: 7 bytes, the header alone has 64: ");
}

/// A kernel of these instructions, as a file.
std::string kernel_of(const std::string& name, const std::vector<u8>& code) {
    test::ElfFile file;
    file.entry(0x10'0000);
    file.add({1, 0x1000, 0x10'0000, code.size(), 0x2000});
    for (size_t i = 0; i < code.size(); ++i) file.put(0x1000 + i, code[i], 1);
    return file_with(name, {file.bytes.begin(), file.bytes.end()});
}

// mov dx, 3f8h; mov al, 'A'; out dx, al; mov al, 3; out 0f4h, al
const std::vector<u8> says_a_and_exits{0x66, 0xba, 0xf8, 3, 0xb0, 'A', 0xee, 0xb0, 3, 0xe6, 0xf4};

TEST(Run, TheGuestsOutputAndStatusAreThePrograms) {
    const std::string kernel = kernel_of("postern-a", says_a_and_exits);
    const Outcome outcome = run({"run", "--kernel", kernel, "--memory", "16M", "--epc", "0"});
    EXPECT_EQ(outcome.status, 7);
    EXPECT_EQ(outcome.out, "A");
    EXPECT_EQ(outcome.err, "");
}

/// Prints the text whose address `load_address` leaves in ESI, and exits with 3.
std::string multiboot_kernel(std::vector<u8> load_address) {
    // mov dx, 3f8h; again: lodsb; test al, al; jz done; out dx, al; jmp again;
    // done: mov al, 3; out 0f4h, al
    constexpr u8 print[] = {0x66, 0xba, 0xf8, 3,    0xac, 0x84, 0xc0, 0x74,
                            3,    0xee, 0xeb, 0xf8, 0xb0, 3,    0xe6, 0xf4};
    load_address.insert(load_address.end(), std::begin(print), std::end(print));
    const auto file = test::flat_multiboot(load_address).bytes;
    return file_with("postern-multiboot", {file.begin(), file.end()});
}

TEST(Run, AMultibootKernelFindsItsCommandLine) {
    const std::string kernel = multiboot_kernel({0x8b, 0x73, 0x10});  // mov esi, [ebx + 16]
    const Outcome outcome =
        run({"run", "--bare", "--kernel", kernel, "--memory", "16M", "--append", "a b"});
    EXPECT_EQ(outcome.status, 7) << outcome.err;
    EXPECT_EQ(outcome.out, kernel + " a b");
}

TEST(Run, AMultibootKernelFindsItsModules) {
    // mov esi, [ebx + 24]; mov esi, [esi + 16]: the second one's start
    const std::string kernel = multiboot_kernel({0x8b, 0x73, 0x18, 0x8b, 0x76, 0x10});
    const std::string first = file_with("postern-first", "one");
    const std::string second = file_with("postern,second", "two");
    const std::string modules = first + " with arguments," + ::testing::TempDir() +
                                "postern,,second-" + std::to_string(getpid());
    const Outcome outcome =
        run({"run", "--bare", "--kernel", kernel, "--memory", "16M", "--initrd", modules});
    EXPECT_EQ(outcome.status, 7) << outcome.err;
    EXPECT_EQ(outcome.out, "two");
    expect_refused({"run", "--bare", "--kernel", kernel, "--initrd", first + ",,"},
                   "no such file: " + first + ",: ");
    expect_refused({"run", "--bare", "--kernel", kernel, "--initrd", first + ","},
                   "a module without a name: --initrd: ");
    expect_refused({"run", "--bare", "--kernel", kernel, "--initrd", "no-such-module x"},
                   "no such file: no-such-module: ");
}

TEST(Run, ABadMultibootKernelIsNamed) {
    auto file = test::elf32_multiboot({0xf4});
    file.put(0x1008, 0);
    const std::string kernel = file_with("postern-sum", {file.bytes.begin(), file.bytes.end()});
    expect_refused({"run", "--bare", "--kernel", kernel},
                   "Multiboot header at 0x1000 with a wrong checksum (magic, flags and checksum "
                   "add up to 0x1badb002): " +
                       kernel);
    expect_refused(
        {"run", "--bare", "--boot", "multiboot", "--kernel", file_with("postern-x", "x")},
        "no Multiboot header: ");
}

TEST(Run, SerialOutputGoesToAFileOrNowhere) {
    const std::string kernel = kernel_of("postern-a", says_a_and_exits);
    const std::string log = file_with("postern-serial-log", "");
    EXPECT_EQ(run({"run", "--kernel", kernel, "--memory", "16M", "--serial", log}).out, "");
    std::ifstream stream{log};
    EXPECT_EQ((std::string{std::istreambuf_iterator<char>{stream}, {}}), "A");
    EXPECT_EQ(run({"run", "--kernel", kernel, "--memory", "16M", "--serial", "none"}).out, "");
    expect_refused({"run", "--kernel", kernel, "--serial", "/nonexistent/log"},
                   "/nonexistent/log cannot be written (No such file or directory): --serial: ");
}

TEST(Run, ALimitGives124AndSaysSo) {
    const std::string kernel = kernel_of("postern-loop", {0xeb, 0xfe});
    const Outcome outcome =
        run({"run", "--kernel", kernel, "--memory", "16M", "--max-instructions", "5000"});
    EXPECT_EQ(outcome.status, 124);
    EXPECT_EQ(outcome.err, "postern: stopped at the limit, after 5000 instructions\n");
}

TEST(Run, WhatIsNotImplementedGives4AndItsName) {
    // nop; lea rax, [rip + 0x7fffffff]
    const std::string kernel =
        kernel_of("postern-far", {0x90, 0x48, 0x8d, 0x05, 0xff, 0xff, 0xff, 0x7f});
    const Outcome outcome = run({"run", "--kernel", kernel, "--memory", "16M"});
    EXPECT_EQ(outcome.status, 4);
    EXPECT_EQ(outcome.err,
              "postern: not implemented: a RIP-relative operand 2 GiB away at RIP 0x100001\n");
}

TEST(Run, StatisticsComeAtTheEnd) {
    const std::string kernel = kernel_of("postern-a", says_a_and_exits);
    const Outcome outcome = run({"run", "--kernel", kernel, "--memory", "16M", "--stats"});
    EXPECT_EQ(outcome.status, 7);
    EXPECT_NE(outcome.err.find("           2  exits: 30 io_instruction, normal\n"),
              std::string::npos)
        << outcome.err;
}

TEST(Run, StatisticsInAFileAreJson) {
    const std::string kernel = kernel_of("postern-a", says_a_and_exits);
    const std::string path = file_with("postern-stats", "");
    const auto stats = [&](std::vector<std::string> more) {
        more.insert(more.begin(), {"run", "--kernel", kernel, "--memory", "16M", "--epc", "0"});
        more.insert(more.end(), {"--stats", path});
        const Outcome outcome = run(more);
        EXPECT_EQ(outcome.status, 7);
        EXPECT_EQ(outcome.err, "") << "it goes to the file only";
        std::ifstream stream{path};
        return nlohmann::json::parse(stream);
    };
    const auto hosted = stats({});
    EXPECT_EQ(hosted["way"], "hosted");
    EXPECT_EQ(hosted["exits"]["io_instruction"]["normal"], 2);
    u64 exits = 0;
    for (const auto& reason : hosted["exits"])
        for (const auto& count : reason) exits += count.get<u64>();
    EXPECT_EQ(hosted["counters"]["exits"], exits);
    const auto bare = stats({"--bare"});
    EXPECT_EQ(bare["way"], "bare");
    EXPECT_EQ(bare["processors"], 1);
    EXPECT_EQ(bare["devices"]["serial"]["writes"], 1);
    EXPECT_EQ(bare["devices"]["serial"]["reads"], 0);
    EXPECT_EQ(bare["devices"]["exit-port"]["writes"], 1);
    EXPECT_EQ(bare["state"].get<std::string>().size(), 64u);
    for (const char* const way : {"--bare", "--cpus=1"})
        expect_refused({"run", way, "--kernel", kernel, "--stats", "/nonexistent/x"},
                       "/nonexistent/x cannot be written (No such file or directory): --stats: ");
}

TEST(Run, AConsoleIsAFileNobodyOrWhatTheSerialLineIsNot) {
    const std::string kernel = kernel_of("postern-a", says_a_and_exits);
    const std::string log = file_with("postern-console", "");
    const Outcome outcome =
        run({"run", "--bare", "--kernel", kernel, "--memory", "16M", "--console", log});
    EXPECT_EQ(outcome.status, 7);
    EXPECT_EQ(outcome.out, "A") << "the serial line's";
    expect_refused({"run", "--bare", "--kernel", kernel, "--console", "stdio"},
                   "the serial line has standard input and output: --console stdio: --serial none");
    expect_refused({"run", "--bare", "--kernel", kernel, "--console", "/nonexistent/x"},
                   "/nonexistent/x cannot be written (No such file or directory): --console: ");
    expect_refused({"run", "--bare", "--kernel", kernel, "--console", ""},
                   "nothing is named: --console: ");
    expect_refused({"run", "--bare", "--kernel", kernel, "--log", "device"},
                   "unknown log \"device\": --log: branches, devices or");
}

TEST(Demo, BadChoicesAreRefused) {
    expect_refused({"demo", "--row", "4"}, "no row \"4\": --row: ");
    expect_refused({"demo", "--row", "first"}, "no row \"first\": --row: ");
    expect_refused({"demo", "--without", "luck"}, "unknown protection \"luck\": --without: ");
    expect_refused({"demo", "--without", "mov-ss-shadow"},
                   "no row shows what goes wrong without mov-ss-shadow: --without: ");
    expect_refused({"demo", "--row", "1", "--without", "guard"},
                   "no row shows what goes wrong without guard: --without: ");
    expect_refused({"demo"}, "no such file: /nonexistent/guests/first_light.elf: ");
}

TEST(DecodeCommand, PrintsLinesOrRefuses) {
    const Outcome outcome = run({"decode", "interruptibility", "8"});
    EXPECT_EQ(outcome.status, 0);
    EXPECT_EQ(outcome.err, "");
    EXPECT_EQ(outcome.out,
              "interruptibility 0x00000008: guest interruptibility state (VMCS field 4824H)\n"
              "  bit 3      blocking by NMI\n");
    expect_refused({"decode", "cr0"}, "");
    expect_refused({"decode", "cr0", "zero"}, "\"zero\" is not a number: decode: ");
    expect_refused({"decode", "cr9", "0"}, "unknown field \"cr9\": decode: ");
}

TEST(MatrixCommand, IsACommandOfTheProgram) {
    const Outcome outcome = run({"matrix"});
    EXPECT_EQ(outcome.status, 0);
    EXPECT_EQ(outcome.err, "");
    EXPECT_NE(outcome.out.find("344 exits run, 0 wrong\n"), std::string::npos);
    EXPECT_TRUE(run({"matrix", "--markdown"}).out.starts_with("# What becomes of every VM exit\n"));
    expect_refused({"matrix", "--json"}, "The following argument was not expected");
}

TEST(Help, IsNoError) {
    const Outcome outcome = run({"--help"});
    EXPECT_EQ(outcome.status, 0);
    EXPECT_NE(outcome.out.find("decode"), std::string::npos);
    EXPECT_EQ(run({"--version"}).status, 0);
}

}  // namespace
}  // namespace postern::app
