// SPDX-License-Identifier: Apache-2.0
// What `postern exec` sends: the user's files, and how to start the program.
#pragma once

namespace postern::exec {

struct Command {
    const char* program;
    char** arguments;
    char** environment;
};

/// The archive's files, at their places.
void unpack_files();
Command read_command();

}  // namespace postern::exec
