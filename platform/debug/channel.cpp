// SPDX-License-Identifier: Apache-2.0
// Sockets. A peer that is gone is no error here: the channel is closed.
#include "platform/debug/channel.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace postern::platform {

namespace {

using namespace std::chrono_literals;

bool is_ready(int fd, short events, std::chrono::milliseconds patience) {
    pollfd what{.fd = fd, .events = events, .revents = 0};
    return poll(&what, 1, static_cast<int>(patience.count())) > 0;
}

}  // namespace

FileDescriptor::FileDescriptor(FileDescriptor&& other) noexcept
    : fd_{std::exchange(other.fd_, -1)} {}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
}

FileDescriptor::~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
}

std::string Channel::read(std::chrono::milliseconds patience) {
    if (!open_ || !is_ready(socket_.get(), POLLIN, patience)) return {};
    std::string bytes(4096, '\0');
    const ssize_t count = recv(socket_.get(), bytes.data(), bytes.size(), 0);
    if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) open_ = false;
    bytes.resize(count > 0 ? static_cast<size_t>(count) : 0);
    return bytes;
}

void Channel::write(std::string_view bytes) {
    while (open_ && !bytes.empty()) {
        const ssize_t count = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (count > 0)
            bytes.remove_prefix(static_cast<size_t>(count));
        else if (errno != EINTR)
            open_ = false;
    }
}

void Channel::finish() {
    if (!open_) return;
    shutdown(socket_.get(), SHUT_WR);
    // A socket closed with bytes unread would take back what was sent.
    for (int turns = 0; open_ && turns < 20; ++turns) read(50ms);
    open_ = false;
}

Expected<HostPort> parse_host_port(std::string_view text, const std::string& option) {
    HostPort result;
    const size_t colon = text.rfind(':');
    std::string_view port = text;
    if (colon != std::string_view::npos) {
        result.host = text.substr(0, colon);
        port = text.substr(colon + 1);
    }
    if (result.host == "localhost") result.host = "127.0.0.1";
    in_addr address{};
    const auto [end, wrong] = std::from_chars(port.begin(), port.end(), result.port);
    if (wrong != std::errc{} || end != port.end() ||
        inet_pton(AF_INET, result.host.c_str(), &address) != 1)
        return error(fmt::format("\"{}\" is no address to listen at", text), option,
                     "PORT or HOST:PORT, such as 1234 or 127.0.0.1:1234");
    return result;
}

Expected<Listener> Listener::open(const HostPort& where, const std::string& option) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(where.port);
    inet_pton(AF_INET, where.host.c_str(), &address.sin_addr);
    FileDescriptor socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const int yes = 1;
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (socket.get() < 0 || bind(socket.get(), generic, size) != 0 ||
        listen(socket.get(), 1) != 0 || getsockname(socket.get(), generic, &size) != 0)
        return error(
            fmt::format("cannot listen at {}:{}: {}", where.host, where.port, std::strerror(errno)),
            option, "an address of this machine and a port that is free");
    return Listener{std::move(socket), ntohs(address.sin_port)};
}

Expected<Channel> Listener::accept() {
    for (;;) {
        FileDescriptor client{accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
        if (client.get() < 0 && errno == EINTR) continue;
        if (client.get() < 0)
            return error(std::strerror(errno), "the debugger's connection", "a debugger");
        const int yes = 1;
        setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        return Channel{std::move(client)};
    }
}

}  // namespace postern::platform
