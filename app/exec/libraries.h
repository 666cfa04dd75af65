// SPDX-License-Identifier: Apache-2.0
// Which files a dynamically linked program loads before it begins: its own interpreter is asked,
// with the environment that the program will have, so that RUNPATH, $ORIGIN, LD_LIBRARY_PATH and
// ld.so.conf mean what they mean.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "app/exec/elf_needs.h"
#include "app/exec/refusal.h"

namespace postern::app::exec {

/// What `ld.so --list` prints, taken apart.
struct LibraryList {
    std::vector<std::string> found;    // paths
    std::vector<std::string> missing;  // names
    std::string complaint;             // the first line that is no entry
};
LibraryList parse_library_list(std::string_view text);

/// Absolute paths, the interpreter's own not always among them. One that is missing is named with
/// who needs it. `program` may be a library; `interpreter` must be one for it.
Prepared<std::vector<std::string>> libraries_of(const std::string& program,
                                                const std::string& interpreter,
                                                const std::vector<std::string>& environment);

}  // namespace postern::app::exec
