// SPDX-License-Identifier: Apache-2.0
// The program's streams: standard input of this process, and two streams for what it writes. And
// what the kernel says on its console.
#pragma once

#include <array>
#include <ostream>
#include <string>
#include <vector>

#include "app/options.h"
#include "platform/device/sink.h"
#include "platform/device/stdio_port.h"

namespace postern::app::exec {

class HostStreams final : public platform::ProgramStreams {
public:
    /// Standard input is left alone by a process in a terminal's background.
    explicit HostStreams(Terminal terminal);

    void output(u8 byte) override;
    void error(u8 byte) override;
    u32 available() override;
    u8 take() override;

    void flush();
    /// False: something could not be written.
    [[nodiscard]] bool good() const;
    /// The guest was idle: time passes here too if what it may wait for is somebody's typing.
    void wait(u64 nanoseconds);

private:
    void put(std::ostream& stream, u8 byte);
    static bool readable(int milliseconds);

    Terminal terminal_;
    std::ostream* current_;  // what is in pending_ goes there; the two streams keep their order
    std::string pending_;
    std::array<char, 4096> input_{};
    u32 begin_ = 0, end_ = 0;
    bool ended_ = false;
    bool asked_ = false;      // the guest wants input
    bool somebodys_ = false;  // input comes when its writer pleases
};

/// The last lines, and on demand all of them at once.
class KernelLog final : public platform::Sink {
public:
    /// Null: nothing is shown.
    explicit KernelLog(std::ostream* shown) : shown_{shown} {}
    void put(u8 byte) override;
    [[nodiscard]] std::vector<std::string> last_lines() const;

private:
    static constexpr size_t kept_most = 4096;
    std::ostream* shown_;
    std::string kept_;
};

}  // namespace postern::app::exec
