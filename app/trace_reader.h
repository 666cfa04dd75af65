// SPDX-License-Identifier: Apache-2.0
// Reading a trace, whoever wrote it: block by block, nothing believed that is not checked.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "app/trace_format.h"

namespace postern::app {

/// How a trace ends.
struct TraceEnding {
    bool complete = false;  // by a last block
    u64 cut_off = 0;        // bytes at the end that are no whole block
};

class TraceReader {
public:
    static platform::Expected<std::unique_ptr<TraceReader>> open(const std::string& path);
    TraceReader(const TraceReader&) = delete;
    TraceReader& operator=(const TraceReader&) = delete;

    [[nodiscard]] const trace::About& about() const { return about_; }

    /// The records of the next block. Empty: there is none, and ending() says why. An error: the
    /// file is damaged, not just cut off.
    platform::Expected<std::span<const trace::Record>> next();
    [[nodiscard]] const TraceEnding& ending() const { return ending_; }

private:
    struct Close {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    TraceReader(std::FILE* file, std::string path) : file_{file}, path_{std::move(path)} {}

    platform::Expected<void> read_header();
    [[nodiscard]] size_t read(void* to, size_t size);
    platform::Expected<std::span<const trace::Record>> end_here(bool complete, u64 cut_off);
    [[nodiscard]] std::unexpected<platform::Error> damaged(std::string what) const;

    std::unique_ptr<std::FILE, Close> file_;
    std::string path_;
    trace::About about_;
    std::vector<trace::Record> block_;
    TraceEnding ending_;
    u64 position_ = 0;
    u64 records_ = 0;  // before the next block
    bool ended_ = false;
};

}  // namespace postern::app
