// SPDX-License-Identifier: Apache-2.0
#include "guests/linux_scenarios/system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guests/every_exit/abi.h"
#include "guests/every_exit/rows.h"
#include "guests/linux_scenarios/enclave.h"
#include "guests/linux_scenarios/events.h"
#include "guests/linux_scenarios/machine.h"

namespace postern::guests {
namespace {

Output chosen = Output::terminal;

/// What is said between the marks waits for the second: the kernel has no part in a scenario but
/// what the scenario makes it do.
char said[0x1'0000];
u64 length;
bool between_marks;

void flush() {
    if (chosen == Output::ports)
        put_debug_port(said, length);
    else
        fwrite(said, 1, length, stdout);
    length = 0;
    fflush(stdout);
}

void begin(u64 number) {
    if (rows[number].scenario == Scenario::epcm_fault) protect_data_page();
    flush();
    between_marks = true;
    wait_for_tick();
    mark(mark_scenario_starts | static_cast<u32>(number));
}

void end(u64 number) {
    mark(mark_scenario_ends | static_cast<u32>(number));
    between_marks = false;
    flush();
}

/// Most of it needs a kernel of one's own.
void make_trouble(Trouble trouble) {
    // The debug thread is opt-in from the start, and Linux has interrupts enabled.
    if (trouble == Trouble::none || trouble == Trouble::debugging ||
        trouble == Trouble::interrupts_enabled)
        return;
    fail("not implemented: this scenario, as a process");
}

}  // namespace

void choose_output(Output output) { chosen = output; }

void print(Line& line) {
    line << "\n";
    if (length + line.length() > sizeof said) flush();
    memcpy(said + length, line.text(), line.length());
    length += line.length();
    if (!between_marks) flush();
}

void print(const char* text) { print(Line{} << text); }

void leave(ExitCode code) {
    flush();
    if (chosen == Output::ports) write_exit_port(static_cast<u32>(code));
    exit(static_cast<int>(code));
}

extern "C" void system_call(Call call, u64 first, u64 second) {
    switch (static_cast<ScenarioCall>(call)) {
        case ScenarioCall::begin: return begin(first);
        case ScenarioCall::end: return end(first);
        case ScenarioCall::watch: return watch(first, second);
        case ScenarioCall::make_trouble: return make_trouble(static_cast<Trouble>(first));
        case ScenarioCall::end_trouble: return;
        default: fail("not implemented: this call, as a process");
    }
}

}  // namespace postern::guests
