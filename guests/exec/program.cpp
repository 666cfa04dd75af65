// SPDX-License-Identifier: Apache-2.0
// Three pipes between the program and the ports. init has a real-time priority: what the program
// writes goes out before it goes on, so that its two streams keep their order.
#include "guests/exec/program.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <initializer_list>

#include "guests/exec/end.h"

namespace postern::exec {

namespace {

constexpr int input_poll_milliseconds = 10;

struct Pipe {
    int reader;
    int writer;
};

Pipe make_pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) fail("a pipe");
    return {ends[0], ends[1]};
}

void set_nonblocking(int file) { fcntl(file, F_SETFL, O_NONBLOCK); }

void close_one(int& file) {
    close(file);
    file = -1;  // poll() passes over it
}

/// From the program to a port.
struct Output {
    int file;
    std::uint16_t port;

    /// All that there is now.
    void relay() {
        static char buffer[65536];
        while (file >= 0) {
            const ssize_t count = read(file, buffer, sizeof buffer);
            if (count < 0) return;
            if (count == 0) return close_one(file);
            out_bytes(port, buffer, static_cast<std::size_t>(count));
        }
    }
};

/// From the port to the program. Nothing is taken from the port that the pipe has no room for yet,
/// but for one buffer.
class Input {
public:
    explicit Input(int file) : file_{file} {}

    [[nodiscard]] pollfd wanted() const {
        return {file_, static_cast<short>(begin_ < end_ ? POLLOUT : 0), 0};
    }
    /// -1: there is nothing to ask the port for.
    [[nodiscard]] int time_out() const {
        return file_ >= 0 && begin_ == end_ ? input_poll_milliseconds : -1;
    }
    void relay() {
        while (file_ >= 0) {
            if (begin_ == end_ && !fetch()) return;
            const ssize_t count = write(file_, buffer_ + begin_, end_ - begin_);
            if (count < 0 && errno == EAGAIN) return;
            if (count < 0) return close_one(file_);
            begin_ += static_cast<std::size_t>(count);
        }
    }
    void close_if_unread(short events) {
        if ((events & POLLERR) != 0) close_one(file_);
    }

private:
    bool fetch() {
        const std::uint32_t count = in32(port_input_count);
        if (count == input_ended) close_one(file_);
        if (count == input_ended || count == 0) return false;
        begin_ = 0;
        end_ = count < sizeof buffer_ ? count : sizeof buffer_;
        for (std::size_t n = 0; n < end_; ++n) buffer_[n] = in8(port_output);
        return true;
    }

    int file_;
    std::size_t begin_ = 0, end_ = 0;
    char buffer_[4096];
};

void set_priority() {
    sched_param parameter{};
    parameter.sched_priority = 1;
    if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameter) != 0)
        fail("init's priority");
}

[[noreturn]] void become(const Command& command, const Pipe (&pipes)[3], int failure) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    setsid();
    dup2(pipes[0].reader, STDIN_FILENO);
    dup2(pipes[1].writer, STDOUT_FILENO);
    dup2(pipes[2].writer, STDERR_FILENO);
    execve(command.program, command.arguments, command.environment);
    const unsigned char reason = static_cast<unsigned char>(errno);
    if (write(failure, &reason, 1) != 1) _exit(126);
    _exit(127);
}

/// Waits for all that have ended; true: the program is among them.
bool reap(pid_t program, int& status) {
    for (;;) {
        int ended = 0;
        const pid_t one = waitpid(-1, &ended, WNOHANG);
        if (one <= 0) return false;
        if (one != program) continue;  // an orphan
        status = ended;
        return true;
    }
}

[[noreturn]] void end_as(int status, int failure) {
    unsigned char reason = 0;
    if (read(failure, &reason, 1) == 1) end(Ending::not_executed, reason);
    if (WIFSIGNALED(status)) end(Ending::signalled, static_cast<unsigned>(WTERMSIG(status)));
    end(Ending::exited, static_cast<unsigned>(WEXITSTATUS(status)));
}

int children_signals() {
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, nullptr);
    const int file = signalfd(-1, &children, SFD_NONBLOCK | SFD_CLOEXEC);
    if (file < 0) fail("signalfd");
    return file;
}

}  // namespace

void run_program(const Command& command) {
    set_priority();
    std::signal(SIGPIPE, SIG_IGN);
    const int children = children_signals();
    const Pipe pipes[3] = {make_pipe(), make_pipe(), make_pipe()};
    const Pipe failure = make_pipe();
    const pid_t program = fork();
    if (program < 0) fail("fork");
    if (program == 0) {
        std::signal(SIGPIPE, SIG_DFL);
        become(command, pipes, failure.writer);
    }
    for (const int file : {pipes[0].reader, pipes[1].writer, pipes[2].writer, failure.writer})
        close(file);
    for (const int file : {pipes[0].writer, pipes[1].reader, pipes[2].reader, failure.reader})
        set_nonblocking(file);

    static Input input{pipes[0].writer};
    Output output{pipes[1].reader, port_output};
    Output error{pipes[2].reader, port_error};
    for (int status = 0;;) {
        input.relay();
        pollfd files[] = {{output.file, POLLIN, 0},
                          {error.file, POLLIN, 0},
                          {children, POLLIN, 0},
                          input.wanted()};
        poll(files, 4, input.time_out());
        if (files[0].revents != 0) output.relay();
        if (files[1].revents != 0) error.relay();
        input.close_if_unread(files[3].revents);
        signalfd_siginfo news;
        while (read(children, &news, sizeof news) > 0) {
        }
        if (!reap(program, status)) continue;
        output.relay();
        error.relay();
        end_as(status, failure.reader);
    }
}

}  // namespace postern::exec
