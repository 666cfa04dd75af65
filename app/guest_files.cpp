// SPDX-License-Identifier: Apache-2.0
// The build's directory, or the installation's.
#include "app/guest_files.h"

#include <filesystem>

#include <fmt/format.h>

namespace postern::app {

std::string find_guest(const std::string& directory, std::string_view name) {
    const std::string built = fmt::format("{}/guests/{}", directory, name);
    const std::string installed = fmt::format("{}/../share/postern/guests/{}", directory, name);
    return !std::filesystem::exists(built) && std::filesystem::exists(installed) ? installed
                                                                                 : built;
}

}  // namespace postern::app
