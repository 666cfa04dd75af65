// SPDX-License-Identifier: Apache-2.0
// The connection to a debugger: one TCP client, of which bytes are read with or without waiting.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/types.h"
#include "platform/error.h"

namespace postern::platform {

class FileDescriptor {
public:
    FileDescriptor() = default;
    explicit FileDescriptor(int fd) : fd_{fd} {}
    FileDescriptor(FileDescriptor&& other) noexcept;
    FileDescriptor& operator=(FileDescriptor&& other) noexcept;
    FileDescriptor(const FileDescriptor&) = delete;
    FileDescriptor& operator=(const FileDescriptor&) = delete;
    ~FileDescriptor();
    [[nodiscard]] int get() const { return fd_; }

private:
    int fd_ = -1;
};

class Channel {
public:
    /// A connected stream socket.
    explicit Channel(FileDescriptor socket) : socket_{std::move(socket)} {}

    /// What has arrived; waits for it at most so long. Empty: nothing, or nobody is there.
    std::string read(std::chrono::milliseconds patience);
    void write(std::string_view bytes);
    [[nodiscard]] bool is_open() const { return open_; }
    /// Nothing more will be written; what was is received before the connection ends.
    void finish();

private:
    FileDescriptor socket_;
    bool open_ = true;
};

struct HostPort {
    std::string host = "127.0.0.1";
    u16 port = 0;
};

/// "[HOST:]PORT"; the host is a numeric address or "localhost". The error names `option`.
Expected<HostPort> parse_host_port(std::string_view text, const std::string& option);

class Listener {
public:
    static Expected<Listener> open(const HostPort& where, const std::string& option);
    /// The port, if the system chose it (port 0).
    [[nodiscard]] u16 port() const { return port_; }
    Expected<Channel> accept();

private:
    Listener(FileDescriptor socket, u16 port) : socket_{std::move(socket)}, port_{port} {}
    FileDescriptor socket_;
    u16 port_;
};

}  // namespace postern::platform
