// SPDX-License-Identifier: Apache-2.0
// The commands and their options.
#include "app/program.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "app/decode.h"
#include "app/demo/demo.h"
#include "app/exec/exec.h"
#include "app/exec/refusal.h"
#include "app/exits/exits.h"
#include "app/matrix.h"
#include "app/run.h"
#include "app/sgx_options.h"
#include "app/text.h"
#include "base/version.h"

namespace postern::app {

namespace {

constexpr std::array<std::string_view, 6> commands{"run",   "exec",   "demo",
                                                   "exits", "decode", "matrix"};
constexpr const char* commands_listed = "run, exec, demo, exits, decode or matrix";

/// The command line, as CLI11 fills it in.
struct CommandLine {
    CLI::App app{
        "Postern: a hypervisor that gets exits from SGX enclaves right, and the software "
        "PC it runs on"};
    RunOptions run_options;
    ExecOptions exec_options;
    DemoOptions demo_options;
    ExitsOptions exits_options;
    std::string field, value;

    CLI::App* run = nullptr;
    CLI::Option* stats = nullptr;
    CLI::App* exec = nullptr;
    CLI::Option* exec_stats = nullptr;
    CLI::App* demo = nullptr;
    CLI::App* exits = nullptr;
    CLI::App* decoder = nullptr;
    CLI::App* matrix = nullptr;
    bool markdown = false;

    CommandLine() {
        app.require_subcommand(1, 1);
        app.set_version_flag("--version", std::string{"postern "} + version);
        add_run();
        add_exec();
        add_demo();
        add_exits();
        decoder = app.add_subcommand("decode", "A raw word of the architecture in words");
        decoder->add_option("FIELD", field, "exit-reason, interruptibility, ...")->required();
        decoder->add_option("VALUE", value, "A number")->required();
        matrix = app.add_subcommand("matrix", "Every exit reason, outside and inside an enclave");
        matrix->add_flag("--markdown", markdown, "As docs/enclave-exits.md");
    }

private:
    void add_run() {
        RunOptions& o = run_options;
        run = app.add_subcommand("run", "Run a kernel as a guest");
        run->add_option("--kernel", o.kernel, "bzImage, ELF64 or Multiboot 1");
        run->add_option("--initrd", o.initrd,
                        "A file the kernel finds as a module; Multiboot: \"FILE ARGUMENTS,FILE\"");
        run->add_option("--append", o.append, "The kernel's command line");
        run->add_option("--memory", o.memory, "RAM, such as 64M")->capture_default_str();
        run->add_option("--epc", o.epc, "Enclave page cache; 0: no SGX")->capture_default_str();
        add_sgx_options(*run, o.sgx);
        add_sgx_guest_options(*run, o.sgx);
        run->add_option("--cpus", o.cpus, "Processors")->capture_default_str();
        run->add_option("--cpu", o.cpu, "MODEL[,+feature,-feature,phys-bits=N]")
            ->capture_default_str();
        run->add_option("--serial", o.serial, "stdio, none or a file")->capture_default_str();
        run->add_option("--console", o.console,
                        "A virtio console (with --bare): stdio, none or a file")
            ->capture_default_str();
        run->add_option("--boot", o.boot, "auto, elf, pvh, linux, decompress or multiboot")
            ->capture_default_str();
        run->add_option("--drive", o.drive, "A raw disk image, as a virtio block device");
        run->add_option("--save", o.save, "Write a snapshot to this file and stop");
        run->add_option("--save-at", o.save_at,
                        "When: a count of instructions, or mark (the first write to port 0xf5)");
        run->add_option("--load", o.load, "Go on from a snapshot");
        run->add_flag("--bare", o.bare, "No hypervisor: the kernel runs on the bare processors");
        run->add_flag("--nested,!--no-nested", o.nested,
                      "The guest may be a hypervisor itself (the default): it has VMX");
        run->add_flag("--test-devices", o.test_devices, "QEMU's pc-testdev, for kvm-unit-tests");
        run->add_option("--engine", o.engine, "For tests: no-chaining, one-page")->group("");
        run->add_option("--on-reset", o.on_reset,
                        "What a reset is to a guest: end, or restart (the kernel is loaded again)")
            ->capture_default_str();
        run->add_option("--enclave-fault", o.enclave_fault,
                        "What an enclave gets that touches a device: ud, gp or stop")
            ->capture_default_str();
        run->add_option("--without", o.without, "Protections to leave out");
        run->add_option("--choice", o.choices,
                        "NAME=VALUE: how to read what the manual leaves open")
            ->allow_extra_args(false);
        run->add_option("--max-instructions", o.max_instructions, "Stop after so many");
        run->add_option("--timeout", o.timeout, "Stop after so many seconds");
        stats = run->add_option("--stats", o.stats_file,
                                "Counters at the end; with a file's name, there and as JSON")
                    ->expected(0, 1);
        run->add_option("--trace", o.trace, "Record every VM exit, for postern exits");
        run->add_option("--gdb", o.gdb, "[HOST:]PORT: wait there for GDB (with --bare)");
        run->add_option("--log", o.log, "branches, devices, instructions=FROM:TO (with --bare)");
        run->add_option("--symbols", o.symbols, "ELF file that names addresses (with --bare)");
    }

