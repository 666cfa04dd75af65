// SPDX-License-Identifier: Apache-2.0
// Where the bytes of an output device go.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "base/types.h"
#include "platform/error.h"

namespace postern::platform {

class Sink {
public:
    virtual ~Sink() = default;
    virtual void put(u8 byte) = 0;
    virtual void flush() {}
};

class NullSink final : public Sink {
public:
    void put(u8) override {}
};

class StringSink final : public Sink {
public:
    void put(u8 byte) override { text_.push_back(static_cast<char>(byte)); }
    [[nodiscard]] const std::string& text() const { return text_; }

private:
    std::string text_;
};

/// A file of ours, closed at the end, or a stream of somebody else's.
class FileSink final : public Sink {
public:
    /// `option` is named in the error.
    static Expected<std::unique_ptr<FileSink>> open(const std::string& path,
                                                    const std::string& option);
    explicit FileSink(std::FILE* borrowed) : file_{borrowed} {}
    ~FileSink() override;
    FileSink(const FileSink&) = delete;
    FileSink& operator=(const FileSink&) = delete;

    void put(u8 byte) override { std::fputc(byte, file_); }
    void flush() override { std::fflush(file_); }

private:
    std::FILE* file_ = nullptr;
    bool owned_ = false;
};

}  // namespace postern::platform
