// SPDX-License-Identifier: Apache-2.0
// --stats FILE: a run's counters as JSON. docs/debugging.md lists the members.
#pragma once

#include "host/guest.h"
#include "platform/computer.h"
#include "platform/device/sink.h"

namespace postern::app {

void write_stats(platform::Sink& to, platform::Computer& computer);
void write_stats(platform::Sink& to, host::Guest& guest);

}  // namespace postern::app
