// SPDX-License-Identifier: Apache-2.0
// `postern run`: one kernel, as a hosted guest or bare.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/options.h"
#include "app/sgx_options.h"

namespace postern::app {

/// As given; texts are looked into by run_command.
struct RunOptions {
    std::string kernel;
    std::string initrd;
    std::string append;
    std::string memory = "1G";
    std::string epc = "64M";
    std::string cpus = "1";
    std::string cpu = "postern-v3";
    std::string serial = "stdio";
    std::string console = "none";
    std::string boot = "auto";
    std::string enclave_fault = "ud";
    std::string on_reset = "end";
    std::string without;
    std::vector<std::string> choices;
    SgxOptions sgx;
    std::string max_instructions;
    std::string timeout;
    std::string gdb;
    std::string log;
    std::string symbols;
    std::string engine;
    std::string drive;
    std::string save;
    std::string save_at;
    std::string load;
    bool bare = false;
    bool test_devices = false;
    bool nested = true;
    std::string trace;
    std::string command_line;  // all of it, for the trace
    std::string stats_file;    // empty: to standard error
    bool stats = false;
};

/// The program's exit status.
int run_command(const RunOptions& options, Terminal terminal);

}  // namespace postern::app
