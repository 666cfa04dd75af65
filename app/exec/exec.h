// SPDX-License-Identifier: Apache-2.0
// `postern exec`: a program of the user's on Debian's kernel on the software PC.
#pragma once

#include <string>
#include <vector>

#include "app/options.h"
#include "app/sgx_options.h"

namespace postern::app {

/// As given; texts are looked into by exec_command.
struct ExecOptions {
    std::vector<std::string> command;  // the program and its arguments
    std::vector<std::string> files;
    std::vector<std::string> environment;
    std::string kernel;
    std::string memory = "1G";
    std::string epc = "64M";
    std::string cpus = "1";
    std::string cpu = "postern-v3";
    std::vector<std::string> choices;
    SgxOptions sgx;
    std::string max_instructions;
    std::string timeout;
    std::string log;
    std::string stats_file;  // empty: to standard error
    bool stats = false;
    bool verbose = false;
    bool no_snapshot = false;
};

/// The program's exit status, by the conventions of env(1). `directory` is this program's own.
int exec_command(const ExecOptions& options, const std::string& directory, Terminal terminal);

}  // namespace postern::app
