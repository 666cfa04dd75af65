// SPDX-License-Identifier: Apache-2.0
// pread and pwrite.
#include "platform/device/disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace postern::platform {

Expected<std::unique_ptr<Disk>> Disk::open(const std::string& path) {
    const std::string right = "a raw disk image that can be written";
    const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (file < 0) return error(std::strerror(errno), path, right);
    struct stat status{};
    const bool known = fstat(file, &status) == 0;
    std::unique_ptr<Disk> disk{new Disk{file, static_cast<u64>(status.st_size)}};
    if (!known || !S_ISREG(status.st_mode)) return error("not a regular file", path, right);
    if (disk->size() == 0 || disk->size() % sector_size != 0)
        return error(fmt::format("a disk of {} bytes", disk->size()), path,
                     "a multiple of 512 bytes");
    return disk;
}

Disk::~Disk() { close(file_); }

bool Disk::read(u64 offset, std::span<u8> to) const {
    if (!holds(offset, to.size())) return false;
    while (!to.empty()) {
        const ssize_t count = pread(file_, to.data(), to.size(), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        to = to.subspan(static_cast<size_t>(count));
        offset += static_cast<u64>(count);
    }
    return true;
}

bool Disk::write(u64 offset, std::span<const u8> from) const {
    if (!holds(offset, from.size())) return false;
    while (!from.empty()) {
        const ssize_t count = pwrite(file_, from.data(), from.size(), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        from = from.subspan(static_cast<size_t>(count));
        offset += static_cast<u64>(count);
    }
    return true;
}

bool Disk::flush() const { return fdatasync(file_) == 0; }

}  // namespace postern::platform
