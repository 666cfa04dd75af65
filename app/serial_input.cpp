// SPDX-License-Identifier: Apache-2.0
// termios and poll.
#include "app/serial_input.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

namespace postern::app {

namespace {

termios to_restore;

/// Ctrl-C: the terminal is given back as it was.
void give_back(int signal) {
    tcsetattr(STDIN_FILENO, TCSANOW, &to_restore);
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

bool is_in_foreground() { return tcgetpgrp(STDIN_FILENO) == getpgrp(); }

bool is_pipe_or_file() {
    struct stat status{};
    if (fstat(STDIN_FILENO, &status) != 0) return false;
    return S_ISFIFO(status.st_mode) || S_ISREG(status.st_mode);
}

bool is_readable(int milliseconds) {
    pollfd wanted{STDIN_FILENO, POLLIN, 0};
    return poll(&wanted, 1, milliseconds) == 1 && (wanted.revents & (POLLIN | POLLHUP)) != 0;
}

}  // namespace

SerialInput::SerialInput() {
    if (isatty(STDIN_FILENO) == 0) {
        if (is_pipe_or_file()) kind_ = Kind::stream;
        return;
    }
    if (isatty(STDOUT_FILENO) == 0 || !is_in_foreground()) return;
    if (tcgetattr(STDIN_FILENO, &before_) != 0) return;
    // Ctrl-C still ends the program: the guest sees lines as they are typed, not signals.
    termios now = before_;
    now.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    if (tcsetattr(STDIN_FILENO, TCSANOW, &now) != 0) return;
    kind_ = Kind::terminal;
    to_restore = before_;
    std::signal(SIGINT, give_back);
    std::signal(SIGTERM, give_back);
}

SerialInput::~SerialInput() {
    if (kind_ != Kind::terminal) return;
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGTERM, SIG_DFL);
    tcsetattr(STDIN_FILENO, TCSANOW, &before_);
}

std::optional<u8> SerialInput::read() {
    if (kind_ == Kind::none || !is_readable(0)) return std::nullopt;
    u8 byte = 0;
    if (::read(STDIN_FILENO, &byte, 1) == 1) return byte;
    if (kind_ == Kind::stream) kind_ = Kind::none;  // its end
    return std::nullopt;
}

void SerialInput::wait(u64 nanoseconds) {
    constexpr u64 millisecond = 1'000'000;
    constexpr u64 longest = 100;  // the loop has other things to look at
    if (kind_ != Kind::terminal || nanoseconds < millisecond) return;
    is_readable(static_cast<int>(std::min(nanoseconds / millisecond, longest)));
}

void feed(platform::Serial& serial, SerialInput& input) {
    while (serial.state().fifo_count < platform::Serial::fifo_size) {
        const std::optional<u8> byte = input.read();
        if (!byte) break;
        serial.receive(*byte);
    }
}

void feed(platform::VirtioConsole& console, SerialInput& input) {
    while (console.room() != 0) {
        const std::optional<u8> byte = input.read();
        if (!byte) break;
        console.receive(*byte);
    }
}

}  // namespace postern::app
