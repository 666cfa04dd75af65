// SPDX-License-Identifier: Apache-2.0
// Reading with every failure named.
#include "platform/boot/file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

namespace postern::platform {

Expected<std::vector<u8>> read_file(const std::string& path, u64 most, const std::string& right) {
    std::error_code code;
    const auto status = std::filesystem::status(path, code);
    if (!std::filesystem::exists(status)) return error("no such file", path, right);
    if (std::filesystem::is_directory(status)) return error("it is a directory", path, right);
    if (!std::filesystem::is_regular_file(status)) return error("not a regular file", path, right);
    const u64 size = std::filesystem::file_size(path, code);
    if (code) return error(code.message(), path, right);
    if (size > most)
        return error(fmt::format("{} bytes are more than the {} that fit", size, most), path,
                     right);
    std::ifstream stream{path, std::ios::binary};
    if (!stream) return error(std::strerror(errno), path, right);
    std::vector<u8> bytes(size);
    stream.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
    if (static_cast<u64>(stream.gcount()) != size)
        return error("it cannot be read to its end", path, right);
    return bytes;
}

}  // namespace postern::platform
