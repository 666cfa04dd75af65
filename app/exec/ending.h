// SPDX-License-Identifier: Apache-2.0
// What the end of a machine says about the program in it.
#pragma once

#include <string>

#include "platform/computer.h"

namespace postern::app::exec {

/// A status of env(1)'s, and a line for standard error, empty if there is nothing to say.
struct Ending {
    int status = 0;
    std::string text;
    bool of_kernel = false;  // what it said last tells why
};

/// `complaint` is init's own.
Ending ending_of(const platform::ComputerOutcome& outcome, const std::string& program,
                 const std::string& complaint);

/// The same for the word that init wrote to the exit port.
Ending ending_of_word(u32 word, const std::string& program, const std::string& complaint);

}  // namespace postern::app::exec
