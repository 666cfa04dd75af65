// SPDX-License-Identifier: Apache-2.0
// The user's program: where it is, whether it can be executed, and everything it needs, packed.
#pragma once

#include <string>
#include <vector>

#include "app/exec/file_tree.h"
#include "app/exec/refusal.h"

namespace postern::app::exec {

/// The path of `name`, absolute: with a slash as it is, else looked for in the directories of
/// `search`, as PATH has them. It can be executed by whoever asks.
Prepared<std::string> find_program(const std::string& name, const std::string& search);

/// The words behind "#!": the interpreter and its one argument, which may be empty.
struct ScriptLine {
    std::string interpreter;
    std::string argument;
};
ScriptLine script_line(std::string_view first_line);

/// What a program finds around it, and where other programs are looked for.
struct Surroundings {
    std::vector<std::string> environment;  // of the guest
    std::string search;                    // of the host: PATH
};

/// The program with its interpreter or libraries; of a script, what its first line names. `path`
/// is absolute.
Prepared<void> pack_program(FileTree& tree, const std::string& path,
                            const Surroundings& surroundings);

/// SOURCE[=PATH]. Without a path the file has the same name in the guest, where the working
/// directory is /. Of a file that names libraries these as well.
Prepared<void> pack_file(FileTree& tree, const std::string& argument,
                         const Surroundings& surroundings);

}  // namespace postern::app::exec