    /// The program and its arguments are not for CLI11: they stay as they are.
    void add_exec() {
        ExecOptions& o = exec_options;
        exec = app.add_subcommand("exec", "Run a program on Debian's kernel with /dev/sgx_enclave");
        exec->footer("Behind --: the program and its arguments, as they are.");
        exec->add_option("--file", o.files,
                         "SOURCE[=PATH]: a file or directory that the program is to find")
            ->allow_extra_args(false);
        exec->add_option("--env", o.environment, "NAME=VALUE for the program's environment")
            ->allow_extra_args(false);
        exec->add_option("--kernel", o.kernel, "A bzImage; else the newest that is found");
        exec->add_option("--memory", o.memory, "RAM, such as 64M")->capture_default_str();
        exec->add_option("--epc", o.epc, "Enclave page cache; 0: no SGX")->capture_default_str();
        add_sgx_options(*exec, o.sgx);
        exec->add_option("--cpus", o.cpus, "Processors")->capture_default_str();
        exec->add_option("--cpu", o.cpu, "MODEL[,+feature,-feature,phys-bits=N]")
            ->capture_default_str();
        exec->add_option("--choice", o.choices,
                         "NAME=VALUE: how to read what the manual leaves open")
            ->allow_extra_args(false);
        exec->add_option("--max-instructions", o.max_instructions, "End the program after so many");
        exec->add_option("--timeout", o.timeout, "End the run after so many seconds");
        exec_stats = exec->add_option("--stats", o.stats_file,
                                      "Counters at the end; with a file's name, there and as JSON")
                         ->expected(0, 1);
        exec->add_option("--log", o.log, "branches, devices, instructions=FROM:TO");
        exec->add_flag("--verbose", o.verbose, "The kernel's log on standard error");
        exec->add_flag("--no-snapshot", o.no_snapshot,
                       "Boot, and keep no snapshot of the booted machine");
    }

    void add_demo() {
        demo =
            app.add_subcommand("demo", "Show exits from an enclave, with every check and control");
        demo->add_option("--row", demo_options.row,
                         "Only this row: 1, 2, 3 or a name of the table");
        demo->add_option("--without", demo_options.without, "Show what goes wrong without these");
        demo->add_option("--guest", demo_options.guest,
                         "own: guests of ours, in seconds; debian: Debian's kernel")
            ->capture_default_str();
        demo->add_option("--kernel", demo_options.kernel,
                         "Another guest than the one built with us; Debian's kernel");
        demo->add_option("--initrd", demo_options.initrd,
                         "Debian's first files: tools/demo_files.sh makes build/demo.cpio");
    }

    void add_exits() {
        ExitsOptions& o = exits_options;
        exits = app.add_subcommand("exits", "Who exited, why, from which enclave, what was done");
        exits->add_option("TRACE", o.trace, "What postern run --trace wrote")->required();
        exits->add_flag("--list", o.list, "Each exit, not the tables");
        exits->add_flag("--json", o.json, "The tables as JSON; with --list an object a line");
        exits->add_flag("--csv", o.csv, "Each exit, as comma-separated values");
        exits->add_flag("--kvm", o.kvm, "Each exit, as the kernel's kvm_exit event");
        exits->add_option("--enclave", o.enclave,
                          "Only of #N, of a SECS (0x...) or of an MRENCLAVE (first digits)");
        exits->add_option("--reason", o.reasons, "Only these: names or numbers, with commas")
            ->allow_extra_args(false);
        exits->add_option("--from", o.from, "Only from this tick on");
        exits->add_option("--to", o.to, "Only up to this tick");
        exits->add_option("--buckets", o.buckets, "Rows of the table over time")
            ->capture_default_str();
    }
};

platform::Error error_of(const CLI::ParseError& wrong) {
    std::string what = wrong.what();
    while (!what.empty() && (what.back() == '.' || what.back() == '\n')) what.pop_back();
    return {what, "command line", "see postern --help and postern COMMAND --help"};
}

int dispatch(const CommandLine& line, const std::vector<std::string>& arguments,
             const std::string& directory, Terminal terminal) {
    if (line.decoder->parsed()) {
        const auto lines = decode_command(line.field, line.value);
        if (!lines) return refuse(terminal, lines.error());
        for (const std::string& text : *lines) terminal.out << text << '\n';
        return 0;
    }
    if (line.matrix->parsed())
        return matrix_command(line.markdown ? MatrixFormat::markdown : MatrixFormat::text,
                              terminal);
    if (line.exits->parsed()) return exits_command(line.exits_options, terminal);
    if (line.exec->parsed()) {
        ExecOptions options = line.exec_options;
        options.stats = line.exec_stats->count() != 0;
        return exec_command(options, directory, terminal);
    }
    if (line.demo->parsed()) return demo_command(line.demo_options, directory, terminal);
    RunOptions options = line.run_options;
    options.stats = line.stats->count() != 0;
    options.command_line = "postern";
    for (const std::string& word : arguments) options.command_line += " " + word;
    return run_command(options, terminal);
}

}  // namespace

int run_program(const std::vector<std::string>& arguments, const std::string& directory,
                Terminal terminal) {
    CommandLine line;
    std::vector<std::string> words = arguments;
    const bool is_exec = !words.empty() && words[0] == "exec";
    if (const auto dashes = std::ranges::find(words, "--"); is_exec && dashes != words.end()) {
        line.exec_options.command.assign(dashes + 1, words.end());
        words.erase(dashes, words.end());
    }
    const bool named = !arguments.empty() && !arguments[0].starts_with('-');
    if (named && std::ranges::find(commands, arguments[0]) == commands.end())
        return refuse(terminal, {fmt::format("unknown command \"{}\"", arguments[0]),
                                 "command line", commands_listed});
    try {
        // CLI11 takes them last first.
        line.app.parse(std::vector<std::string>{words.rbegin(), words.rend()});
    } catch (const CLI::ParseError& wrong) {
        if (wrong.get_exit_code() == 0) return line.app.exit(wrong, terminal.out, terminal.err);
        const int status = refuse(terminal, error_of(wrong));
        return is_exec ? exec::status_failed : status;
    }
    return dispatch(line, arguments, directory, terminal);
}

}  // namespace postern::app
