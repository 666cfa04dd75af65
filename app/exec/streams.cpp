// SPDX-License-Identifier: Apache-2.0
// poll() and read(), and a log cut to its end.
#include "app/exec/streams.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace postern::app::exec {

namespace {

bool in_background() { return isatty(STDIN_FILENO) != 0 && tcgetpgrp(STDIN_FILENO) != getpgrp(); }

/// A file's bytes are all there already.
bool is_file() {
    struct stat status{};
    return fstat(STDIN_FILENO, &status) == 0 && S_ISREG(status.st_mode);
}

}  // namespace

HostStreams::HostStreams(Terminal terminal)
    : terminal_{terminal}, current_{&terminal.out}, ended_{in_background()},
      somebodys_{!is_file()} {}

void HostStreams::output(u8 byte) { put(terminal_.out, byte); }
void HostStreams::error(u8 byte) { put(terminal_.err, byte); }

void HostStreams::put(std::ostream& stream, u8 byte) {
    constexpr size_t pending_most = 65536;
    if (current_ != &stream || pending_.size() == pending_most) flush();
    current_ = &stream;
    pending_.push_back(static_cast<char>(byte));
}

void HostStreams::flush() {
    current_->write(pending_.data(), static_cast<std::streamsize>(pending_.size()));
    current_->flush();
    pending_.clear();
}

bool HostStreams::good() const { return terminal_.out.good() && terminal_.err.good(); }

bool HostStreams::readable(int milliseconds) {
    pollfd wanted{STDIN_FILENO, POLLIN, 0};
    return poll(&wanted, 1, milliseconds) == 1;
}

u32 HostStreams::available() {
    asked_ = true;
    if (begin_ < end_) return end_ - begin_;
    if (ended_) return ended;
    if (!readable(0)) return 0;
    const ssize_t count = read(STDIN_FILENO, input_.data(), input_.size());
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) return 0;
    ended_ = count <= 0;
    if (ended_) return ended;
    begin_ = 0;
    end_ = static_cast<u32>(count);
    return end_;
}

u8 HostStreams::take() { return begin_ < end_ ? static_cast<u8>(input_[begin_++]) : 0; }

void HostStreams::wait(u64 nanoseconds) {
    constexpr u64 millisecond = 1'000'000;
    constexpr u64 longest = 100;  // the loop has other things to look at
    const bool waits = asked_ && somebodys_ && !ended_ && begin_ == end_;
    asked_ = false;
    if (!waits || nanoseconds < millisecond) return;
    readable(static_cast<int>(std::min(nanoseconds / millisecond, longest)));
}

void KernelLog::put(u8 byte) {
    if (byte == '\r') return;
    if (shown_ != nullptr) shown_->put(static_cast<char>(byte));
    kept_.push_back(static_cast<char>(byte));
    if (kept_.size() == 2 * kept_most) kept_.erase(0, kept_most);
}

std::vector<std::string> KernelLog::last_lines() const {
    constexpr size_t lines_most = 12;
    std::vector<std::string> lines;
    for (const std::string_view line : split(kept_, '\n'))
        if (!line.empty()) lines.emplace_back(line);
    // What follows the reason of a panic is only the machine's state.
    const auto panic = std::ranges::find_if(
        lines, [](const std::string& line) { return line.find("Kernel panic") != line.npos; });
    if (panic != lines.end()) return {*panic};
    if (lines.size() > lines_most)
        lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(lines_most));
    return lines;
}

}  // namespace postern::app::exec
