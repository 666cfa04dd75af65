// SPDX-License-Identifier: Apache-2.0
// Sinks that are files.
#include "platform/device/sink.h"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace postern::platform {

Expected<std::unique_ptr<FileSink>> FileSink::open(const std::string& path,
                                                   const std::string& option) {
    std::FILE* const file = std::fopen(path.c_str(), "wb");
    if (file == nullptr)
        return error(fmt::format("{} cannot be written ({})", path, std::strerror(errno)), option,
                     "a file in a directory that you may write to");
    auto sink = std::make_unique<FileSink>(file);
    sink->owned_ = true;
    return sink;
}

FileSink::~FileSink() {
    if (owned_)
        std::fclose(file_);
    else
        std::fflush(file_);
}

}  // namespace postern::platform
