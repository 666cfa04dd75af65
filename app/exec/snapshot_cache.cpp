// SPDX-License-Identifier: Apache-2.0
// A digest for a name, and a directory that does not grow.
#include "app/exec/snapshot_cache.h"

#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <vector>

#include <fmt/format.h>

#include "base/version.h"

namespace postern::app::exec {

namespace {

namespace fs = std::filesystem;

}  // namespace

void SnapshotKey::add(std::string_view text) { parts_ += fmt::format("{} {} ", text.size(), text); }

void SnapshotKey::add(std::span<const u8> bytes) {
    std::array<u8, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1)
        size = 0;
    std::string text;
    for (unsigned n = 0; n < size; ++n) text += fmt::format("{:02x}", digest[n]);
    add(text);
}

std::string SnapshotKey::name() const {
    SnapshotKey whole;
    whole.add(std::span{reinterpret_cast<const u8*>(parts_.data()), parts_.size()});
    return whole.parts_.substr(whole.parts_.find(' ') + 1, 64);
}

std::string program_identity() {
    struct stat self{};
    if (stat("/proc/self/exe", &self) != 0) return version;
    return fmt::format("{} {} {}.{:09}", version, self.st_size, self.st_mtim.tv_sec,
                       self.st_mtim.tv_nsec);
}

bool SnapshotCache::has(const std::string& name) const {
    std::error_code code;
    return fs::exists(path(name), code);
}

platform::Expected<void> SnapshotCache::load(const platform::SnapshotSubject& into,
                                             const std::string& name) {
    auto loaded = load_snapshot(into, path(name));
    std::error_code code;
    if (loaded) fs::last_write_time(path(name), fs::file_time_type::clock::now(), code);
    return loaded;
}

platform::Expected<void> SnapshotCache::save(const platform::SnapshotSubject& subject,
                                             const std::string& name) {
    std::error_code code;
    fs::create_directories(directory_, code);
    const std::string partial = fmt::format("{}.{}", path(name), getpid());
    if (auto saved = save_snapshot(subject, partial); !saved) return saved;
    fs::rename(partial, path(name), code);
    if (code) {
        fs::remove(partial, code);
        return platform::error("the snapshot cannot be put in its place", path(name),
                               "a directory that is writable");
    }
    remove_oldest();
    return {};
}

void SnapshotCache::remove_oldest() const {
    std::error_code code;
    std::vector<std::pair<fs::file_time_type, fs::path>> found;
    for (const auto& entry : fs::directory_iterator{directory_, code})
        if (entry.is_regular_file(code))
            found.emplace_back(entry.last_write_time(code), entry.path());
    std::ranges::sort(found, std::ranges::greater{});
    for (size_t n = kept_most; n < found.size(); ++n) fs::remove(found[n].second, code);
}

}  // namespace postern::app::exec
