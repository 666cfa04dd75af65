// SPDX-License-Identifier: Apache-2.0
// Where Debian's kernels are kept, and where what is made from them is.
#pragma once

#include <string>

#include "platform/error.h"

namespace postern::app::exec {

/// XDG_CACHE_HOME/postern, or ~/.cache/postern; empty: there is no such directory.
std::string cache_directory();

/// The newest kernel built, of those beside the directory of the program's build and those in the
/// user's cache.
platform::Expected<std::string> find_kernel(const std::string& program_directory,
                                            const std::string& cache);

}  // namespace postern::app::exec
