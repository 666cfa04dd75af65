// SPDX-License-Identifier: Apache-2.0
// What is agreed with the guest's first program; guests/exec/ports.h is its side of it.
#pragma once

#include "base/types.h"

namespace postern::app::exec {

/// Files of the firmware configuration device: a cpio archive; NUL-terminated strings: the
/// program's path, the number of arguments in decimal, the arguments, the environment.
inline constexpr const char* files_item = "opt/postern/files";
inline constexpr const char* command_item = "opt/postern/command";

/// Bits 7:0 of what is written to the exit port; a number is in bits 15:8.
enum class GuestEnding : u8 {
    exited = 0,        // the status
    signalled = 1,     // the signal
    not_executed = 2,  // execve()'s errno
    init_failed = 3,
};

}  // namespace postern::app::exec
