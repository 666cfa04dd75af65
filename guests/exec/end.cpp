// SPDX-License-Identifier: Apache-2.0
// Complaints and the last word.
#include "guests/exec/end.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace postern::exec {

void end(Ending ending, unsigned number) {
    out32(port_end, end_word(ending, number));
    for (;;) pause();
}

void fail(const char* what, const char* why) {
    out_bytes(port_complaint, what, std::strlen(what));
    out_bytes(port_complaint, " ", 1);
    out_bytes(port_complaint, why, std::strlen(why));
    end(Ending::init_failed, 0);
}

void fail(const char* what) {
    const char* const why = std::strerror(errno);
    out_bytes(port_complaint, what, std::strlen(what));
    out_bytes(port_complaint, ": ", 2);
    out_bytes(port_complaint, why, std::strlen(why));
    end(Ending::init_failed, 0);
}

}  // namespace postern::exec
