// SPDX-License-Identifier: Apache-2.0
// Items of the firmware configuration device (QEMU, "QEMU Firmware Configuration (fw_cfg)
// Device"), and an archive in cpio's format newc (Linux, "initramfs buffer format").
#include "guests/exec/payload.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "guests/exec/end.h"

namespace postern::exec {

namespace {

/// A file of the device's directory; its numbers have their most significant byte first.
struct DirectoryEntry {
    std::uint32_t size;
    std::uint16_t key;
    std::uint16_t reserved;
    char name[56];
};

constexpr std::uint16_t directory_key = 0x19;

/// One item, read from its beginning on.
class Item {
public:
    explicit Item(const char* name) {
        out16(port_selector, directory_key);
        std::uint32_t files = 0;
        in_bytes(port_item, &files, sizeof files);
        for (files = __builtin_bswap32(files); files != 0; --files) {
            DirectoryEntry entry;
            in_bytes(port_item, &entry, sizeof entry);
            if (std::strncmp(entry.name, name, sizeof entry.name) != 0) continue;
            left_ = __builtin_bswap32(entry.size);
            out16(port_selector, __builtin_bswap16(entry.key));
            return;
        }
        fail(name, "is not there");
    }

    [[nodiscard]] std::uint32_t left() const { return left_; }
    void read(void* to, std::uint32_t count) {
        if (count > left_) fail("the payload", "ends too early");
        in_bytes(port_item, to, count);
        left_ -= count;
    }

private:
    std::uint32_t left_ = 0;
};

struct Entry {
    std::uint32_t mode;
    std::uint32_t size;
    char path[4096];
};

std::uint32_t field(const char* header, unsigned n) {
    char digits[9] = {};
    std::memcpy(digits, header + 6 + 8 * n, 8);
    return static_cast<std::uint32_t>(std::strtoul(digits, nullptr, 16));
}

/// What follows something of `size` bytes up to a multiple of four.
void skip_padding(Item& item, std::uint32_t size) {
    char padding[4];
    item.read(padding, -size % 4);
}

void read_entry(Item& item, Entry& entry) {
    char header[110];
    item.read(header, sizeof header);
    const std::uint32_t name_size = field(header, 11);
    if (std::memcmp(header, "070701", 6) != 0 || name_size < 1 || name_size > sizeof entry.path - 1)
        fail("the payload", "is no cpio archive");
    entry.mode = field(header, 1);
    entry.size = field(header, 6);
    entry.path[0] = '/';
    item.read(entry.path + 1, name_size);
    entry.path[name_size] = 0;
    skip_padding(item, sizeof header + name_size);
}

void write_file(Item& item, const Entry& entry) {
    static char buffer[65536];
    unlink(entry.path);
    const int file = open(entry.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0) fail(entry.path);
    for (std::uint32_t left = entry.size; left != 0;) {
        const std::uint32_t part = std::min<std::uint32_t>(left, sizeof buffer);
        item.read(buffer, part);
        if (write(file, buffer, part) != static_cast<ssize_t>(part)) fail(entry.path);
        left -= part;
    }
    if (fchmod(file, entry.mode & 07777) != 0) fail(entry.path);
    close(file);
}

void make_link(Item& item, const Entry& entry) {
    char target[4096] = {};
    if (entry.size >= sizeof target) fail(entry.path, "links too far");
    item.read(target, entry.size);
    unlink(entry.path);
    if (symlink(target, entry.path) != 0) fail(entry.path);
}

void make_directory(const Entry& entry) {
    if (mkdir(entry.path, 0700) == 0) {
        if (chmod(entry.path, entry.mode & 07777) != 0) fail(entry.path);
    } else if (errno != EEXIST) {
        fail(entry.path);
    }
}

}  // namespace

void unpack_files() {
    Item item{files_item};
    static Entry entry;
    for (;;) {
        read_entry(item, entry);
        if (std::strcmp(entry.path, "/TRAILER!!!") == 0) return;
        if (S_ISDIR(entry.mode))
            make_directory(entry);
        else if (S_ISLNK(entry.mode))
            make_link(item, entry);
        else if (S_ISREG(entry.mode))
            write_file(item, entry);
        else
            fail(entry.path, "is neither a file, a directory nor a link");
        skip_padding(item, entry.size);
    }
}

Command read_command() {
    Item item{command_item};
    const std::uint32_t size = item.left();
    char* const text = static_cast<char*>(std::malloc(size + 1));
    // Each string has at least its NUL.
    char** const strings = static_cast<char**>(std::calloc(size + 2, sizeof(char*)));
    if (text == nullptr || strings == nullptr) fail("the command");
    item.read(text, size);
    text[size] = 0;
    const char* const program = text;
    char* next = text + std::strlen(text) + 1;
    long arguments = std::strtol(next, nullptr, 10);
    next += std::strlen(next) + 1;
    char** slot = strings;
    for (; arguments > 0 && next < text + size; --arguments) {
        *slot++ = next;
        next += std::strlen(next) + 1;
    }
    char** const environment = ++slot;  // behind the arguments' null
    for (; next < text + size; next += std::strlen(next) + 1) *slot++ = next;
    return {program, strings, environment};
}

}  // namespace postern::exec
