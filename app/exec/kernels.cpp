// SPDX-License-Identifier: Apache-2.0
// Directories, and the file with the latest time in them.
#include "app/exec/kernels.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <vector>

#include <fmt/format.h>

namespace postern::app::exec {

namespace {

namespace fs = std::filesystem;

/// As tools/kernels.sh lays them out, or as a package is unpacked.
std::vector<fs::path> kernels_in(const fs::path& directory) {
    std::vector<fs::path> found;
    std::error_code code;
    for (const auto& entry : fs::directory_iterator{directory, code}) {
        const fs::path inside = entry.path() / "vmlinuz";
        if (fs::is_regular_file(inside, code)) found.push_back(inside);
    }
    for (const auto& entry : fs::directory_iterator{directory / "boot", code})
        if (entry.path().filename().string().starts_with("vmlinuz-")) found.push_back(entry.path());
    std::ranges::sort(found);
    return found;
}

std::string variable(const char* name) {
    const char* const value = std::getenv(name);
    return value != nullptr ? value : "";
}

}  // namespace

std::string cache_directory() {
    // Not absolute: to be ignored. XDG Base Directory Specification.
    if (const std::string cache = variable("XDG_CACHE_HOME"); cache.starts_with('/'))
        return cache + "/postern";
    if (const std::string home = variable("HOME"); home.starts_with('/'))
        return home + "/.cache/postern";
    return {};
}

platform::Expected<std::string> find_kernel(const std::string& program_directory,
                                            const std::string& cache) {
    std::vector<fs::path> kernels = kernels_in(fs::path{program_directory} / "../kernels");
    if (!cache.empty()) {
        const auto more = kernels_in(fs::path{cache} / "kernels");
        kernels.insert(kernels.end(), more.begin(), more.end());
    }
    std::optional<fs::file_time_type> latest;
    std::string newest;
    for (const fs::path& kernel : kernels) {
        std::error_code code;
        const auto time = fs::last_write_time(kernel, code);
        if (code || (latest && time <= *latest)) continue;
        latest = time;
        newest = kernel.lexically_normal().string();
    }
    if (!newest.empty()) return newest;
    const std::string place = cache.empty() ? "DIRECTORY" : cache + "/kernels";
    return platform::error(
        "no kernel is there", "--kernel",
        fmt::format(
            "one of Debian's; tools/kernels.sh in Postern's source tree gets it, or: mkdir -p {0} "
            "&& cd {0} && apt-get download $(apt-cache depends linux-image-amd64 | "
            "grep -o 'linux-image-[0-9].*') && dpkg-deb -x linux-image-*.deb .",
            place));
}

}  // namespace postern::app::exec
