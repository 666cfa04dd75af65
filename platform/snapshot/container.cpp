// SPDX-License-Identifier: Apache-2.0
// Headers, checksums, and a file that appears at once.
#include "platform/snapshot/container.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include <fmt/format.h>

namespace postern::platform::snapshot {
namespace {

constexpr std::array<char, 8> magic{'p', 'o', 's', 't', 'e', 'r', 'n', '\x1a'};
constexpr u32 sections_most = 4096;

/// Each header ends with the checksum of the bytes before it.
struct FileHeader {
    std::array<char, 8> magic;
    u32 format;
    u32 layout;
    u32 sections;
    u32 checksum;
};
static_assert(Plain<FileHeader> && sizeof(FileHeader) == 24);

struct SectionHeader {
    std::array<char, section_name_most + 1> name;  // zeros behind it
    u64 size;
    u32 content_checksum;
    u32 checksum;
};
static_assert(Plain<SectionHeader> && sizeof(SectionHeader) == 40);

u32 checksum(View bytes) {
    return static_cast<u32>(crc32_z(crc32_z(0, nullptr, 0), bytes.data(), bytes.size()));
}

template <class Header>
u32 header_checksum(const Header& header) {
    return checksum(bytes_of(header).first(sizeof header - sizeof header.checksum));
}

FileHeader file_header(Version version, size_t sections) {
    FileHeader header{magic, version.format, version.layout, static_cast<u32>(sections), 0};
    header.checksum = header_checksum(header);
    return header;
}

SectionHeader section_header(const Section& section) {
    SectionHeader header{};
    section.name.copy(header.name.data(), section_name_most);
    header.size = section.bytes.size();
    header.content_checksum = checksum(section.bytes);
    header.checksum = header_checksum(header);
    return header;
}

/// A new file under another name, which becomes `path` when it is complete.
class NewFile {
public:
    explicit NewFile(const std::string& path)
        : path_{path}, unfinished_{path + ".tmp"},
          file_{open(unfinished_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)},
          good_{file_ >= 0} {
        note();
    }
    NewFile(const NewFile&) = delete;
    NewFile& operator=(const NewFile&) = delete;
    ~NewFile() {
        if (file_ < 0) return;
        close(file_);
        if (!finished_) unlink(unfinished_.c_str());
    }

    void put(View bytes) {
        while (good_ && !bytes.empty()) {
            const ssize_t written = write(file_, bytes.data(), bytes.size());
            if (written < 0 && errno == EINTR) continue;
            good_ = written > 0;
            note();
            if (good_) bytes = bytes.subspan(static_cast<size_t>(written));
        }
    }
    /// The first reason why not, in errno's numbers, or 0.
    int finish() {
        if (good_) {
            good_ = fsync(file_) == 0 && rename(unfinished_.c_str(), path_.c_str()) == 0;
            note();
        }
        finished_ = good_;
        return good_ ? 0 : reason_;
    }

private:
    void note() {
        if (!good_ && reason_ == 0) reason_ = errno;
    }

    std::string path_, unfinished_;
    int file_;
    bool good_;
    bool finished_ = false;
    int reason_ = 0;
};

std::unexpected<Error> broken(std::string what, const std::string& name) {
    return error(std::move(what), name, "a file that --save wrote");
}

/// Null, or what is wrong with the header.
Expected<FileHeader> take_header(Cursor& cursor, const std::string& name, Version version) {
    FileHeader header{};
    const bool whole = cursor.take(header);
    if (!whole || header.magic != magic) return broken("not a snapshot", name);
    if (header.format != version.format)
        return error(fmt::format("a snapshot of version {}", header.format), name,
                     fmt::format("one of version {}, which this program writes", version.format));
    if (header.checksum != header_checksum(header))
        return broken("the snapshot is damaged: its header's checksum is wrong", name);
    if (header.layout != version.layout)
        return error("a snapshot by a build that lays out the machine's state differently", name,
                     "one written by this build");
    if (header.sections > sections_most)
        return broken(fmt::format("a snapshot of {} sections", header.sections), name);
    return header;
}

std::string name_of(const SectionHeader& header) {
    const std::string_view all{header.name.data(), header.name.size()};
    return std::string{all.substr(0, all.find('\0'))};
}

Expected<FoundSection> take_section(Cursor& cursor, const std::string& name) {
    SectionHeader header{};
    if (!cursor.take(header)) return broken("the snapshot is truncated", name);
    if (header.checksum != header_checksum(header))
        return broken("the snapshot is damaged: the checksum of a section's header is wrong", name);
    FoundSection found{name_of(header), {}};
    if (!cursor.take(header.size, found.bytes))
        return broken(fmt::format("the snapshot is truncated in section {}", found.name), name);
    if (header.content_checksum != checksum(found.bytes))
        return broken(
            fmt::format("the snapshot is damaged: the checksum of section {} is wrong", found.name),
            name);
    return found;
}

}  // namespace

Expected<void> write_container(const std::string& path, Version version,
                               const std::vector<Section>& sections) {
    NewFile file{path};
    file.put(bytes_of(file_header(version, sections.size())));
    for (const Section& section : sections) {
        file.put(bytes_of(section_header(section)));
        file.put(section.bytes);
    }
    if (const int reason = file.finish())
        return error(fmt::format("the snapshot cannot be written ({})", std::strerror(reason)),
                     path, "a file in a directory that is writable, with room for it");
    return {};
}

Bytes encode_container(Version version, const std::vector<Section>& sections) {
    Bytes bytes;
    append(bytes, bytes_of(file_header(version, sections.size())));
    for (const Section& section : sections) {
        append(bytes, bytes_of(section_header(section)));
        append(bytes, section.bytes);
    }
    return bytes;
}

Expected<std::vector<FoundSection>> decode_container(View file, const std::string& name,
                                                     Version version) {
    Cursor cursor{file};
    const auto header = take_header(cursor, name, version);
    if (!header) return std::unexpected{header.error()};
    std::vector<FoundSection> sections;
    for (u32 n = 0; n < header->sections; ++n) {
        auto section = take_section(cursor, name);
        if (!section) return std::unexpected{section.error()};
        sections.push_back(std::move(*section));
    }
    if (cursor.left() != 0) return broken("bytes follow the snapshot's end", name);
    return sections;
}

}  // namespace postern::platform::snapshot
