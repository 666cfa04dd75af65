// SPDX-License-Identifier: Apache-2.0
// Standard input as the serial line's other end. A terminal gives each key at once, and idle time
// passes in real time then; a pipe or file gives its bytes as the line takes them.
#pragma once

#include <termios.h>

#include <optional>

#include "base/types.h"
#include "platform/device/serial.h"
#include "platform/device/virtio_console.h"

namespace postern::app {

class SerialInput {
public:
    /// Of a terminal only if standard output is one too and this process is in its foreground.
    SerialInput();
    ~SerialInput();
    SerialInput(const SerialInput&) = delete;
    SerialInput& operator=(const SerialInput&) = delete;

    /// The next byte, if there is one now.
    std::optional<u8> read();

    /// Idle: until a byte can be read, or `nanoseconds` have passed. Nothing without a terminal.
    void wait(u64 nanoseconds);

private:
    enum class Kind : u8 { none, terminal, stream };

    Kind kind_ = Kind::none;
    termios before_{};
};

/// What was typed, as much as the other end takes.
void feed(platform::Serial& serial, SerialInput& input);
void feed(platform::VirtioConsole& console, SerialInput& input);

}  // namespace postern::app
